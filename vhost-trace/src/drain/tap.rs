//! What a ring gives to those who watch: new whole events, as copies, from the
//! middle of sub-buffers too. The ring and what the sinks get of it stay as
//! they are.

use host_sink::packet::PREAMBLE_BYTES;
use ringbuf::{Fault, HostMemory, Mapped, Mode, Reader, SubBuffer};

use super::ring::DrainRing;
use crate::live::Batch;

/// How far a ring was shown.
#[derive(Debug, Default)]
pub struct RingTap {
    // None: nothing is known of where events begin. Only what comes behind the
    // first look is shown.
    seen: Option<Seen>,
    pieces: Vec<Shown>,
    lost: Option<u64>,
    // A ring in overwrite mode has a reader of its own for this, so that its
    // flight recorder goes on unread.
    reader: Option<Reader<Mapped>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    position: u64,
    len: usize,
    stamp: u64,
    events: u64,
}

#[derive(Debug)]
struct Shown {
    begin: u64,
    bytes: Vec<u8>,
    events: u64,
}

/// The beginning of a sub-buffer, or all of it.
struct Part {
    position: u64,
    begin: u64,
    end: u64,
    events: u64,
}

impl From<&SubBuffer> for Part {
    fn from(sub: &SubBuffer) -> Part {
        Part {
            position: sub.position,
            begin: sub.begin,
            end: sub.end,
            events: sub.events,
        }
    }
}

impl RingTap {
    /// Keep what is new of a sub-buffer's `content`.
    fn add(&mut self, part: &Part, content: &[u8]) {
        let from = match self.seen {
            Some(seen) if seen.position == part.position => Some(seen),
            Some(_) => Some(Seen {
                position: part.position,
                len: PREAMBLE_BYTES,
                stamp: part.begin,
                events: 0,
            }),
            None => None,
        };
        self.seen = Some(Seen {
            position: part.position,
            len: content.len(),
            stamp: part.end,
            events: part.events,
        });
        let Some(from) = from.filter(|from| from.len < content.len()) else {
            return;
        };
        self.pieces.push(Shown {
            begin: from.stamp,
            bytes: content[from.len..].to_vec(),
            events: part.events.saturating_sub(from.events),
        });
    }

    fn is_at(&self, pos: u64) -> bool {
        self.seen
            .is_some_and(|seen| seen.position + seen.len as u64 == pos)
    }
}

/// Of no sub-buffer: all that comes is new.
const NOTHING: Seen = Seen {
    position: u64::MAX,
    len: 0,
    stamp: 0,
    events: 0,
};

impl DrainRing {
    /// Begin or end to keep what those who watch have not seen: what comes from
    /// now on.
    pub fn watch(&mut self, wanted: bool) {
        self.tap = wanted.then(RingTap::default);
        // Rings may be many and their sub-buffers large.
        self.copy = Vec::new();
    }

    /// The same for a ring that has not been read yet: all of it.
    pub fn watch_from_start(&mut self, wanted: bool) {
        self.tap = wanted.then(|| RingTap {
            seen: Some(NOTHING),
            ..RingTap::default()
        });
    }

    /// A sub-buffer is complete; it stays in place until this returns.
    pub(super) fn show_complete(&mut self, sub: &SubBuffer) {
        let Some(tap) = &mut self.tap else {
            return;
        };
        self.copy.resize(self.reader.copy_bytes(), 0);
        let content = &mut self.copy[..sub.len];
        self.reader.memory().copy(sub.slot, 0, content);
        tap.add(&sub.into(), content);
    }

    /// Add what is new to `batch`; `false`: something cannot be read yet.
    pub fn show(&mut self, batch: &mut Batch) -> bool {
        if self.remains.is_some() {
            return true;
        }
        let Some(mut tap) = self.tap.take() else {
            return true;
        };
        let is_first = tap.seen.is_none();
        let complete = self.guarded(|ring| ring.look(&mut tap)).unwrap_or(true);
        if is_first {
            // A flight recorder's past.
            tap.pieces.clear();
        }
        let lost = self.totals().discarded();
        batch.lost += lost - tap.lost.replace(lost).unwrap_or(lost);
        for shown in tap.pieces.drain(..) {
            batch.add(self.stream, shown.begin, &shown.bytes, shown.events);
        }
        self.tap = Some(tap);
        complete
    }

    fn look(&mut self, tap: &mut RingTap) -> Result<bool, Fault> {
        self.copy.resize(self.reader.copy_bytes(), 0);
        if self.reader.geometry().mode() == Mode::Discard {
            let pos = self.reader.released() + self.reader.fill()?;
            return Ok(tap.is_at(pos) || cut(&mut self.reader, tap, &mut self.copy)?);
        }
        let mut reader = match tap.reader.take() {
            Some(reader) => reader,
            None => {
                let next = self.reader.next();
                Reader::resume(*self.reader.geometry(), self.map(), next, 0)
            }
        };
        for _ in 0..reader.geometry().nsub() {
            let Some(sub) = reader.poll(&mut self.copy)? else {
                break;
            };
            tap.add(&(&sub).into(), &self.copy[..sub.len]);
        }
        let complete = cut(&mut reader, tap, &mut self.copy)?;
        tap.reader = Some(reader);
        Ok(complete)
    }
}

fn cut(reader: &mut Reader<Mapped>, tap: &mut RingTap, copy: &mut [u8]) -> Result<bool, Fault> {
    // How late a writer's stores become visible is not known, so no time is
    // claimed to be over.
    let Some(cut) = reader.cut(|| 0, copy)? else {
        return Ok(false);
    };
    let part = Part {
        position: cut.position,
        begin: cut.begin,
        end: cut.end,
        events: cut.events,
    };
    tap.add(&part, &copy[..cut.len]);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_live_shows_each_byte_once() {
        let mut tap = RingTap::default();
        let mut add = |position, end, events, len: usize| {
            let content: Vec<u8> = (0..len as u8).collect();
            let part = Part {
                position,
                begin: position,
                end,
                events,
            };
            tap.add(&part, &content);
            tap.pieces
                .pop()
                .map(|shown| (shown.begin, shown.bytes, shown.events))
        };
        assert_eq!(add(0, 10, 1, 30), None, "what was before");
        assert_eq!(add(0, 20, 2, 32), Some((10, vec![30, 31], 1)));
        assert_eq!(add(0, 20, 2, 32), None);
        assert_eq!(add(0, 30, 3, 33), Some((20, vec![32], 1)));
        assert_eq!(add(4096, 5000, 1, 26), Some((4096, vec![24, 25], 1)));
        let mut tap = RingTap {
            seen: Some(NOTHING),
            ..RingTap::default()
        };
        let part = Part {
            position: 0,
            begin: 7,
            end: 9,
            events: 1,
        };
        tap.add(&part, &[0; 30]);
        assert_eq!(tap.pieces.len(), 1, "all of a new ring");
        assert_eq!(tap.pieces[0].bytes.len(), 30 - PREAMBLE_BYTES);
    }
}
