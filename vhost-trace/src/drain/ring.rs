//! One ring on its way to the sinks.

use std::sync::Arc;

use crossbeam_channel::Sender;
use host_sink::packet::{Packet, PacketInfo, Payload, StreamKey};
use host_sink::pinned::Pinned;
use ringbuf::{Armed, Fault, HostMemory, Live, Lost, Mapped, Mode, Reader, SubBuffer};

use super::kept::Kept;
use super::remains::{Remains, Room};
use super::sinks::Sinks;
use super::status::{RingStatus, StreamStatus};
use super::streams::Totals;
use super::tap::RingTap;
use super::worker::Call;
use crate::guest::{Area, sigbus};
use crate::session::Ring;

/// A ring that is being read.
#[derive(Debug)]
pub struct DrainRing {
    // Before what keeps its memory mapped.
    pub(super) reader: Reader<Mapped>,
    pub(super) ring: Ring,
    pub(super) who: String,
    uid: u64,
    pub(super) epoch: u64,
    pub(super) stream: StreamKey,
    totals: Totals,
    pub(super) began: Totals,
    pub(super) remains: Option<Remains>,
    pub(super) kept: Kept,
    out: usize,
    pub(super) copy: Vec<u8>,
    pub(super) tap: Option<RingTap>,
    quarantine: Option<String>,
    lost: Lost,
    given_up: u64,
    fill: u64,
    // Up to where an incomplete sub-buffer was written out.
    pub(super) aged: Option<u64>,
    // Where the guest was asked to kick, and how often.
    armed_at: Option<u64>,
    armings: u64,
    calls: Sender<Call>,
}

/// How sub-buffers travel.
#[derive(Debug)]
pub enum Travel<'a> {
    /// In place; each is given back when the last sink is done with it.
    InPlace,
    /// As copies, as long as there is room: their memory may be gone soon.
    Copied(&'a mut Room),
}

impl DrainRing {
    /// Read `ring` from its beginning. `uid` is a number that no other ring
    /// has had; `totals` is what its stream had before.
    pub fn new(vm: &str, uid: u64, ring: Ring, totals: Totals, calls: Sender<Call>) -> DrainRing {
        let memory = map(&ring);
        DrainRing {
            reader: Reader::new(ring.geometry, memory),
            who: format!(
                "VM {vm}: vCPU {}: channel {}: ring {}",
                ring.vcpu, ring.channel, ring.id
            ),
            uid,
            epoch: ring.epoch,
            stream: StreamKey {
                channel: ring.channel,
                vcpu: ring.vcpu,
            },
            totals,
            began: totals,
            remains: None,
            kept: Kept::default(),
            out: 0,
            copy: Vec::new(),
            tap: None,
            quarantine: None,
            lost: Lost::default(),
            given_up: 0,
            fill: 0,
            aged: None,
            armed_at: None,
            armings: 0,
            calls,
            ring,
        }
    }

    /// The driver's number of it.
    pub fn id(&self) -> u32 {
        self.ring.id
    }

    /// The stream that it feeds.
    pub fn stream(&self) -> StreamKey {
        self.stream
    }

    /// Sub-buffers that sinks still hold in place.
    pub fn out(&self) -> usize {
        self.out
    }

    /// A sink has let go of the sub-buffer at `position`.
    pub fn released(&mut self, position: u64) {
        self.out = self.out.saturating_sub(1);
        if let Err(error) = self.reader.release(position) {
            log::error!("{}: {error}", self.who);
        }
    }

    /// Hand over what is complete, a ring's worth at most, so that others get
    /// their turn.
    pub fn pump(&mut self, mut travel: Travel<'_>, sinks: &Sinks) {
        let size = self.ring.geometry.sub_size() as usize;
        for _ in 0..self.ring.geometry.nsub() {
            if let Travel::Copied(room) = &mut travel
                && !room.take(size)
            {
                break;
            }
            let next = self.guarded(|ring| match ring.poll()? {
                Some(sub) => Ok(Some(ring.packet(&sub, &travel))),
                None => Ok(None),
            });
            match next.flatten() {
                Some(packet) => self.deliver(&packet, sinks),
                None => break,
            }
        }
    }

    /// Tell the guest what is free, and ask to be woken at the next complete
    /// sub-buffer.
    pub fn arm(&mut self, live: &Live<'_>) -> Armed {
        if self.ring.geometry.mode() == Mode::Overwrite {
            // A flight recorder is read when it is asked for, not as it flies.
            return Armed::Kick;
        }
        self.guarded(|ring| {
            ring.reader.publish(live);
            let wake_at = ring.reader.next() + ring.reader.geometry().sub_size();
            let armed = ring.reader.arm(live, wake_at)?;
            // The same position again is no new arming to the guest.
            if ring.armed_at != Some(wake_at) {
                ring.armed_at = Some(wake_at);
                ring.armings += 1;
            }
            Ok(armed)
        })
        .unwrap_or(Armed::Kick)
    }

    /// Ask for no more kicks.
    pub fn disarm(&mut self, live: &Live<'_>) {
        self.guarded(|ring| {
            ring.reader.disarm(live);
            Ok(())
        });
    }

    fn poll(&mut self) -> Result<Option<SubBuffer>, Fault> {
        if self.ring.geometry.mode() == Mode::Overwrite {
            self.copy.resize(self.reader.copy_bytes(), 0);
        }
        self.reader.poll(&mut self.copy)
    }

    fn packet(&mut self, sub: &SubBuffer, travel: &Travel<'_>) -> Packet {
        if self.ring.geometry.mode() == Mode::Discard {
            self.show_complete(sub);
        }
        let payload = match (self.ring.geometry.mode(), travel) {
            (Mode::Overwrite, _) => Payload::Copied(Arc::new(self.copy[..sub.len].to_vec())),
            (Mode::Discard, Travel::InPlace) => {
                self.out += 1;
                Payload::InPlace(Arc::new(self.pin(sub)))
            }
            (Mode::Discard, Travel::Copied(_)) => {
                let mut bytes = vec![0; sub.len];
                self.reader.memory().copy(sub.slot, 0, &mut bytes);
                self.out += 1;
                self.released(sub.position);
                Payload::Copied(Arc::new(bytes))
            }
        };
        let position = self.began.position + sub.position;
        self.kept.reached(position);
        Packet {
            info: PacketInfo {
                stream: self.stream,
                epoch: self.ring.epoch,
                position,
                begin: sub.begin,
                end: sub.end,
                events: sub.events,
                discarded: self.discarded(sub.lost_before, sub.overwritten_before),
                content_len: sub.len,
            },
            payload,
        }
    }

    /// Events of the stream that no sink can have, given the ring's own.
    pub(super) fn discarded(&self, lost: u64, overwritten: u64) -> u64 {
        (self.began.discarded() + lost + overwritten).saturating_sub(self.kept.events)
    }

    /// Give a packet to all sinks, and count it.
    pub(super) fn deliver(&mut self, packet: &Packet, sinks: &Sinks) {
        self.totals.packets += 1;
        self.totals.bytes += packet.info.content_len as u64;
        self.totals.events += packet.info.events;
        self.totals.end = packet.info.end;
        sinks.packet(packet);
    }

    fn pin(&self, sub: &SubBuffer) -> Pinned {
        let area = &self.ring.subs[sub.slot];
        let (uid, position, calls) = (self.uid, sub.position, self.calls.clone());
        let release = move || {
            // The drain may be gone already.
            let _ = calls.send(Call::Released { uid, position });
        };
        // SAFETY: the area has sub_size bytes, and its region keeps them
        // mapped.
        unsafe { Pinned::new(area.as_ptr(), area.len(), area.region().clone(), release) }
    }

    /// Look at what the guest has lost, unless it stands still.
    pub(super) fn refresh(&mut self) {
        if self.remains.is_none()
            && let Some(lost) = self.guarded(|ring| ring.reader.lost())
        {
            self.lost = lost;
        }
    }

    /// Events in the ring that were not read.
    pub(super) fn unread(&mut self) -> u64 {
        let read = self.totals.events - self.began.events + self.reader.overwritten();
        let committed = self.guarded(|ring| ring.reader.committed()).flatten();
        committed.map_or(0, |committed| committed.saturating_sub(read))
    }

    /// So many events will not be read.
    pub(super) fn give_up(&mut self, events: u64) {
        if events > 0 {
            log::warn!("{}: {events} events are given up unread", self.who);
            self.given_up += events;
        }
    }

    /// The stream's numbers, as far as they are known.
    pub fn totals(&mut self) -> Totals {
        self.refresh();
        let (began, lost, kept) = (&self.began, &self.lost, &self.kept);
        let overwritten = self.reader.overwritten() + self.given_up;
        Totals {
            packets: self.totals.packets + kept.packets,
            bytes: self.totals.bytes + kept.bytes,
            events: self.totals.events + kept.events,
            position: began.position + self.reader.next() + self.capacity(),
            lost: Lost {
                full: began.lost.full + lost.full,
                too_big: began.lost.too_big + lost.too_big,
                nested: began.lost.nested + lost.nested,
                wrapped: began.lost.wrapped + lost.wrapped,
            },
            overwritten: began.overwritten + overwritten.saturating_sub(kept.events),
            ..self.totals
        }
    }

    /// Its numbers, for people.
    pub fn status(&mut self) -> StreamStatus {
        let totals = self.totals();
        if self.remains.is_none() {
            self.fill = self.guarded(|ring| ring.reader.fill()).unwrap_or(0);
        }
        let ring = RingStatus {
            id: self.ring.id,
            address: self.ring.subs.first().map_or(0, Area::gpa),
            fill: self.fill,
            capacity: self.capacity(),
            pinned: self.out,
            armings: self.armings,
            quarantine: self.quarantine.clone(),
        };
        StreamStatus::new(self.stream.vcpu, self.stream.channel, &totals, Some(ring))
    }

    /// Its memory, for another reader that lives no longer than this.
    pub(super) fn map(&self) -> Mapped {
        map(&self.ring)
    }

    fn capacity(&self) -> u64 {
        self.ring.geometry.capacity()
    }

    /// Do something with the guest's memory. `None`: the ring is quarantined,
    /// now or before.
    pub(super) fn guarded<T>(
        &mut self,
        act: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Option<T> {
        if self.quarantine.is_some() {
            return None;
        }
        let faults = sigbus::faults();
        let result = act(self);
        let why = if sigbus::faults() != faults {
            "its memory went away; the VM's memory file was truncated".to_owned()
        } else {
            match result {
                Ok(value) => return Some(value),
                Err(fault) => fault.to_string(),
            }
        };
        log::error!(
            "{}: quarantined: {why}; what was read of it stays, other rings go on, and a new \
             start of the driver begins anew",
            self.who
        );
        self.quarantine = Some(why);
        None
    }
}

/// The ring's memory as its reader wants it, for as long as `ring` or a clone
/// of it lives.
fn map(ring: &Ring) -> Mapped {
    let page = crate::wire::PAGE as usize;
    let control = ring.control.as_ptr();
    let subs: Vec<*const u8> = ring
        .subs
        .iter()
        .map(|area| area.as_ptr().cast_const())
        .collect();
    // SAFETY: the control area has geometry.control_bytes() bytes and each
    // sub-buffer sub_size, all page-aligned, as session::rings has checked.
    // The only caller's ring keeps them mapped, readable and writable, and is
    // dropped after its readers. No Rust reference to guest memory exists.
    unsafe {
        Mapped::new(
            ring.geometry,
            control.add(2 * page).cast_const(),
            control.add(page),
            &subs,
        )
    }
}
