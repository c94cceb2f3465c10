//! Reading in discard mode: in place, and giving back.

use core::error::Error;
use core::fmt;

use crate::fault::{Fault, at_least, at_most};
use crate::geometry::Mode;
use crate::layout::PREAMBLE;
use crate::memory::HostMemory;
use crate::permit::Live;
use crate::reader::{Reader, SubBuffer, Told};
use crate::word::{HostWord, Word};

/// A position was released that is not that of a sub-buffer still out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOut(
    /// The position.
    pub u64,
);

impl fmt::Display for NotOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no sub-buffer is out at position {:#x}", self.0)
    }
}

impl Error for NotOut {}

impl<M: HostMemory> Reader<M> {
    pub(crate) fn poll_in_place(&mut self) -> Result<Option<SubBuffer>, Fault> {
        let (start, size) = (self.next, self.geometry.sub_size());
        let slot = self.geometry.slot_of(start);
        let commit = self.memory.load_acquire(Word::Commit(slot));
        let bytes = at_most(Word::Commit(slot), self.bytes_in_lap(commit, start), size)?;
        let pos = self.load_pos()?;
        if bytes < size {
            return Ok(None);
        }
        at_least(Word::Pos, pos, start + size + PREAMBLE)?;
        let load = |word| self.memory.load(word);
        let told = Told {
            commit,
            end: load(Word::End(slot)),
            end_stamp: load(Word::EndStamp(slot)),
            opened: load(Word::Opened(slot)),
            begin: load(Word::PreambleBegin(slot)),
            lost: load(Word::PreambleLost(slot)),
            position: load(Word::PreamblePosition(slot)),
        };
        self.take(&told).map(Some)
    }

    /// Discard mode: the sub-buffer at `position` is done with. They may come
    /// back in any order; what lies below the lowest still out becomes free for
    /// the guest with the next [`Reader::publish`]. Returns that position.
    /// Works in quarantine too, so that nothing is left out.
    ///
    /// # Errors
    /// [`NotOut`], and nothing has changed.
    pub fn release(&mut self, position: u64) -> Result<u64, NotOut> {
        let (size, out) = (self.geometry.sub_size(), self.released..self.next);
        let slot = self.geometry.slot_of(position);
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        let begins = position == self.geometry.start_of(position);
        let in_place = self.geometry.mode() == Mode::Discard;
        if !in_place || !begins || !out.contains(&position) || self.back[word] & bit != 0 {
            return Err(NotOut(position));
        }
        self.back[word] |= bit;
        while self.released < self.next {
            let slot = self.geometry.slot_of(self.released);
            let (word, bit) = (slot / 64, 1 << (slot % 64));
            if self.back[word] & bit == 0 {
                break;
            }
            self.back[word] &= !bit;
            self.released += size;
        }
        Ok(self.released)
    }

    /// Below this position nothing is out any more.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Tells the guest what it may use again: `host.consumed`. Nothing in
    /// overwrite mode or in quarantine.
    pub fn publish(&mut self, _live: &Live<'_>) {
        if self.geometry.mode() == Mode::Discard && self.fault.is_none() {
            self.memory.store(HostWord::Consumed, self.released);
            self.published = self.released;
        }
    }
}
