//! The reader's own idea of a ring.

use crate::fault::{Fault, at_least, at_most, exactly};
use crate::geometry::{Geometry, Mode};
use crate::layout::{
    COMMIT_BYTES, COMMIT_EVENT, HEADER, LEVELS, LOST_FULL, LOST_NESTED, LOST_REASONS, LOST_TOO_BIG,
    LOST_WRAPPED, MAX_NSUB, PREAMBLE,
};
use crate::memory::HostMemory;
use crate::word::Word;

/// Slots whose earlier events nobody has counted.
const UNKNOWN: u64 = u64::MAX;

/// The events of a commit word wrap at this many, less one.
const EVENTS: u64 = u64::MAX / COMMIT_EVENT;

/// No honest position comes near; sums of a few cannot overflow.
const MAX_POS: u64 = 1 << 62;

/// No honest counter comes near; sums of a few cannot overflow.
const MAX_LOST: u64 = 1 << 56;

/// A complete sub-buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubBuffer {
    /// Its position, a multiple of `sub_size`: what [`Reader::release`] takes.
    pub position: u64,
    /// Where it is in the ring.
    pub slot: usize,
    /// Bytes of content, the preamble's 24 included; less than `sub_size`.
    pub len: usize,
    /// No event in it is earlier, and none of an earlier sub-buffer is later; ns.
    pub begin: u64,
    /// No event in it is later, and none of a later sub-buffer is earlier; ns.
    pub end: u64,
    /// Events in it.
    pub events: u64,
    /// Events the guest had lost when it was opened, cumulative.
    pub lost_before: u64,
    /// Events overwritten before it, cumulative; see [`Reader::overwritten`].
    pub overwritten_before: u64,
}

/// Events that a guest did not record, by reason; cumulative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// No sub-buffer was free.
    pub full: u64,
    /// Larger than a sub-buffer.
    pub too_big: u64,
    /// Too many writers nested.
    pub nested: u64,
    /// The ring came round to a reservation still open.
    pub wrapped: u64,
}

impl Lost {
    /// Events lost for any reason.
    pub fn sum(&self) -> u64 {
        self.full + self.too_big + self.nested + self.wrapped
    }
}

/// The words that tell of one complete sub-buffer, each loaded once.
pub(crate) struct Told {
    pub(crate) commit: u64,
    pub(crate) end: u64,
    pub(crate) end_stamp: u64,
    pub(crate) opened: u64,
    pub(crate) begin: u64,
    pub(crate) lost: u64,
    pub(crate) position: u64,
}

/// Reads one ring. Nothing in it is believed: every word is loaded once and
/// compared with what the reader knows by itself; the first that makes no
/// sense is the [`Fault`] that every call returns from then on.
#[derive(Debug)]
pub struct Reader<M> {
    pub(crate) memory: M,
    pub(crate) geometry: Geometry,
    /// The next sub-buffer to be read.
    pub(crate) next: u64,
    /// Below it, nothing is held.
    pub(crate) released: u64,
    /// Slots between `released` and `next` that have been given back.
    pub(crate) back: [u64; MAX_NSUB as usize / 64],
    /// The guest knows that this much is free.
    pub(crate) published: u64,
    pos: u64,
    /// No event at or past `next` is earlier.
    pub(crate) stamp: u64,
    lost: [u64; LOST_REASONS],
    lost_before: u64,
    /// Events of each slot that were read or overwritten.
    counted: [u64; MAX_NSUB as usize],
    overwritten: u64,
    pub(crate) fault: Option<Fault>,
}

impl<M: HostMemory> Reader<M> {
    /// Reads a ring from its beginning. `memory` must be of this shape.
    pub fn new(geometry: Geometry, memory: M) -> Self {
        Self::start(geometry, memory, 0, 0)
    }

    /// Reads on where an earlier reader left off: `next` is the position behind
    /// the last sub-buffer that was dealt with, and no event from there on is
    /// earlier than `stamp` ns. Overwritten events are counted, slot by slot,
    /// from the first sub-buffer that is found there.
    ///
    /// # Panics
    /// If `next` is not a multiple of `sub_size`, or above 2^62.
    pub fn resume(geometry: Geometry, memory: M, next: u64, stamp: u64) -> Self {
        assert_eq!(next, geometry.start_of(next), "sub-buffers begin elsewhere");
        assert!(next <= MAX_POS, "no ring comes so far");
        let mut reader = Self::start(geometry, memory, next, stamp);
        reader.counted = [UNKNOWN; MAX_NSUB as usize];
        reader
    }

    fn start(geometry: Geometry, memory: M, next: u64, stamp: u64) -> Self {
        Self {
            memory,
            geometry,
            next,
            released: next,
            back: [0; MAX_NSUB as usize / 64],
            published: next,
            pos: next,
            stamp,
            lost: [0; LOST_REASONS],
            lost_before: 0,
            counted: [0; MAX_NSUB as usize],
            overwritten: 0,
            fault: None,
        }
    }

    /// The next complete sub-buffer, or none yet.
    ///
    /// Discard mode: it stays in place ([`crate::Mapped::sub_buffer`]) until
    /// [`Reader::release`]; several may be out at once. Overwrite mode: its
    /// content is the first `len` bytes of `copy`, and nothing is to be
    /// released. An overwritten sub-buffer is passed over and its events
    /// counted. None also means that the guest was faster each time it was
    /// tried.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    ///
    /// # Panics
    /// Overwrite mode: if `copy` is smaller than [`Reader::copy_bytes`].
    pub fn poll(&mut self, copy: &mut [u8]) -> Result<Option<SubBuffer>, Fault> {
        self.guarded(|reader| match reader.geometry.mode() {
            Mode::Discard => reader.poll_in_place(),
            Mode::Overwrite => reader.poll_copied(copy),
        })
    }

    /// The ring's shape.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The ring's memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// Position of the next sub-buffer to be read.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Why the ring is quarantined, if it is.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Bytes that the buffer of any copying call must have.
    pub fn copy_bytes(&self) -> usize {
        (self.geometry.sub_size() + LEVELS as u64 * PREAMBLE) as usize
    }

    /// Events that were recorded and then overwritten, unread, as far as found
    /// until now. What is overwritten later in a slot that was not looked at
    /// since is found when a newer sub-buffer is read there.
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Events that the guest has lost until now.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    pub fn lost(&mut self) -> Result<Lost, Fault> {
        self.guarded(Self::load_lost)
    }

    /// Bytes between what has been given back (discard mode) or read
    /// (overwrite mode) and the guest's position; at most the ring's capacity.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    pub fn fill(&mut self) -> Result<u64, Fault> {
        self.guarded(|reader| {
            let pos = reader.load_pos()?;
            let from = match reader.geometry.mode() {
                Mode::Discard => reader.released,
                Mode::Overwrite => reader.next,
            };
            Ok(pos.saturating_sub(from).min(reader.geometry.capacity()))
        })
    }

    /// Events committed to the ring until now: those read, those still in it,
    /// and those overwritten. None: the guest was faster, try again.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    pub fn committed(&mut self) -> Result<Option<u64>, Fault> {
        self.guarded(Self::load_committed)
    }

    /// Runs `call` unless the ring is quarantined, and quarantines it if that fails.
    pub(crate) fn guarded<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let result = call(self);
        if let Err(fault) = &result {
            self.fault = Some(*fault);
        }
        result
    }

    /// The guest's position: never backward, never where no writer ends, never
    /// past what the guest may use.
    pub(crate) fn load_pos(&mut self) -> Result<u64, Fault> {
        let pos = self.memory.load_acquire(Word::Pos);
        at_least(Word::Pos, pos, self.pos)?;
        at_least(Word::Pos, pos, self.geometry.start_of(pos) + PREAMBLE)?;
        let limit = match self.geometry.mode() {
            Mode::Discard => self.published + self.geometry.capacity(),
            Mode::Overwrite => MAX_POS,
        };
        at_most(Word::Pos, pos, limit)?;
        self.pos = pos;
        Ok(pos)
    }

    pub(crate) fn load_lost(&mut self) -> Result<Lost, Fault> {
        for (reason, last) in self.lost.iter_mut().enumerate() {
            let word = Word::Lost(reason);
            let now = at_least(word, self.memory.load(word), *last)?;
            *last = at_most(word, now, MAX_LOST)?;
        }
        Ok(Lost {
            full: self.lost[LOST_FULL],
            too_big: self.lost[LOST_TOO_BIG],
            nested: self.lost[LOST_NESTED],
            wrapped: self.lost[LOST_WRAPPED],
        })
    }

    /// Bytes committed in the lap that `position` is in; nonsense if the guest
    /// has come round since.
    pub(crate) fn bytes_in_lap(&self, commit: u64, position: u64) -> u64 {
        commit.wrapping_sub(self.geometry.laps_bytes(position)) & COMMIT_BYTES
    }

    /// Events between two commit words and so many bytes.
    pub(crate) fn events_between(from: u64, to: u64, bytes: u64) -> u64 {
        to.wrapping_sub(from).wrapping_sub(bytes) / COMMIT_EVENT
    }

    /// Most events that fit so many bytes of content.
    pub(crate) fn most_events(bytes: u64) -> u64 {
        bytes.saturating_sub(PREAMBLE) / HEADER
    }

    /// The slot's commit word from when `start` was opened there: what was in
    /// the slot before is now known to have been read or overwritten.
    pub(crate) fn count_opened(&mut self, start: u64, opened: u64) -> Result<(), Fault> {
        let slot = self.geometry.slot_of(start);
        let word = Word::Opened(slot);
        let laps = self.geometry.laps_bytes(start);
        exactly(word, opened & COMMIT_BYTES, laps & COMMIT_BYTES)?;
        let events = Self::events_between(0, opened, laps);
        let counted = &mut self.counted[slot];
        if *counted == UNKNOWN {
            *counted = events;
        }
        let found = events.wrapping_sub(*counted) & EVENTS;
        let room = match self.geometry.mode() {
            Mode::Discard => 0,
            // All that was ever overwritten lay before this sub-buffer.
            Mode::Overwrite => Self::most_events(laps)
                .min(Self::most_events(start).saturating_sub(self.overwritten)),
        };
        at_most(word, found, room)?;
        *counted = events;
        self.overwritten += found;
        Ok(())
    }

    /// Takes the sub-buffer at `next`, if what is told of it makes sense.
    pub(crate) fn take(&mut self, told: &Told) -> Result<SubBuffer, Fault> {
        let (start, size) = (self.next, self.geometry.sub_size());
        let slot = self.geometry.slot_of(start);
        exactly(Word::PreamblePosition(slot), told.position, start)?;
        at_least(Word::End(slot), told.end, start + PREAMBLE)?;
        at_most(Word::End(slot), told.end, start + size - 1)?;
        at_least(Word::PreambleBegin(slot), told.begin, self.stamp)?;
        at_least(Word::EndStamp(slot), told.end_stamp, told.begin)?;
        let lost_before = self.check_lost_before(slot, told.lost)?;
        self.count_opened(start, told.opened)?;
        let events = Self::events_between(told.opened, told.commit, size);
        at_most(
            Word::Commit(slot),
            events,
            Self::most_events(told.end - start),
        )?;

        self.counted[slot] = (self.counted[slot] + events) & EVENTS;
        self.stamp = told.end_stamp;
        self.lost_before = lost_before;
        self.next = start + size;
        Ok(SubBuffer {
            position: start,
            slot,
            len: (told.end - start) as usize,
            begin: told.begin,
            end: told.end_stamp,
            events,
            lost_before,
            overwritten_before: self.overwritten,
        })
    }

    /// A preamble's `lost`: no less than the last one's, no more than are lost by now.
    pub(crate) fn check_lost_before(&mut self, slot: usize, lost: u64) -> Result<u64, Fault> {
        let now = self.load_lost()?.sum();
        at_least(Word::PreambleLost(slot), lost, self.lost_before)?;
        at_most(Word::PreambleLost(slot), lost, now)
    }

    /// What the last sub-buffer taken said was lost before it.
    pub(crate) fn lost_before(&self) -> u64 {
        self.lost_before
    }

    fn load_committed(&mut self) -> Result<Option<u64>, Fault> {
        const ATTEMPTS: usize = 3;
        let (size, nsub) = (self.geometry.sub_size(), self.geometry.nsub());
        for _ in 0..ATTEMPTS {
            let pos = self.load_pos()?;
            let (mut total, mut fullest) = (0, (0, 0));
            for slot in 0..nsub {
                // The newest sub-buffer in this slot; in the first lap perhaps
                // none, but then no lap was before it either.
                let behind = (self.geometry.slot_of(pos) + nsub - slot) % nsub;
                let newest = self
                    .geometry
                    .start_of(pos)
                    .saturating_sub(behind as u64 * size);
                let commit = self.memory.load_acquire(Word::Commit(slot));
                let bytes = self.bytes_in_lap(commit, newest);
                fullest = fullest.max((bytes, slot));
                let before = self.geometry.laps_bytes(newest);
                total += Self::events_between(0, commit, before.wrapping_add(bytes));
            }
            // No slot was opened twice since; two laps' bytes fit a commit word.
            if self.load_pos()? - pos < self.geometry.capacity() {
                at_most(Word::Commit(fullest.1), fullest.0, 2 * size)?;
                return Ok(Some(total));
            }
        }
        Ok(None)
    }
}
