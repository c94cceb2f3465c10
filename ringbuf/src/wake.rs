//! Being woken when there is something to read.

use crate::fault::Fault;
use crate::layout::WAKE_NEVER;
use crate::memory::HostMemory;
use crate::permit::Live;
use crate::reader::Reader;
use crate::word::{HostWord, Word};

/// What to do after [`Reader::arm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Armed {
    /// Sleep: the guest will kick, once, when it ends the sub-buffer asked for.
    Kick,
    /// It has been ended: poll now, no kick may come.
    Ready,
    /// It has been ended, but a writer that was interrupted has yet to commit
    /// to the next one to be read: poll again soon, no kick may come.
    Soon,
}

impl<M: HostMemory> Reader<M> {
    /// Asks to be kicked when the guest ends a sub-buffer at or past `wake_at`,
    /// a position; `next() + sub_size` is the earliest, which anything below
    /// stands for. One kick at most follows each call. A sleeper needs a slow
    /// time-out of its own all the same: the guest may never get there.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    pub fn arm(&mut self, _live: &Live<'_>, wake_at: u64) -> Result<Armed, Fault> {
        let wake_at = wake_at.max(self.next + self.geometry.sub_size());
        self.guarded(|reader| {
            if reader.load_pos()? < wake_at {
                reader.memory.store(HostWord::WakeAt, wake_at);
                // Pairs with the writer's fence between its commit and wake_at.
                reader.memory.fence_full();
                if reader.load_pos()? < wake_at {
                    return Ok(Armed::Kick);
                }
            }
            let next = reader.next;
            let commit = reader
                .memory
                .load_acquire(Word::Commit(reader.geometry.slot_of(next)));
            Ok(
                match reader.bytes_in_lap(commit, next) < reader.geometry.sub_size() {
                    true => Armed::Soon,
                    false => Armed::Ready,
                },
            )
        })
    }

    /// Asks for no kick; one that is under way may still arrive.
    pub fn disarm(&mut self, _live: &Live<'_>) {
        if self.fault.is_none() {
            self.memory.store(HostWord::WakeAt, WAKE_NEVER);
        }
    }
}
