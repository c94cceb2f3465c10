//! What a ring says when its guest wrote nonsense.

use core::error::Error;
use core::fmt;

use crate::word::Word;

/// How a word broke its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Less than the bound: something that only grows went backward, or lies
    /// before where it belongs.
    Below,
    /// More than the bound.
    Above,
    /// Not the bound, the one value possible.
    Not,
}

/// A word of the guest's that makes no sense. The ring it is in is
/// quarantined: its reader returns the same fault from now on, and neither
/// reads nor writes the ring again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The word.
    pub word: Word,
    /// What was loaded from it; or what of it broke the bound, which of a
    /// commit word is the bytes of this lap, or the events.
    pub value: u64,
    /// How it is wrong.
    pub breach: Breach,
    /// The bound it broke, by the reader's own idea of the ring.
    pub bound: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.breach {
            Breach::Below => "below",
            Breach::Above => "above",
            Breach::Not => "not",
        };
        let backward = match (self.breach, self.word.is_stamp()) {
            (Breach::Below, true) => " (backward in time)",
            _ => "",
        };
        write!(
            f,
            "{} is {:#x}, {how} {:#x}{backward}",
            self.word, self.value, self.bound
        )
    }
}

impl Error for Fault {}

/// Fails unless `value <= bound`.
pub(crate) fn at_most(word: Word, value: u64, bound: u64) -> Result<u64, Fault> {
    check(value <= bound, word, value, Breach::Above, bound)
}

/// Fails unless `value >= bound`.
pub(crate) fn at_least(word: Word, value: u64, bound: u64) -> Result<u64, Fault> {
    check(value >= bound, word, value, Breach::Below, bound)
}

/// Fails unless `value == bound`.
pub(crate) fn exactly(word: Word, value: u64, bound: u64) -> Result<u64, Fault> {
    check(value == bound, word, value, Breach::Not, bound)
}

fn check(sane: bool, word: Word, value: u64, breach: Breach, bound: u64) -> Result<u64, Fault> {
    if sane {
        Ok(value)
    } else {
        Err(Fault {
            word,
            value,
            breach,
            bound,
        })
    }
}
