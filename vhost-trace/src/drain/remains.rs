//! The end of a ring: what is left in it when its guest stands still, and the
//! last that is taken from a guest that runs on.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use host_sink::packet::{Packet, PacketInfo, Payload};
use ringbuf::{Fault, Stopped};

use super::ring::{DrainRing, Travel};
use super::sinks::Sinks;

/// How often the incomplete end of a ring in use is tried to be taken.
const ATTEMPTS: u32 = 20;
/// How long until the next attempt.
const PAUSE: Duration = Duration::from_millis(1);

/// Bytes that last drains may take as copies: what sinks cannot have by then
/// is given up, and counted.
#[derive(Debug)]
pub struct Room(usize);

impl Room {
    /// Enough for the rings of many vCPUs, and no more than a process of this
    /// kind should suddenly need.
    pub fn new() -> Room {
        Room(64 << 20)
    }

    /// Whether `bytes` more are allowed; if so, they are taken.
    pub fn take(&mut self, bytes: usize) -> bool {
        let rest = self.0.checked_sub(bytes);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// The incomplete end of a ring, copied while the guest stood still. Should
/// the guest go on, all of it will be read again, and this is forgotten.
#[derive(Debug, Default)]
pub struct Remains {
    packets: Vec<Packet>,
    given_up: u64,
}

impl DrainRing {
    /// The guest stands still, and its memory may be gone soon: copy what is
    /// unread, and look at it no more. Whole sub-buffers go to the sinks; of
    /// the rest, they get what may become a whole one if the guest goes on.
    pub fn stop(&mut self, sinks: &Sinks, room: &mut Room) {
        if self.remains.is_some() {
            return;
        }
        self.pump(Travel::Copied(room), sinks);
        let packets = self.guarded(|ring| ring.read_remains(sinks, room));
        let packets = packets.unwrap_or_default();
        let kept: u64 = packets.iter().map(|packet| packet.info.events).sum();
        let given_up = self.unread().saturating_sub(kept);
        self.refresh();

        let size = self.ring.geometry.sub_size();
        let whole_begins = |packet: &&Packet| packet.info.position.is_multiple_of(size);
        if let Some(first) = packets.first().filter(whole_begins) {
            sinks.provisional(first);
            self.kept.wrote(&first.info);
        }
        self.remains = Some(Remains { packets, given_up });
    }

    /// The guest goes on: what was incomplete will be completed. It may stop
    /// again, or die, before its driver has said anything.
    pub fn runs(&mut self) {
        self.remains = None;
    }

    /// Whether the guest may be writing.
    pub fn is_running(&self) -> bool {
        self.remains.is_none()
    }

    /// The driver says that it goes on with this ring.
    pub fn go_on(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// The guest will not go on: what is left of the ring is all there is.
    pub fn end(&mut self, sinks: &Sinks, room: &mut Room) {
        self.stop(sinks, room);
        let remains = self.remains.take().unwrap_or_default();
        for packet in &remains.packets {
            self.deliver(packet, sinks);
        }
        self.give_up(remains.given_up);
        self.remains = Some(Remains::default());
    }

    /// The guest runs on, and we do not: take what there is.
    pub fn finish(&mut self, sinks: &Sinks) {
        self.pump(Travel::InPlace, sinks);
        for _ in 0..ATTEMPTS {
            if let Some(packet) = self.guarded(Self::cut).flatten() {
                self.deliver(&packet, sinks);
                self.refresh();
                return;
            }
            sleep(PAUSE);
            self.pump(Travel::InPlace, sinks);
        }
        let unread = self.unread();
        self.give_up(unread);
        self.refresh();
    }

    /// The incomplete sub-buffer, if nothing of it is being written.
    pub(super) fn cut(&mut self) -> Result<Option<Packet>, Fault> {
        self.copy.resize(self.reader.copy_bytes(), 0);
        // How late a writer's stores become visible is not known, so no time
        // is claimed to be over.
        let Some(cut) = self.reader.cut(|| 0, &mut self.copy)? else {
            return Ok(None);
        };
        let content = self.copy[..cut.len].to_vec();
        let position = self.began.position + cut.position;
        self.kept.reached(position);
        let info = PacketInfo {
            stream: self.stream,
            epoch: self.ring.epoch,
            position,
            begin: cut.begin,
            end: cut.end,
            events: cut.events,
            discarded: self.discarded(cut.lost_before, self.reader.overwritten()),
            content_len: cut.len,
        };
        let payload = Payload::Copied(Arc::new(content));
        Ok(Some(Packet { info, payload }))
    }

    fn read_remains(&mut self, sinks: &Sinks, room: &mut Room) -> Result<Vec<Packet>, Fault> {
        let mut copy = vec![0; self.reader.copy_bytes()];
        let mut kept = Vec::new();
        // Nobody runs while the front end waits for our answer, or after it is
        // gone; of a ring that its driver gives back, the driver says so.
        let nobody = ();
        let mut remains = self.reader.remains(&Stopped::while_held(&nobody))?;
        while let Some(remnant) = remains.next(&mut copy)? {
            for hole in remnant.holes() {
                log::info!(
                    "{}: level {}: {} bytes at {:#x} are reserved and not committed",
                    self.who,
                    hole.level,
                    hole.len,
                    hole.begin
                );
            }
            for piece in remnant.pieces() {
                let content = &copy[piece.range()];
                if !room.take(content.len()) {
                    return Ok(kept);
                }
                // All are in one piece, or they have to be counted.
                let events = match (remnant.events, remnant.pieces()) {
                    (Some(events), [_]) => events,
                    _ => sinks.count(self.stream.channel, content, piece.begin),
                };
                let position = self.began.position + piece.position;
                self.kept.reached(position);
                let lost = remnant.lost_before + remnant.overwritten_before;
                let lost = self.began.discarded() + lost;
                kept.push(Packet {
                    info: PacketInfo {
                        stream: self.stream,
                        epoch: self.ring.epoch,
                        position,
                        begin: piece.begin,
                        end: piece.end,
                        events,
                        discarded: lost.saturating_sub(self.kept.events),
                        content_len: content.len(),
                    },
                    payload: Payload::Copied(Arc::new(content.to_vec())),
                });
            }
        }
        Ok(kept)
    }
}
