//! Ring memory with an honest writer, and with a host to whom it lies.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use vhost_trace_ringbuf::layout::{RingGuest, RingHost, Sub, WAKE_NEVER};
use vhost_trace_ringbuf::{
    ClockWord, Geometry, GuestMemory, HostMemory, HostWord, Mapped, Place, Word,
};

use super::script::Script;

type Words = Box<[AtomicU64]>;

/// Each part is allocated by itself, so that a sanitizer sees its bounds.
pub struct Memory {
    pub geometry: Geometry,
    /// What the honest writer knows of its own words, which lies do not change.
    truth: Words,
    guest: Words,
    host: Words,
    sub: Box<[Words]>,
    counter: Cell<u64>,
}

impl Memory {
    pub fn new(geometry: Geometry) -> Self {
        let words = |bytes: usize| -> Words { (0..bytes / 8).map(|_| AtomicU64::new(0)).collect() };
        let memory = Self {
            geometry,
            truth: words(size_of::<RingGuest>() + geometry.nsub() * size_of::<Sub>()),
            guest: words(size_of::<RingGuest>() + geometry.nsub() * size_of::<Sub>()),
            host: words(size_of::<RingHost>()),
            sub: (0..geometry.nsub())
                .map(|_| words(geometry.sub_size() as usize))
                .collect(),
            counter: Cell::new(0),
        };
        memory.host(HostWord::WakeAt).store(WAKE_NEVER, Relaxed);
        memory
    }

    fn word(&self, word: Word) -> &AtomicU64 {
        match word.place() {
            Place::Guest(offset) => &self.guest[offset / 8],
            Place::Data(slot, offset) => &self.sub[slot][offset / 8],
        }
    }

    fn host(&self, word: HostWord) -> &AtomicU64 {
        &self.host[word.offset() / 8]
    }
}

/// The guest's own access.
pub struct Honest<'a>(pub &'a Memory);

impl GuestMemory for Honest<'_> {
    fn load(&self, word: Word) -> u64 {
        match word.place() {
            Place::Guest(offset) => self.0.truth[offset / 8].load(Relaxed),
            Place::Data(..) => unreachable!("it does not read what it wrote"),
        }
    }

    fn store(&self, word: Word, value: u64) {
        if let Place::Guest(offset) = word.place() {
            self.0.truth[offset / 8].store(value, Relaxed);
        }
        self.0.word(word).store(value, Relaxed);
    }

    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64 {
        let seen = self.load(word);
        if seen == old {
            self.store(word, new);
        }
        seen
    }

    fn add(&self, word: Word, value: u64) {
        self.store(word, self.load(word).wrapping_add(value));
    }

    /// Nobody reads events here.
    fn write(&self, _offset: u64, _bytes: &[u8]) {}

    fn load_host(&self, word: HostWord) -> u64 {
        self.0.host(word).load(Relaxed)
    }

    fn load_host_acquire(&self, word: HostWord) -> u64 {
        self.load_host(word)
    }

    fn load_clock(&self, word: ClockWord) -> u64 {
        if word == ClockWord::Mult(0) {
            1 << 32
        } else {
            0
        }
    }

    fn load_clock_acquire(&self, word: ClockWord) -> u64 {
        self.load_clock(word)
    }

    fn rmb(&self) {}

    fn wmb(&self) {}

    fn mb(&self) {}

    fn counter(&self) -> u64 {
        self.0.counter.set(self.0.counter.get() + 100);
        self.0.counter.get()
    }

    fn kick(&self) {}
}

/// The host's access. Before each load the script may change the word.
pub struct Hostile<'a> {
    memory: &'a Memory,
    mapped: Mapped,
    script: &'a Script<'a>,
    quarantined: Cell<bool>,
    /// Loads of words and of runs of bytes, in this call.
    loads: Cell<usize>,
    consumed: Cell<u64>,
}

impl<'a> Hostile<'a> {
    pub fn new(memory: &'a Memory, script: &'a Script<'a>) -> Self {
        let sub: Vec<_> = memory
            .sub
            .iter()
            .map(|words| words.as_ptr().cast())
            .collect();
        let guest = memory.guest.as_ptr().cast();
        let host = memory.host.as_ptr().cast_mut().cast();
        // SAFETY: the memory outlives the value, is of the geometry's sizes as
        // far as its slots go, and only atomics access it.
        let mapped = unsafe { Mapped::new(memory.geometry, guest, host, &sub) };
        Self {
            memory,
            mapped,
            script,
            quarantined: Cell::new(false),
            loads: Cell::new(0),
            consumed: Cell::new(0),
        }
    }

    /// The host is about to call the reader.
    pub fn begin_call(&self, quarantined: bool) {
        self.quarantined.set(quarantined);
        self.loads.set(0);
    }

    fn lie(&self, word: &AtomicU64) {
        let size = self.memory.geometry.sub_size();
        let value = word.load(Relaxed);
        word.store(
            match self.script.byte() {
                0..234 => return,
                byte @ 234..237 => value.wrapping_add(byte.into()).wrapping_sub(235),
                byte @ 237..240 => value.wrapping_add(u64::from(byte - 236) * size),
                240 => value.wrapping_sub(size),
                241..244 => value ^ 1 << (self.script.byte() % 64),
                244 => 0,
                245 => u64::MAX,
                246..248 => value.wrapping_add(1 << 24),
                248..251 => value.wrapping_add(self.script.byte().into()),
                251..253 => self.script.word() >> (self.script.byte() % 64),
                253.. => self.script.word(),
            },
            Relaxed,
        );
    }

    fn count(&self) {
        assert!(!self.quarantined.get(), "a quarantined ring is left alone");
        self.loads.set(self.loads.get() + 1);
        let bound = 100 + 40 * self.memory.geometry.nsub();
        assert!(
            self.loads.get() < bound,
            "more than {bound} loads in a call"
        );
    }
}

impl HostMemory for Hostile<'_> {
    fn load(&self, word: Word) -> u64 {
        self.count();
        self.lie(self.memory.word(word));
        self.mapped.load(word)
    }

    fn load_acquire(&self, word: Word) -> u64 {
        self.load(word)
    }

    fn copy_words(&self, slot: usize, first: usize, out: &mut [[u8; 8]]) {
        self.count();
        for word in self.memory.sub[slot].iter().take(3) {
            self.lie(word);
        }
        self.mapped.copy_words(slot, first, out);
    }

    fn store(&self, word: HostWord, value: u64) {
        assert!(!self.quarantined.get(), "a quarantined ring is left alone");
        if word == HostWord::Consumed {
            assert!(
                value >= self.consumed.replace(value),
                "consumed went backward"
            );
        }
        self.mapped.store(word, value);
    }

    fn fence_acquire(&self) {}

    fn fence_full(&self) {}
}
