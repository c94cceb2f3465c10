//! Reservations that a guest had in flight when it stopped.

use crate::fault::{Fault, at_least, at_most};
use crate::layout::{HEADER, LEVELS, OPEN_GOT, PREAMBLE};
use crate::memory::HostMemory;
use crate::reader::Reader;
use crate::word::Word;

/// Bytes that a writer had reserved and not, or not certainly, committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The writer's nesting level; 0 nested into nobody.
    pub level: usize,
    /// Position of its first byte.
    pub begin: u64,
    /// Its bytes.
    pub len: u64,
    /// The writer's stamp, ns: no event before it is later, none after it earlier.
    pub stamp: u64,
}

impl Hole {
    pub(crate) fn end(&self) -> u64 {
        self.begin + self.len
    }
}

/// The reservations in flight, by level; their positions ascend.
pub(crate) type Open = [Option<Hole>; LEVELS];

impl<M: HostMemory> Reader<M> {
    /// Loads the records of the reservations in flight and tells those that
    /// were made from those that were only about to be.
    ///
    /// A record is stored before the compare-and-exchange that it announces. It
    /// is of a reservation if a nested writer has found so and marked it. If
    /// not marked, no nested writer ended behind its begin, the position went
    /// past it, and the bytes are not those of a level above.
    pub(crate) fn load_open(&self, pos: u64) -> Result<Open, Fault> {
        let mut open = [None; LEVELS];
        let mut limit = pos;
        for level in (0..LEVELS).rev() {
            let begin = self.memory.load(Word::OpenBegin(level));
            let word = self.memory.load(Word::OpenLen(level));
            let stamp = self.memory.load(Word::OpenStamp(level));
            let overtaken = self.memory.load(Word::OpenOvertaken(level));
            let (len, got) = (word & !OPEN_GOT, word & OPEN_GOT != 0);
            if len == 0 || !(got || (begin >= overtaken && begin < limit)) {
                continue;
            }
            at_most(Word::OpenBegin(level), begin, limit - 1)?;
            at_least(
                Word::OpenBegin(level),
                begin,
                self.geometry.start_of(begin) + PREAMBLE,
            )?;
            at_most(Word::OpenLen(level), len, limit - begin)?;
            let following = self.geometry.start_of(begin) + self.geometry.sub_size();
            if begin + len >= following {
                let (least, most) = (PREAMBLE + HEADER, self.geometry.sub_size() - 1);
                at_least(Word::OpenLen(level), len, following + least - begin)?;
                at_most(Word::OpenLen(level), len, following + most - begin)?;
            }
            open[level] = Some(Hole {
                level,
                begin,
                len,
                stamp,
            });
            limit = begin;
        }
        Ok(open)
    }
}
