//! The clock page: how a host tells a guest the time without either waiting.
//!
//! The page is a latch of two slots and an index. The host writes only the slot
//! that the index does not select, then the index; a guest that finds the index
//! unchanged around its loads has one slot whole.

use core::mem::{offset_of, size_of};
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::layout::{Clock, ClockSlot};
use crate::permit::Live;

/// What turns a counter into trace clock time:
/// `base_ns + ((counter - base) * mult >> 32)`, the difference signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockParams {
    /// Counter at `base_ns`; at least a second old when published, so that no
    /// vCPU's counter is behind it.
    pub base: u64,
    /// Trace clock at `base`, ns.
    pub base_ns: u64,
    /// Nanoseconds per count, 32.32 bits; below 2^63.
    pub mult: u64,
}

impl ClockParams {
    /// The time at `counter`, ns.
    pub fn time(&self, counter: u64) -> u64 {
        let ticks = counter.wrapping_sub(self.base) as i64;
        let ns = (i128::from(ticks) * i128::from(self.mult as i64)) >> 32;
        self.base_ns.wrapping_add(ns as u64)
    }
}

/// A word of the clock page. Slots are 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockWord {
    /// `index`.
    Index,
    /// `slot[i].base`.
    Base(usize),
    /// `slot[i].base_ns`.
    BaseNs(usize),
    /// `slot[i].mult`.
    Mult(usize),
}

impl ClockWord {
    /// Its offset in the page, in bytes.
    pub const fn offset(self) -> usize {
        const fn slot(index: usize, field: usize) -> usize {
            offset_of!(Clock, slot) + index * size_of::<ClockSlot>() + field
        }
        match self {
            ClockWord::Index => offset_of!(Clock, index),
            ClockWord::Base(index) => slot(index, offset_of!(ClockSlot, base)),
            ClockWord::BaseNs(index) => slot(index, offset_of!(ClockSlot, base_ns)),
            ClockWord::Mult(index) => slot(index, offset_of!(ClockSlot, mult)),
        }
    }
}

/// The host's access to the clock page.
pub trait ClockMemory {
    /// Stores a word; relaxed.
    fn store(&self, word: ClockWord, value: u64);

    /// Stores a word; later than all stores before it.
    fn store_release(&self, word: ClockWord, value: u64);

    /// Orders stores before it against stores after it.
    fn fence_release(&self);
}

/// A clock page in memory that a guest shares with this process.
#[derive(Debug)]
pub struct MappedClock(*const AtomicU64);

// SAFETY: the page is only accessed atomically, and `MappedClock::new` has its
// caller keep it mapped wherever the value goes.
unsafe impl Send for MappedClock {}

impl MappedClock {
    /// The clock page at `page`.
    ///
    /// # Panics
    /// If the pointer is not 8-aligned.
    ///
    /// # Safety
    /// For as long as the value exists, the first 96 bytes at `page` are mapped
    /// writable, and this process has no Rust reference to any of them.
    pub unsafe fn new(page: *mut u8) -> Self {
        let page: *const AtomicU64 = page.cast_const().cast();
        assert!(page.is_aligned(), "the clock page is 8-aligned");
        Self(page)
    }

    fn word(&self, word: ClockWord) -> &AtomicU64 {
        // SAFETY: `new`'s caller keeps the structure mapped, and all offsets
        // are those of its words.
        unsafe { &*self.0.byte_add(word.offset()) }
    }
}

impl ClockMemory for MappedClock {
    fn store(&self, word: ClockWord, value: u64) {
        self.word(word).store(value, Ordering::Relaxed);
    }

    fn store_release(&self, word: ClockWord, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }

    fn fence_release(&self) {
        fence(Ordering::Release);
    }
}

/// The host's side of the clock page. The index is its own; what the guest
/// makes of the page is the guest's affair.
#[derive(Debug)]
pub struct ClockPage<M> {
    memory: M,
    index: u64,
}

impl<M: ClockMemory> ClockPage<M> {
    /// Begins to write a clock page, zeroed or left by an earlier host whose
    /// last index was `index`.
    pub fn new(memory: M, index: u64) -> Self {
        Self { memory, index }
    }

    /// Publishes parameters for all readings from now on.
    pub fn publish(&mut self, _live: &Live<'_>, params: &ClockParams) {
        self.index = self.index.wrapping_add(1);
        let slot = (self.index & 1) as usize;
        // A guest that sees any of these stores sees the index of the last
        // call too, and then knows that its slot is being rewritten.
        self.memory.fence_release();
        self.memory.store(ClockWord::Base(slot), params.base);
        self.memory.store(ClockWord::BaseNs(slot), params.base_ns);
        self.memory.store(ClockWord::Mult(slot), params.mult);
        self.memory.store_release(ClockWord::Index, self.index);
    }

    /// The index last published.
    pub fn index(&self) -> u64 {
        self.index
    }
}
