//! A ring in this process's memory.

use std::sync::atomic::{AtomicU64, Ordering};

use vhost_trace_ringbuf::layout::{Clock, RingGuest, RingHost, Sub};
use vhost_trace_ringbuf::{ClockWord, Geometry, HostWord, Mapped, Place, Word};

use crate::machine::At;

type Words = Box<[AtomicU64]>;

/// The memory that guest and host share, each part allocated by itself so that
/// a checker of memory sees its bounds.
pub struct RingMemory {
    pub geometry: Geometry,
    guest: Words,
    host: Words,
    clock: Words,
    data: Words,
}

/// The contents of a ring's memory.
#[derive(PartialEq)]
pub struct Image([Vec<u64>; 4]);

impl RingMemory {
    pub fn new(geometry: Geometry) -> Self {
        let words = |bytes: usize| (0..bytes / 8).map(|_| AtomicU64::new(0)).collect();
        let memory = Self {
            geometry,
            guest: words(size_of::<RingGuest>() + geometry.nsub() * size_of::<Sub>()),
            host: words(size_of::<RingHost>()),
            clock: words(size_of::<Clock>()),
            data: words(geometry.capacity() as usize),
        };
        memory.host[HostWord::WakeAt.offset() / 8].store(u64::MAX, Ordering::Relaxed);
        memory
    }

    pub fn guest(&self) -> *mut u8 {
        self.guest.as_ptr().cast_mut().cast()
    }

    pub fn host(&self) -> *mut u8 {
        self.host.as_ptr().cast_mut().cast()
    }

    pub fn clock(&self) -> *mut u8 {
        self.clock.as_ptr().cast_mut().cast()
    }

    pub fn data(&self) -> *mut u8 {
        self.data.as_ptr().cast_mut().cast()
    }

    /// Which part of it a pointer of the writer's is into.
    pub fn at(&self, pointer: *const u8) -> At {
        let within = |part: &Words| {
            let offset = (pointer as usize).wrapping_sub(part.as_ptr() as usize);
            (offset < 8 * part.len()).then_some(offset)
        };
        None.or_else(|| within(&self.guest).map(At::Guest))
            .or_else(|| within(&self.host).map(At::Host))
            .or_else(|| within(&self.clock).map(At::Clock))
            .or_else(|| within(&self.data).map(At::Data))
            .unwrap_or(At::Own)
    }

    /// What a reader sees of it; to be dropped before `self` is.
    pub fn mapped(&self) -> Mapped {
        let size = self.geometry.sub_size() as usize;
        let sub: Vec<_> = (0..self.geometry.nsub())
            .map(|slot| self.data().wrapping_add(slot * size).cast_const())
            .collect();
        // SAFETY: the memory lives as long as `self`, which callers outlive by
        // no reader; it is only accessed through atomics, or by C while Rust
        // waits for it.
        unsafe { Mapped::new(self.geometry, self.guest(), self.host(), &sub) }
    }

    pub fn word(&self, word: Word) -> &AtomicU64 {
        match word.place() {
            Place::Guest(offset) => &self.guest[offset / 8],
            Place::Data(slot, offset) => {
                &self.data[(slot * self.geometry.sub_size() as usize + offset) / 8]
            }
        }
    }

    pub fn load(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    /// Position of the sub-buffer after the one being written.
    pub fn end_of_current(&self) -> u64 {
        self.geometry.start_of(self.load(Word::Pos)) + self.geometry.sub_size()
    }

    pub fn host_word(&self, word: HostWord) -> &AtomicU64 {
        &self.host[word.offset() / 8]
    }

    pub fn clock_word(&self, word: ClockWord) -> &AtomicU64 {
        &self.clock[word.offset() / 8]
    }

    pub fn save(&self) -> Image {
        let words = |from: &Words| {
            from.iter()
                .map(|word| word.load(Ordering::Relaxed))
                .collect()
        };
        Image([
            words(&self.guest),
            words(&self.host),
            words(&self.clock),
            words(&self.data),
        ])
    }

    pub fn restore(&self, image: &Image) {
        let parts = [&self.guest, &self.host, &self.clock, &self.data];
        for (to, from) in parts.into_iter().zip(&image.0) {
            for (to, from) in to.iter().zip(from) {
                to.store(*from, Ordering::Relaxed);
            }
        }
    }
}
