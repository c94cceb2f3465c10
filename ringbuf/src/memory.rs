//! How a reader reaches a ring's memory.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use crate::geometry::Geometry;
use crate::layout::MAX_NSUB;
use crate::word::{HostWord, Place, Word};

/// The host's access to one ring. Whatever the guest does meanwhile, each call
/// loads each word exactly once, and values are all that can surprise.
pub trait HostMemory {
    /// Loads a word of the guest's.
    fn load(&self, word: Word) -> u64;

    /// Loads a word of the guest's; what the guest wrote before it stored this
    /// value is seen by later loads.
    fn load_acquire(&self, word: Word) -> u64;

    /// Copies 8-byte words of the sub-buffer in `slot`, from the one with index
    /// `first` on; all of them within `sub_size`.
    fn copy_words(&self, slot: usize, first: usize, out: &mut [[u8; 8]]);

    /// Stores a word of the host's; later than all loads before it.
    fn store(&self, word: HostWord, value: u64);

    /// Orders loads before it against loads after it.
    fn fence_acquire(&self);

    /// Orders everything before it against everything after it.
    fn fence_full(&self);

    /// Copies bytes of the sub-buffer in `slot`, from its byte `from` on; all
    /// of them within `sub_size`.
    fn copy(&self, slot: usize, from: usize, out: &mut [u8]) {
        let (skip, mut word) = (from % 8, [[0; 8]]);
        let (head, rest) = out.split_at_mut(out.len().min((8 - skip) % 8));
        if !head.is_empty() {
            self.copy_words(slot, from / 8, &mut word);
            head.copy_from_slice(&word[0][skip..skip + head.len()]);
        }
        let first = (from + head.len()) / 8;
        let (words, tail) = rest.as_chunks_mut();
        self.copy_words(slot, first, words);
        if !tail.is_empty() {
            self.copy_words(slot, first + words.len(), &mut word);
            tail.copy_from_slice(&word[0][..tail.len()]);
        }
    }
}

impl<M: HostMemory + ?Sized> HostMemory for &M {
    fn load(&self, word: Word) -> u64 {
        (**self).load(word)
    }

    fn load_acquire(&self, word: Word) -> u64 {
        (**self).load_acquire(word)
    }

    fn copy_words(&self, slot: usize, first: usize, out: &mut [[u8; 8]]) {
        (**self).copy_words(slot, first, out);
    }

    fn store(&self, word: HostWord, value: u64) {
        (**self).store(word, value);
    }

    fn fence_acquire(&self) {
        (**self).fence_acquire();
    }

    fn fence_full(&self) {
        (**self).fence_full();
    }
}

/// A ring in memory that a guest shares with this process.
pub struct Mapped {
    guest: *const AtomicU64,
    host: *const AtomicU64,
    sub: [*const AtomicU64; MAX_NSUB as usize],
    geometry: Geometry,
}

// SAFETY: the pointers are to memory that another processor writes anyhow; it
// is only accessed atomically, and `Mapped::new` has its caller keep it mapped
// wherever the value goes.
unsafe impl Send for Mapped {}
// SAFETY: as for Send; all methods take &self and use atomic accesses only.
unsafe impl Sync for Mapped {}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped")
            .field("guest", &self.guest)
            .finish_non_exhaustive()
    }
}

impl Mapped {
    /// A ring of this shape, whose control area's guest part is at `guest`,
    /// host page at `host`, and whose sub-buffers are at `sub`.
    ///
    /// # Panics
    /// If `sub` has not one pointer for each sub-buffer, or a pointer is not
    /// 8-aligned.
    ///
    /// # Safety
    /// For as long as the value exists: `geometry.guest_bytes()` bytes at
    /// `guest` and `geometry.sub_size()` bytes at each of `sub` are mapped
    /// readable, 16 bytes at `host` writable, and this process has no Rust
    /// reference to any of them.
    pub unsafe fn new(
        geometry: Geometry,
        guest: *const u8,
        host: *mut u8,
        sub: &[*const u8],
    ) -> Self {
        assert_eq!(
            sub.len(),
            geometry.nsub(),
            "one pointer for each sub-buffer"
        );
        let mut pointers = [core::ptr::null(); MAX_NSUB as usize];
        for (to, from) in pointers.iter_mut().zip(sub) {
            *to = from.cast();
        }
        let mapped = Self {
            guest: guest.cast(),
            host: host.cast_const().cast(),
            sub: pointers,
            geometry,
        };
        let aligned = |pointer: &*const AtomicU64| pointer.is_aligned();
        assert!(
            [mapped.guest, mapped.host].iter().all(aligned)
                && mapped.sub[..sub.len()].iter().all(aligned),
            "pointers are 8-aligned"
        );
        mapped
    }

    /// The sub-buffer in `slot`, `sub_size` bytes that the guest may change at
    /// any time: to be read by system calls or atomically, never borrowed.
    ///
    /// # Panics
    /// If there is no such slot.
    #[inline]
    pub fn sub_buffer(&self, slot: usize) -> *const u8 {
        self.sub[..self.geometry.nsub()][slot].cast()
    }

    #[inline]
    fn word(&self, word: Word) -> &AtomicU64 {
        let (base, offset, bytes) = match word.place() {
            Place::Guest(offset) => (self.guest, offset, self.geometry.guest_bytes()),
            Place::Data(slot, offset) => (
                self.sub_buffer(slot).cast(),
                offset,
                self.geometry.sub_size(),
            ),
        };
        assert!(offset as u64 + 8 <= bytes, "{word} is outside the ring");
        // SAFETY: `new`'s caller keeps `bytes` bytes at `base` mapped for as
        // long as `self` is borrowed, the offset is a multiple of 8 within
        // them, and an AtomicU64 may be changed by anyone.
        unsafe { &*base.byte_add(offset) }
    }
}

impl HostMemory for Mapped {
    #[inline]
    fn load(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    #[inline]
    fn load_acquire(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    fn copy_words(&self, slot: usize, first: usize, out: &mut [[u8; 8]]) {
        let words = (self.geometry.sub_size() / 8) as usize;
        assert!(
            first <= words && out.len() <= words - first,
            "outside the sub-buffer"
        );
        let base: *const AtomicU64 = self.sub_buffer(slot).cast();
        for (index, out) in (first..).zip(out) {
            // SAFETY: `new`'s caller keeps `sub_size` bytes mapped there,
            // 8-aligned, and the assertion keeps the index within them.
            let word = unsafe { &*base.add(index) };
            *out = word.load(Ordering::Relaxed).to_le_bytes();
        }
    }

    fn store(&self, word: HostWord, value: u64) {
        // SAFETY: `new`'s caller keeps the page mapped and writable; both
        // words are 8-aligned in its first 16 bytes.
        let to = unsafe { &*self.host.byte_add(word.offset()) };
        to.store(value, Ordering::Release);
    }

    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }

    fn fence_full(&self) {
        fence(Ordering::SeqCst);
    }
}
