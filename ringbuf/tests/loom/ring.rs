//! A ring of two sub-buffers of 64 bytes, each of which has room for one event.

use std::sync::atomic::AtomicU64 as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use vhost_trace_ringbuf::layout::{RingGuest, Sub, WAKE_NEVER};
use vhost_trace_ringbuf::{
    ClockWord, Geometry, GuestMemory, HostMemory, HostWord, Mode, Place, Reader, Word, Writer,
};

/// Bytes of a sub-buffer.
pub const SIZE: usize = 64;
const NSUB: usize = 2;
const DATA: usize = NSUB * SIZE / 8;
const WORDS: usize = (size_of::<RingGuest>() + NSUB * size_of::<Sub>()) / 8;

/// Payload bytes of an event; its first and last two are its id.
const PAYLOAD: usize = 20;

/// The data, in the way that the mode allows to reach it.
#[expect(clippy::large_enum_variant, reason = "there is one, and it is shared")]
enum Data {
    /// Nobody may read what is being written: loom checks it.
    Exclusive([UnsafeCell<[u8; SIZE]>; NSUB]),
    /// Read while it is written. A word's stores are gathered in `next` until
    /// they have to be made, and compared with `last`.
    Shared {
        words: [AtomicU64; DATA],
        next: [Plain; DATA],
        last: [Plain; DATA],
    },
}

pub struct Ring {
    guest: [AtomicU64; WORDS],
    /// What the writer knows it stored in `guest`: a word that a thread both
    /// loads and stores hides its other accesses from loom. In place of `guest`
    /// for words that the host does not read here or only compares.
    own: [Plain; WORDS],
    host: [AtomicU64; 2],
    data: Data,
    counter: Plain,
    pub kicks: Plain,
    /// The position at the last kick.
    pub kicked_at: Plain,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "own {:?}", self.0.own)
    }
}
#[derive(Clone)]
pub struct Memory(pub Arc<Ring>);

/// A ring just opened.
pub fn ring(mode: Mode) -> (Writer<Memory>, Reader<Memory>) {
    fn zeroed<const N: usize>() -> [AtomicU64; N] {
        std::array::from_fn(|_| AtomicU64::new(0))
    }
    fn plain<const N: usize>() -> [Plain; N] {
        std::array::from_fn(|_| Plain::new(0))
    }
    let data = match mode {
        Mode::Discard => Data::Exclusive([(); NSUB].map(|()| UnsafeCell::new([0; SIZE]))),
        Mode::Overwrite => Data::Shared {
            words: zeroed(),
            next: plain(),
            last: plain(),
        },
    };
    let memory = Memory(Arc::new(Ring {
        guest: zeroed(),
        own: plain(),
        host: [AtomicU64::new(0), AtomicU64::new(WAKE_NEVER)],
        data,
        counter: Plain::new(0),
        kicks: Plain::new(0),
        kicked_at: Plain::new(0),
    }));
    let geometry = Geometry::new(mode, SIZE as u32, NSUB as u32).unwrap();
    (
        Writer::start(geometry, memory.clone()),
        Reader::new(geometry, memory),
    )
}

/// Writes an event; false: it was lost.
pub fn write(writer: &Writer<Memory>, id: u8) -> bool {
    let Some(reservation) = writer.reserve(id.into(), PAYLOAD as u32) else {
        return false;
    };
    writer.write(&reservation, 0, &[id; 2]);
    writer.write(&reservation, PAYLOAD as u64 - 2, &[id; 2]);
    writer.commit(reservation);
    true
}

/// The id of the one event in this content, which must be whole; none if there
/// is only a preamble.
pub fn parse(content: &[u8]) -> Option<u8> {
    let event = &content[24..];
    let id = *event.first()?;
    assert_eq!(event.len(), 6 + PAYLOAD, "one event");
    assert_eq!(
        [&event[6..8], &event[4 + PAYLOAD..]],
        [[id; 2]; 2],
        "a whole event"
    );
    Some(id)
}

impl Memory {
    /// Copies the content of a complete sub-buffer in place.
    pub fn content(&self, slot: usize, len: usize) -> [u8; SIZE] {
        let mut copy = [[0; 8]; SIZE / 8];
        self.copy_words(slot, 0, &mut copy[..len.div_ceil(8)]);
        copy.as_flattened().try_into().unwrap()
    }

    fn is_quiet(word: Word) -> bool {
        !matches!(
            word,
            Word::Pos | Word::Commit(_) | Word::End(_) | Word::EndStamp(_) | Word::Opened(_)
        )
    }

    fn data(&self, slot: usize, at: usize) -> u64 {
        let mut word = [[0; 8]];
        self.copy_words(slot, at / 8, &mut word);
        u64::from_le_bytes(word[0])
    }

    fn write_data(&self, slot: usize, at: usize, bytes: &[u8]) {
        match &self.0.data {
            Data::Exclusive(slots) => slots[slot].with_mut(|data| {
                // SAFETY: loom checks that nobody else accesses it now.
                let data = unsafe { &mut *data };
                data[at..at + bytes.len()].copy_from_slice(bytes);
            }),
            Data::Shared { next, .. } => {
                for (at, new) in (slot * SIZE + at..).zip(bytes) {
                    let mut word = next[at / 8].load(Relaxed).to_le_bytes();
                    word[at % 8] = *new;
                    next[at / 8].store(u64::from_le_bytes(word), Relaxed);
                }
            }
        }
    }

    /// Makes the stores to the data that were gathered.
    fn flush(&self) {
        if let Data::Shared { words, next, last } = &self.0.data {
            for ((word, next), last) in words.iter().zip(next).zip(last) {
                let next = next.load(Relaxed);
                if last.swap(next, Relaxed) != next {
                    word.store(next, Ordering::Relaxed);
                }
            }
        }
    }

    fn load_with(&self, word: Word, ordering: Ordering) -> u64 {
        match word.place() {
            Place::Guest(at) if Self::is_quiet(word) => self.0.own[at / 8].load(Relaxed),
            Place::Guest(at) => self.0.guest[at / 8].load(ordering),
            Place::Data(slot, at) => self.data(slot, at),
        }
    }

    fn host(&self, word: HostWord) -> &AtomicU64 {
        &self.0.host[word.offset() / 8]
    }
}

impl HostMemory for Memory {
    fn load(&self, word: Word) -> u64 {
        self.load_with(word, Ordering::Relaxed)
    }

    fn load_acquire(&self, word: Word) -> u64 {
        self.load_with(word, Ordering::Acquire)
    }

    fn copy_words(&self, slot: usize, first: usize, out: &mut [[u8; 8]]) {
        match &self.0.data {
            Data::Exclusive(slots) => slots[slot].with(|data| {
                // SAFETY: loom checks that nobody writes it now.
                let bytes = &unsafe { &*data }[8 * first..8 * (first + out.len())];
                out.as_flattened_mut().copy_from_slice(bytes);
            }),
            Data::Shared { words, .. } => {
                for (out, word) in out.iter_mut().zip(&words[slot * SIZE / 8 + first..]) {
                    *out = word.load(Ordering::Relaxed).to_le_bytes();
                }
            }
        }
    }

    fn store(&self, word: HostWord, value: u64) {
        self.host(word).store(value, Ordering::Release);
    }

    fn fence_acquire(&self) {
        fence(Ordering::Acquire);
    }

    fn fence_full(&self) {
        fence(Ordering::SeqCst);
    }
}

impl GuestMemory for Memory {
    fn load(&self, word: Word) -> u64 {
        match word.place() {
            Place::Guest(at) => self.0.own[at / 8].load(Relaxed),
            Place::Data(..) => unreachable!("the writer does not read what it wrote"),
        }
    }

    fn store(&self, word: Word, value: u64) {
        match word.place() {
            Place::Guest(at) => {
                self.0.own[at / 8].store(value, Relaxed);
                if !Self::is_quiet(word) {
                    self.0.guest[at / 8].store(value, Ordering::Relaxed);
                }
            }
            Place::Data(slot, at) => self.write_data(slot, at, &value.to_le_bytes()),
        }
    }

    /// Only this processor writes the word, and nothing nests here.
    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64 {
        let seen = GuestMemory::load(self, word);
        if seen == old {
            GuestMemory::store(self, word, new);
        }
        seen
    }

    fn add(&self, word: Word, value: u64) {
        GuestMemory::store(
            self,
            word,
            GuestMemory::load(self, word).wrapping_add(value),
        );
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        self.write_data(offset as usize / SIZE, offset as usize % SIZE, bytes);
    }

    fn load_host(&self, word: HostWord) -> u64 {
        self.host(word).load(Ordering::Relaxed)
    }

    fn load_host_acquire(&self, word: HostWord) -> u64 {
        self.host(word).load(Ordering::Acquire)
    }

    fn load_clock(&self, word: ClockWord) -> u64 {
        // One nanosecond for one count.
        if word == ClockWord::Mult(0) {
            1 << 32
        } else {
            0
        }
    }

    fn load_clock_acquire(&self, word: ClockWord) -> u64 {
        self.load_clock(word)
    }

    fn rmb(&self) {
        fence(Ordering::Acquire);
    }

    fn wmb(&self) {
        self.flush();
        fence(Ordering::Release);
    }

    fn mb(&self) {
        fence(Ordering::SeqCst);
    }

    fn counter(&self) -> u64 {
        self.0.counter.fetch_add(1, Relaxed)
    }

    fn kick(&self) {
        self.0.kicks.fetch_add(1, Relaxed);
        self.0
            .kicked_at
            .store(GuestMemory::load(self, Word::Pos), Relaxed);
    }
}
