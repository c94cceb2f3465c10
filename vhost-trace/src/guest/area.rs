//! Stretches of guest memory that outlive the memory table they came from.

use std::sync::Arc;

use super::map::Region;

/// Bytes of guest memory that lie in one region, and what keeps them mapped.
///
/// An area stays readable after its region was removed from the guest's memory
/// table: the mapping goes with its last area. That the bytes exist does not
/// say that they may be written.
#[derive(Clone, Debug)]
pub struct Area {
    region: Arc<Region>,
    gpa: u64,
    offset: usize,
    len: usize,
}

/// Why an address is none for an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadArea {
    /// Not a multiple of what was asked for.
    #[error("address {gpa:#x} is not a multiple of {align}")]
    Misaligned {
        /// The address.
        gpa: u64,
        /// What it has to be a multiple of.
        align: u64,
    },
    /// No region has all of it.
    #[error("{len} bytes at {gpa:#x} are not in one region of guest memory")]
    Outside {
        /// The address.
        gpa: u64,
        /// How many bytes.
        len: u64,
    },
}

impl Area {
    /// `len` bytes at `offset` of the region, which has them.
    pub(super) fn new(region: Arc<Region>, gpa: u64, offset: usize, len: usize) -> Area {
        Area {
            region,
            gpa,
            offset,
            len,
        }
    }

    /// Where the guest has it.
    pub fn gpa(&self) -> u64 {
        self.gpa
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where this process has it, as long as this area or a clone lives.
    pub fn as_ptr(&self) -> *mut u8 {
        // SAFETY: whoever made the area has checked that offset + len is
        // within the region's mapping, which lives as long as the region.
        unsafe { self.region.as_ptr().add(self.offset) }
    }

    /// What tells its first byte from others: device, inode, place in the file.
    pub(super) fn place(&self) -> Option<(u64, u64, u64)> {
        self.region.place(self.offset)
    }

    /// What keeps the bytes mapped.
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }
}
