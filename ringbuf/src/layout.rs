//! The memory that guest and host share, as `guest-driver/vtrace_abi.h` has it
//! (`docs/virtio-trace.md`, "Ring layout").
//!
//! Everything is little-endian. The structures are never borrowed where they
//! stand: their words are loaded one by one ([`crate::HostMemory`]). They serve
//! to compute offsets, and to hold copies.

use core::mem::{offset_of, size_of};

/// Bytes of a page; sub-buffers and control areas are aligned to it.
pub const PAGE: u64 = 4096;
/// Smallest size of a sub-buffer, in bytes. Models explore rings of a few words.
pub const MIN_SUB: u32 = if cfg!(loom) { 64 } else { 4096 };
/// Largest size of a sub-buffer, in bytes.
pub const MAX_SUB: u32 = 4 << 20;
/// Fewest sub-buffers of a ring.
pub const MIN_NSUB: u32 = 2;
/// Most sub-buffers of a ring.
pub const MAX_NSUB: u32 = 256;
/// How deep writers nest; one more loses its event.
pub const LEVELS: usize = 4;
/// `RingDesc::magic`, "VRNG".
pub const RING_MAGIC: u32 = 0x474e_5256;
/// The version of this layout.
pub const VERSION: u32 = 1;
/// `RingDesc::mode`: a full ring loses new events.
pub const MODE_DISCARD: u32 = 0;
/// `RingDesc::mode`: a full ring loses its oldest sub-buffer.
pub const MODE_OVERWRITE: u32 = 1;
/// `RingHost::wake_at`: no kick is wanted.
pub const WAKE_NEVER: u64 = u64::MAX;
/// In `Open::len`: the reservation is certain.
pub const OPEN_GOT: u64 = 1 << 63;
/// One event in a commit word.
pub const COMMIT_EVENT: u64 = 1 << 24;
/// The bytes of a commit word, modulo their 24 bits.
pub const COMMIT_BYTES: u64 = COMMIT_EVENT - 1;
/// Number of reasons in `RingGuest::lost`.
pub const LOST_REASONS: usize = 4;
/// Index in `RingGuest::lost`: discard mode, no free sub-buffer.
pub const LOST_FULL: usize = 0;
/// Index in `RingGuest::lost`: does not fit a sub-buffer.
pub const LOST_TOO_BIG: usize = 1;
/// Index in `RingGuest::lost`: more than [`LEVELS`] writers nested.
pub const LOST_NESTED: usize = 2;
/// Index in `RingGuest::lost`: would lap a reservation still open.
pub const LOST_WRAPPED: usize = 3;
/// The id that announces a full event header.
pub const ID_FULL: u16 = 0xffff;
/// Bytes of an event header: u16 id, u32 time.
pub const HEADER: u64 = 6;
/// Bytes of a full event header: [`ID_FULL`], u32 id, u64 time.
pub const HEADER_FULL: u64 = 14;
/// Bytes of a [`Preamble`].
pub const PREAMBLE: u64 = size_of::<Preamble>() as u64;

/// Page 0 of a control area, constant once the ring is registered.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RingDesc {
    /// [`RING_MAGIC`].
    pub magic: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Number of the ring within its epoch.
    pub ring: u32,
    /// The only vCPU that writes it.
    pub vcpu: u32,
    /// Channel whose events it takes.
    pub channel: u32,
    /// [`MODE_DISCARD`] or [`MODE_OVERWRITE`].
    pub mode: u32,
    /// Bytes of a sub-buffer, a power of two.
    pub sub_size: u32,
    /// Number of sub-buffers, a power of two.
    pub nsub: u32,
    /// Epoch in which it was registered.
    pub epoch: u64,
    /// Zero.
    pub reserved: [u64; 3],
    /// Guest-physical address of each sub-buffer.
    pub sub_gpa: [u64; MAX_NSUB as usize],
}

impl RingDesc {
    /// Bytes of the structure in guest memory.
    pub const BYTES: usize = size_of::<Self>();

    /// Decodes a private copy of the page's first [`RingDesc::BYTES`] bytes.
    /// The result is as hostile as the bytes: [`crate::Geometry::validate`] is
    /// next.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let u64_at = |at: usize| u64_at(bytes, at);
        let u32_at = |at: usize| u64_at(at) as u32;
        Self {
            magic: u32_at(offset_of!(Self, magic)),
            version: u32_at(offset_of!(Self, version)),
            ring: u32_at(offset_of!(Self, ring)),
            vcpu: u32_at(offset_of!(Self, vcpu)),
            channel: u32_at(offset_of!(Self, channel)),
            mode: u32_at(offset_of!(Self, mode)),
            sub_size: u32_at(offset_of!(Self, sub_size)),
            nsub: u32_at(offset_of!(Self, nsub)),
            epoch: u64_at(offset_of!(Self, epoch)),
            reserved: core::array::from_fn(|i| u64_at(offset_of!(Self, reserved) + 8 * i)),
            sub_gpa: core::array::from_fn(|i| u64_at(offset_of!(Self, sub_gpa) + 8 * i)),
        }
    }
}

/// Page 1 of a control area, written by the host only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RingHost {
    /// Discard mode: sub-buffers below this position are free.
    pub consumed: u64,
    /// Kick when a sub-buffer ends at or past this position.
    pub wake_at: u64,
}

/// What a writer says about its reservation in flight.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Position of its first byte.
    pub begin: u64,
    /// Its bytes, or 0 when there is none; [`OPEN_GOT`].
    pub len: u64,
    /// Its stamp.
    pub stamp: u64,
    /// End of the last reservation nested into this level.
    pub overtaken: u64,
}

/// The words of one sub-buffer's slot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Sub {
    /// Events << 24 plus bytes, cumulative over all laps.
    pub commit: u64,
    /// Position behind its last event.
    pub end: u64,
    /// No event in it is later.
    pub end_stamp: u64,
    /// The commit word when this lap was opened.
    pub opened: u64,
}

/// Page 2 and on of a control area, written by the guest only. A [`Sub`] for
/// each sub-buffer follows.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RingGuest {
    /// Next byte to reserve; never wraps.
    pub pos: u64,
    /// No event before `pos` is later.
    pub stamp: u64,
    /// Writers now between reserve and commit.
    pub active: u64,
    /// Zero.
    pub reserved0: [u64; 5],
    /// Reservations in flight, by nesting level.
    pub open: [Open; LEVELS],
    /// Events lost by reason, cumulative; `LOST_*`.
    pub lost: [u64; 8],
}

/// First bytes of every sub-buffer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Preamble {
    /// Stamp of its first event.
    pub begin: u64,
    /// Sum of `RingGuest::lost` when it was opened.
    pub lost: u64,
    /// Position of this preamble.
    pub position: u64,
}

impl Preamble {
    /// Decodes the first bytes of a sub-buffer's copy.
    pub fn from_bytes(bytes: &[u8; size_of::<Self>()]) -> Self {
        Self {
            begin: u64_at(bytes, offset_of!(Self, begin)),
            lost: u64_at(bytes, offset_of!(Self, lost)),
            position: u64_at(bytes, offset_of!(Self, position)),
        }
    }

    /// The bytes as they stand in a ring.
    pub fn to_bytes(&self) -> [u8; size_of::<Self>()] {
        let mut bytes = [0; size_of::<Self>()];
        for (at, word) in [
            (offset_of!(Self, begin), self.begin),
            (offset_of!(Self, lost), self.lost),
            (offset_of!(Self, position), self.position),
        ] {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// One set of the clock's parameters: `base_ns + ((counter - base) * mult >> 32)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ClockSlot {
    /// Counter at `base_ns`; at least a second old when published.
    pub base: u64,
    /// Nanoseconds of the trace clock.
    pub base_ns: u64,
    /// Nanoseconds per count, 32.32 bits.
    pub mult: u64,
    /// Zero.
    pub reserved: u64,
}

/// The clock page, written by the host only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Bit 0 selects the slot.
    pub index: u64,
    /// Zero.
    pub reserved: [u64; 3],
    /// The slots; the host writes the one that `index` does not select.
    pub slot: [ClockSlot; 2],
}
