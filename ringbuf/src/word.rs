//! Names for the words that guest and host share.

use core::fmt;
use core::mem::{offset_of, size_of};

use crate::layout::{Open, Preamble, RingGuest, RingHost, Sub};

/// A word that the guest writes. Levels are below [`crate::layout::LEVELS`],
/// reasons below [`crate::layout::LOST_REASONS`], slots below the ring's `nsub`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// `guest.pos`, a position in bytes.
    Pos,
    /// `guest.stamp`, in ns.
    Stamp,
    /// `guest.active`, a number of writers.
    Active,
    /// `guest.open[level].begin`, a position.
    OpenBegin(usize),
    /// `guest.open[level].len`, bytes and a flag.
    OpenLen(usize),
    /// `guest.open[level].stamp`, in ns.
    OpenStamp(usize),
    /// `guest.open[level].overtaken`, a position.
    OpenOvertaken(usize),
    /// `guest.lost[reason]`, events.
    Lost(usize),
    /// `sub[slot].commit`, events and bytes.
    Commit(usize),
    /// `sub[slot].end`, a position.
    End(usize),
    /// `sub[slot].end_stamp`, in ns.
    EndStamp(usize),
    /// `sub[slot].opened`, a commit word.
    Opened(usize),
    /// The preamble's `begin` in this slot, in ns.
    PreambleBegin(usize),
    /// The preamble's `lost` in this slot, events.
    PreambleLost(usize),
    /// The preamble's `position` in this slot.
    PreamblePosition(usize),
}

/// Where a word of the guest's lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// So many bytes into the control area's guest part.
    Guest(usize),
    /// So many bytes into the sub-buffer of this slot.
    Data(usize, usize),
}

impl Word {
    /// Where the word lies; always 8-aligned, and inside as long as level,
    /// reason and slot are.
    pub const fn place(self) -> Place {
        const fn open(level: usize, field: usize) -> Place {
            Place::Guest(offset_of!(RingGuest, open) + level * size_of::<Open>() + field)
        }
        const fn sub(slot: usize, field: usize) -> Place {
            Place::Guest(size_of::<RingGuest>() + slot * size_of::<Sub>() + field)
        }
        match self {
            Word::Pos => Place::Guest(offset_of!(RingGuest, pos)),
            Word::Stamp => Place::Guest(offset_of!(RingGuest, stamp)),
            Word::Active => Place::Guest(offset_of!(RingGuest, active)),
            Word::OpenBegin(level) => open(level, offset_of!(Open, begin)),
            Word::OpenLen(level) => open(level, offset_of!(Open, len)),
            Word::OpenStamp(level) => open(level, offset_of!(Open, stamp)),
            Word::OpenOvertaken(level) => open(level, offset_of!(Open, overtaken)),
            Word::Lost(reason) => Place::Guest(offset_of!(RingGuest, lost) + 8 * reason),
            Word::Commit(slot) => sub(slot, offset_of!(Sub, commit)),
            Word::End(slot) => sub(slot, offset_of!(Sub, end)),
            Word::EndStamp(slot) => sub(slot, offset_of!(Sub, end_stamp)),
            Word::Opened(slot) => sub(slot, offset_of!(Sub, opened)),
            Word::PreambleBegin(slot) => Place::Data(slot, offset_of!(Preamble, begin)),
            Word::PreambleLost(slot) => Place::Data(slot, offset_of!(Preamble, lost)),
            Word::PreamblePosition(slot) => Place::Data(slot, offset_of!(Preamble, position)),
        }
    }

    /// Whether the word is a time.
    pub const fn is_stamp(self) -> bool {
        matches!(
            self,
            Word::Stamp | Word::OpenStamp(_) | Word::EndStamp(_) | Word::PreambleBegin(_)
        )
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Pos => write!(f, "pos"),
            Word::Stamp => write!(f, "stamp"),
            Word::Active => write!(f, "active"),
            Word::OpenBegin(level) => write!(f, "open[{level}].begin"),
            Word::OpenLen(level) => write!(f, "open[{level}].len"),
            Word::OpenStamp(level) => write!(f, "open[{level}].stamp"),
            Word::OpenOvertaken(level) => write!(f, "open[{level}].overtaken"),
            Word::Lost(reason) => write!(f, "lost[{reason}]"),
            Word::Commit(slot) => write!(f, "sub[{slot}].commit"),
            Word::End(slot) => write!(f, "sub[{slot}].end"),
            Word::EndStamp(slot) => write!(f, "sub[{slot}].end_stamp"),
            Word::Opened(slot) => write!(f, "sub[{slot}].opened"),
            Word::PreambleBegin(slot) => write!(f, "preamble[{slot}].begin"),
            Word::PreambleLost(slot) => write!(f, "preamble[{slot}].lost"),
            Word::PreamblePosition(slot) => write!(f, "preamble[{slot}].position"),
        }
    }
}

/// A word that the host writes, on a page of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostWord {
    /// `host.consumed`, a position.
    Consumed,
    /// `host.wake_at`, a position.
    WakeAt,
}

impl HostWord {
    /// Its offset in the host's page, in bytes.
    pub const fn offset(self) -> usize {
        match self {
            HostWord::Consumed => offset_of!(RingHost, consumed),
            HostWord::WakeAt => offset_of!(RingHost, wake_at),
        }
    }
}
