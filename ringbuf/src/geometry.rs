//! The shape of a ring, once its descriptor has been believed.

use core::error::Error;
use core::fmt;
use core::mem::size_of;

use crate::layout::{
    MAX_NSUB, MAX_SUB, MIN_NSUB, MIN_SUB, MODE_DISCARD, MODE_OVERWRITE, PAGE, RING_MAGIC, RingDesc,
    RingGuest, Sub, VERSION,
};

/// What a full ring does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// New events are lost; the host gives sub-buffers back.
    Discard,
    /// The oldest sub-buffer is lost; the host writes nothing into the ring.
    Overwrite,
}

/// Why a descriptor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescError {
    /// The magic is another.
    Magic(u32),
    /// A version of the layout that is not known here.
    Version(u32),
    /// A mode that is not known here.
    Mode(u32),
    /// A sub-buffer's size that is no power of two or out of bounds, in bytes.
    SubSize(u32),
    /// A number of sub-buffers that is no power of two or out of bounds.
    NumSub(u32),
    /// An address that is not page-aligned or overflows; of this slot's
    /// sub-buffer, or of the control area.
    Address {
        /// The slot, or none for the control area.
        slot: Option<u32>,
        /// The guest-physical address.
        gpa: u64,
    },
    /// This slot's sub-buffer lies over another one or over the control area.
    Overlap {
        /// The slot.
        slot: u32,
        /// Its guest-physical address.
        gpa: u64,
    },
}

impl fmt::Display for DescError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DescError::Magic(value) => write!(f, "magic is {value:#x}, not {RING_MAGIC:#x}"),
            DescError::Version(value) => write!(f, "version is {value}, not {VERSION}"),
            DescError::Mode(value) => write!(f, "mode is {value}, neither 0 nor 1"),
            DescError::SubSize(value) => write!(
                f,
                "sub_size is {value}, not a power of two between {MIN_SUB} and {MAX_SUB}"
            ),
            DescError::NumSub(value) => write!(
                f,
                "nsub is {value}, not a power of two between {MIN_NSUB} and {MAX_NSUB}"
            ),
            DescError::Address {
                slot: Some(slot),
                gpa,
            } => {
                write!(f, "sub_gpa[{slot}] is {gpa:#x}, not a page's address")
            }
            DescError::Address { slot: None, gpa } => {
                write!(f, "control area at {gpa:#x}, not a page's address")
            }
            DescError::Overlap { slot, gpa } => {
                write!(
                    f,
                    "sub_gpa[{slot}] is {gpa:#x}, which another part of the ring covers"
                )
            }
        }
    }
}

impl Error for DescError {}

/// The shape of a ring. Every value is within its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    mode: Mode,
    sub_size: u32,
    nsub: u32,
}

impl Geometry {
    /// A shape by itself; `sub_size` in bytes.
    ///
    /// # Errors
    /// [`DescError::SubSize`], [`DescError::NumSub`].
    pub fn new(mode: Mode, sub_size: u32, nsub: u32) -> Result<Self, DescError> {
        if !sub_size.is_power_of_two() || !(MIN_SUB..=MAX_SUB).contains(&sub_size) {
            return Err(DescError::SubSize(sub_size));
        }
        if !nsub.is_power_of_two() || !(MIN_NSUB..=MAX_NSUB).contains(&nsub) {
            return Err(DescError::NumSub(nsub));
        }
        Ok(Self {
            mode,
            sub_size,
            nsub,
        })
    }

    /// The shape that a descriptor tells, if all of it makes sense in itself:
    /// magic, version, mode, sizes, and addresses that are aligned and lie
    /// apart. `control_gpa` is the control area's own address. Whether the
    /// addresses are in guest memory, whether other rings lie there, and
    /// whether ring, vCPU, channel and epoch are right, is the caller's to say.
    ///
    /// # Errors
    /// The first [`DescError`] found.
    pub fn validate(desc: &RingDesc, control_gpa: u64) -> Result<Self, DescError> {
        if desc.magic != RING_MAGIC {
            return Err(DescError::Magic(desc.magic));
        }
        if desc.version != VERSION {
            return Err(DescError::Version(desc.version));
        }
        let mode = match desc.mode {
            MODE_DISCARD => Mode::Discard,
            MODE_OVERWRITE => Mode::Overwrite,
            other => return Err(DescError::Mode(other)),
        };
        let geometry = Self::new(mode, desc.sub_size, desc.nsub)?;
        let control_end =
            area_end(control_gpa, geometry.control_bytes()).ok_or(DescError::Address {
                slot: None,
                gpa: control_gpa,
            })?;
        let addresses = &desc.sub_gpa[..geometry.nsub()];
        for (slot, &gpa) in (0u32..).zip(addresses) {
            let end = area_end(gpa, geometry.sub_size()).ok_or(DescError::Address {
                slot: Some(slot),
                gpa,
            })?;
            let over_control = gpa < control_end && control_gpa < end;
            let over_earlier = addresses[..slot as usize]
                .iter()
                .any(|&other| gpa.abs_diff(other) < geometry.sub_size());
            if over_control || over_earlier {
                return Err(DescError::Overlap { slot, gpa });
            }
        }
        Ok(geometry)
    }

    /// What the ring does when it is full.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Bytes of a sub-buffer.
    pub fn sub_size(&self) -> u64 {
        self.sub_size.into()
    }

    /// Number of sub-buffers.
    pub fn nsub(&self) -> usize {
        self.nsub as usize
    }

    /// Bytes of all sub-buffers.
    pub fn capacity(&self) -> u64 {
        self.sub_size() * u64::from(self.nsub)
    }

    /// Bytes of the control area, a whole number of pages: descriptor, host
    /// page, guest part.
    pub fn control_bytes(&self) -> u64 {
        2 * PAGE + self.guest_bytes()
    }

    /// Bytes of the control area's guest part, a whole number of pages.
    pub fn guest_bytes(&self) -> u64 {
        ((size_of::<RingGuest>() + self.nsub() * size_of::<Sub>()) as u64).next_multiple_of(PAGE)
    }

    /// Position of the sub-buffer that `position` is in.
    pub fn start_of(&self, position: u64) -> u64 {
        position & !(self.sub_size() - 1)
    }

    /// Slot of the sub-buffer that `position` is in.
    pub fn slot_of(&self, position: u64) -> usize {
        ((position & (self.capacity() - 1)) / self.sub_size()) as usize
    }

    /// Bytes committed to a slot before the lap that `position` is in.
    pub(crate) fn laps_bytes(&self, position: u64) -> u64 {
        position / self.capacity() * self.sub_size()
    }
}

fn area_end(gpa: u64, bytes: u64) -> Option<u64> {
    if gpa.is_multiple_of(PAGE) {
        gpa.checked_add(bytes)
    } else {
        None
    }
}
