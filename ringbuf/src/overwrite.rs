//! Reading in overwrite mode: copy, then look whether it was overtaken.

use crate::fault::{Fault, at_most};
use crate::layout::{PREAMBLE, Preamble};
use crate::memory::HostMemory;
use crate::reader::{Reader, SubBuffer, Told};
use crate::word::Word;

impl<M: HostMemory> Reader<M> {
    pub(crate) fn poll_copied(&mut self, copy: &mut [u8]) -> Result<Option<SubBuffer>, Fault> {
        const ATTEMPTS: usize = 4;
        assert!(copy.len() >= self.copy_bytes(), "room for a sub-buffer");
        for _ in 0..ATTEMPTS {
            let pos = self.load_pos()?;
            self.pass_over(pos)?;
            let start = self.next;
            if start == self.geometry.start_of(pos) {
                return Ok(None);
            }
            let told = self.copy_next(copy);
            if self.load_pos()? > start + self.geometry.capacity() {
                continue;
            }
            return match told? {
                Some(told) => self.take(&told).map(Some),
                None => Ok(None),
            };
        }
        Ok(None)
    }

    /// Goes on at the oldest sub-buffer still there. Its slot and all others
    /// were opened since; each tells how many events were in it before.
    pub(crate) fn pass_over(&mut self, pos: u64) -> Result<(), Fault> {
        let (size, capacity) = (self.geometry.sub_size(), self.geometry.capacity());
        let oldest = (self.geometry.start_of(pos) + size).saturating_sub(capacity);
        if self.next >= oldest {
            return Ok(());
        }
        for start in (oldest..oldest + capacity).step_by(size as usize) {
            let slot = self.geometry.slot_of(start);
            let opened = self.memory.load_acquire(Word::Opened(slot));
            // The opener may not have stored it yet, and by now the slot may be
            // laps ahead; then it is counted when something is read there.
            let told = self.bytes_in_lap(opened, start) == 0;
            if told && self.load_pos()? < start + 2 * capacity {
                self.count_opened(start, opened)?;
            }
        }
        self.next = oldest;
        self.released = oldest;
        Ok(())
    }

    /// Copies the sub-buffer at `next` and the words about it; none: it is
    /// incomplete. All of it is nonsense if it was overtaken.
    fn copy_next(&self, copy: &mut [u8]) -> Result<Option<Told>, Fault> {
        let (start, size) = (self.next, self.geometry.sub_size());
        let slot = self.geometry.slot_of(start);
        let commit = self.memory.load_acquire(Word::Commit(slot));
        let bytes = at_most(Word::Commit(slot), self.bytes_in_lap(commit, start), size)?;
        if bytes < size {
            return Ok(None);
        }
        let end = self.memory.load(Word::End(slot));
        let end_stamp = self.memory.load(Word::EndStamp(slot));
        let opened = self.memory.load(Word::Opened(slot));
        let len = end.wrapping_sub(start).clamp(PREAMBLE, size);
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
        Ok(Some(Told {
            commit,
            end,
            end_stamp,
            opened,
            begin,
            lost,
            position,
        }))
    }
}
