//! Cutting inside the sub-buffer that a running guest is writing.

use crate::fault::{Fault, at_least, at_most, exactly};
use crate::layout::{LEVELS, Preamble};
use crate::memory::HostMemory;
use crate::reader::Reader;
use crate::word::Word;

/// The beginning of the incomplete sub-buffer, copied; it holds whole events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The sub-buffer's position. The copy begins here, with the preamble.
    pub position: u64,
    /// Bytes copied, the preamble's 24 included.
    pub len: usize,
    /// No event in it is earlier; ns.
    pub begin: u64,
    /// No event in it is later, and none that is still to come is earlier; ns.
    pub end: u64,
    /// No writer was active: `end` is at least the time the caller gave.
    pub quiet: bool,
    /// Events in it.
    pub events: u64,
    /// Events the guest had lost when the sub-buffer was opened, cumulative.
    pub lost_before: u64,
}

impl<M: HostMemory> Reader<M> {
    /// Copies what is in the incomplete sub-buffer, if at this moment all of it
    /// is committed; none otherwise, or while an earlier one is unread. The
    /// ring is left as it is: a later call begins at the same place, and so
    /// does [`Reader::poll`] when the sub-buffer is complete.
    ///
    /// `now` is called once for each attempt. It returns a trace clock time in
    /// ns, before the present by more than the clock's error and by more than a
    /// store of the guest takes to become visible here.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    ///
    /// # Panics
    /// If `copy` is smaller than [`Reader::copy_bytes`].
    pub fn cut(
        &mut self,
        mut now: impl FnMut() -> u64,
        copy: &mut [u8],
    ) -> Result<Option<Cut>, Fault> {
        const ATTEMPTS: usize = 3;
        assert!(copy.len() >= self.copy_bytes(), "room for a sub-buffer");
        self.guarded(|reader| {
            for _ in 0..ATTEMPTS {
                let pos = reader.load_pos()?;
                if reader.next != reader.geometry.start_of(pos) {
                    return Ok(None);
                }
                let found = reader.cut_at(pos, now(), copy);
                // Unchanged, so what is committed is all that was reserved.
                if reader.load_pos()? == pos {
                    return found;
                }
            }
            Ok(None)
        })
    }

    fn cut_at(&mut self, pos: u64, now: u64, copy: &mut [u8]) -> Result<Option<Cut>, Fault> {
        let start = self.next;
        let slot = self.geometry.slot_of(start);
        let len = pos - start;
        let active = self.memory.load_acquire(Word::Active);
        let commit = self.memory.load_acquire(Word::Commit(slot));
        let stamp = self.memory.load(Word::Stamp);
        let opened = self.memory.load(Word::Opened(slot));
        if at_most(Word::Commit(slot), self.bytes_in_lap(commit, start), len)? < len {
            return Ok(None);
        }
        self.memory.copy(slot, 0, &mut copy[..len as usize]);
        self.memory.fence_acquire();
        let Some((preamble, _)) = copy.split_first_chunk() else {
            return Ok(None);
        };
        let Preamble {
            begin,
            lost,
            position,
        } = Preamble::from_bytes(preamble);
        exactly(Word::PreamblePosition(slot), position, start)?;
        at_least(Word::PreambleBegin(slot), begin, self.stamp)?;
        at_least(Word::Stamp, stamp, begin)?;
        let lost_before = self.check_lost_before(slot, lost)?;
        self.count_opened(start, opened)?;
        let events = Self::events_between(opened, commit, len);
        at_most(Word::Commit(slot), events, Self::most_events(len))?;
        let quiet = at_most(Word::Active, active, LEVELS as u64)? == 0;
        Ok(Some(Cut {
            position: start,
            len: len as usize,
            begin,
            end: if quiet { stamp.max(now) } else { stamp },
            quiet,
            events,
            lost_before,
        }))
    }
}
