//! The writer, as a reference: step by step what `guest-driver/vtrace_ring.h`
//! does, over any memory.
//!
//! A ring is written by its own vCPU only. An interrupt or NMI may nest a
//! writer between any two calls to the memory, and runs to its end before the
//! other goes on; the same [`Writer`] is then called again from there.

use core::cell::Cell;

use crate::clock::{ClockParams, ClockWord};
use crate::geometry::{Geometry, Mode};
use crate::layout::{
    COMMIT_BYTES, COMMIT_EVENT, HEADER, HEADER_FULL, ID_FULL, LEVELS, LOST_FULL, LOST_NESTED,
    LOST_REASONS, LOST_TOO_BIG, LOST_WRAPPED, OPEN_GOT, PREAMBLE, Preamble, WAKE_NEVER,
};
use crate::word::{HostWord, Word};

/// A guest's access to its ring, and what else it needs of its processor.
pub trait GuestMemory {
    /// Loads a word of its own.
    fn load(&self, word: Word) -> u64;

    /// Stores a word of its own.
    fn store(&self, word: Word, value: u64);

    /// Compares and exchanges, atomically on this processor; returns what was there.
    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64;

    /// Adds, atomically on this processor.
    fn add(&self, word: Word, value: u64);

    /// Stores event bytes, `offset` bytes into the ring's data.
    fn write(&self, offset: u64, bytes: &[u8]);

    /// Loads a word of the host's.
    fn load_host(&self, word: HostWord) -> u64;

    /// Loads a word of the host's, before everything after it.
    fn load_host_acquire(&self, word: HostWord) -> u64;

    /// Loads a word of the clock page.
    fn load_clock(&self, word: ClockWord) -> u64;

    /// Loads a word of the clock page, before everything after it.
    fn load_clock_acquire(&self, word: ClockWord) -> u64;

    /// Between processors, orders loads before it against loads after it.
    fn rmb(&self);

    /// Between processors, orders stores before it against stores after it.
    fn wmb(&self);

    /// Between processors, orders everything before it against everything after it.
    fn mb(&self);

    /// Reads the counter behind the clock.
    fn counter(&self) -> u64;

    /// Wakes the host.
    fn kick(&self);

    /// The writer is about to touch a word of its own that no host sees: a
    /// place to be interrupted at.
    fn own(&self) {}
}

/// A reservation: so many bytes of payload are to be stored, then committed.
#[derive(Debug)]
#[must_use = "an event that is not committed is a hole"]
pub struct Reservation {
    /// Of the payload, in the ring's data.
    offset: u64,
    /// For the commit word.
    amount: u64,
    /// By the quick path: nobody is below.
    quick: bool,
}

impl Reservation {
    /// Where the payload begins, in bytes into the ring's data. It is in one
    /// sub-buffer.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// Writes one ring. A clone of it goes on from its state, which only makes
/// sense where the ring's memory is what it was.
#[derive(Clone, Debug)]
pub struct Writer<M> {
    memory: M,
    geometry: Geometry,
    /// Two copies of the clock's parameters, and which one is whole.
    params: [Cell<ClockParams>; 2],
    clock: Cell<usize>,
    /// Of which clock it is a copy.
    clock_index: Cell<u64>,
    /// `wake_at` of the last kick.
    kicked: Cell<u64>,
    /// End of the position's sub-buffer, or less: of a writer that nests into
    /// nobody.
    sub_end: Cell<u64>,
}

/// What a sub-buffer is opened with.
struct Opening {
    next: u64,
    opened: u64,
    lost: u64,
}

impl<M: GuestMemory> Writer<M> {
    /// Opens a ring in memory that is zeroed, but for `wake_at`, which is
    /// [`WAKE_NEVER`].
    pub fn start(geometry: Geometry, memory: M) -> Self {
        let writer = Self {
            memory,
            geometry,
            params: Default::default(),
            clock: Cell::new(0),
            clock_index: Cell::new(u64::MAX),
            kicked: Cell::new(WAKE_NEVER),
            sub_end: Cell::new(geometry.sub_size()),
        };
        writer.refresh_clock();
        let begin = writer.now();
        writer.memory.write(
            0,
            &Preamble {
                begin,
                lost: 0,
                position: 0,
            }
            .to_bytes(),
        );
        writer.memory.store(Word::Stamp, begin);
        writer.memory.store(Word::Commit(0), PREAMBLE);
        writer.memory.wmb();
        writer.memory.store(Word::Pos, PREAMBLE);
        writer
    }

    /// Reserves an event of `payload` bytes and stores its header. None: it is
    /// lost, and counted.
    pub fn reserve(&self, id: u32, payload: u32) -> Option<Reservation> {
        let memory = &self.memory;
        let size = HEADER + u64::from(payload);
        if memory.load(Word::Active) != 0 {
            return self.reserve_slow(id, payload);
        }
        memory.store(Word::Active, 1);
        let pos = memory.load(Word::Pos);
        let end = pos + size;
        // While the position is what it was, nobody has moved that end.
        let fits = end < self.sub_end.get();
        let Some((stamp, seen)) = fits.then(|| self.quick_stamp()).flatten() else {
            memory.store(Word::Active, 0);
            return self.reserve_slow(id, payload);
        };
        memory.store(Word::OpenStamp(0), stamp);
        memory.store(Word::OpenBegin(0), pos);
        memory.store(Word::OpenLen(0), size);
        if memory.cmpxchg(Word::Pos, pos, end) != pos {
            memory.store(Word::OpenLen(0), 0);
            memory.store(Word::Active, 0);
            return self.reserve_slow(id, payload);
        }
        memory.cmpxchg(Word::Stamp, seen, stamp);
        Some(Reservation {
            quick: true,
            ..self.write_header(id, stamp, pos, HEADER, COMMIT_EVENT + size)
        })
    }

    /// Stores payload bytes, `at` bytes behind its begin.
    pub fn write(&self, reservation: &Reservation, at: u64, bytes: &[u8]) {
        self.memory.write(reservation.offset + at, bytes);
    }

    /// Commits: the payload has been stored.
    pub fn commit(&self, reservation: Reservation) {
        let memory = &self.memory;
        memory.wmb();
        memory.add(
            Word::Commit(self.geometry.slot_of(reservation.offset)),
            reservation.amount,
        );
        let level = match reservation.quick {
            true => 0,
            false => memory.load(Word::Active) - 1,
        };
        memory.store(Word::OpenLen(level as usize), 0);
        memory.store(Word::Active, level);
    }

    /// The ring's memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    fn fits(&self, pos: u64, size: u64) -> bool {
        pos - self.geometry.start_of(pos) + size < self.geometry.sub_size()
    }

    /// Stamp and last stamp, unless the clock has changed or 32 bits do not do.
    fn quick_stamp(&self) -> Option<(u64, u64)> {
        if self.memory.load_clock(ClockWord::Index) != self.clock_index.get() {
            return None;
        }
        let stamp = self.now();
        let seen = self.memory.load(Word::Stamp);
        (stamp.wrapping_sub(seen) >> 32 == 0).then_some((stamp, seen))
    }

    fn reserve_slow(&self, id: u32, payload: u32) -> Option<Reservation> {
        let memory = &self.memory;
        let level = memory.load(Word::Active) as usize;
        if level >= LEVELS {
            memory.add(Word::Lost(LOST_NESTED), 1);
            return None;
        }
        memory.store(Word::Active, level as u64 + 1);
        if level == 0 {
            self.refresh_clock();
        }
        let drop = |reason| {
            memory.add(Word::Lost(reason), 1);
            memory.store(Word::OpenLen(level), 0);
            memory.store(Word::Active, level as u64);
            None
        };
        let payload = u64::from(payload);
        if PREAMBLE + HEADER_FULL + payload >= self.geometry.sub_size() {
            return drop(LOST_TOO_BIG);
        }

        let (pos, end, start, size, seen, stamp, opening) = loop {
            let pos = memory.load(Word::Pos);
            let (stamp, seen) = self.slow_stamp(level);
            let mut size = if stamp.wrapping_sub(seen) >> 32 == 0 {
                HEADER
            } else {
                HEADER_FULL
            };
            let (mut start, mut opening) = (pos, None);
            if !self.fits(pos, size + payload) {
                let next = self.geometry.start_of(pos) + self.geometry.sub_size();
                match self.may_open(next) {
                    Ok(opened) => {
                        // The sum now, so that later openers find no less.
                        let lost = (0..LOST_REASONS).map(|i| memory.load(Word::Lost(i))).sum();
                        opening = Some(Opening { next, opened, lost });
                    }
                    // Unless a nested writer has just opened it.
                    Err(_) if memory.load(Word::Pos) != pos => continue,
                    Err(reason) => return drop(reason),
                }
                // The preamble has the whole stamp.
                size = HEADER;
                start = next + PREAMBLE;
            }
            let end = start + size + payload;
            memory.store(Word::OpenStamp(level), stamp);
            memory.store(Word::OpenBegin(level), pos);
            memory.store(Word::OpenLen(level), end - pos);
            if memory.cmpxchg(Word::Pos, pos, end) == pos {
                break (pos, end, start, size, seen, stamp, opening);
            }
        };
        // A failure means that a nested writer has stored a later one.
        memory.cmpxchg(Word::Stamp, seen, stamp);
        if level == 0 {
            self.sub_end
                .set(self.geometry.start_of(end) + self.geometry.sub_size());
        }

        let mut limit = pos;
        for below in (0..level).rev() {
            limit = self.overtake(below, limit, end);
        }
        let from = opening.as_ref().map_or(start, |opening| opening.next);
        if let Some(opening) = opening {
            self.switch(pos, stamp, &opening);
        }
        Some(self.write_header(id, stamp, start, size, COMMIT_EVENT + end - from))
    }

    /// Stamp and last stamp. Not before the last one, nor before those that
    /// writers below may be about to store.
    fn slow_stamp(&self, level: usize) -> (u64, u64) {
        let later = |stamp: u64, than: u64| match (stamp.wrapping_sub(than) as i64) < 0 {
            true => than,
            false => stamp,
        };
        let stamp = self.now();
        let seen = self.memory.load(Word::Stamp);
        let stamp = (0..level).fold(later(stamp, seen), |stamp, below| {
            later(stamp, self.memory.load(Word::OpenStamp(below)))
        });
        (stamp, seen)
    }

    /// The commit word of the slot of `next`, which nobody adds to until it is
    /// opened; or the reason why it cannot be.
    fn may_open(&self, next: u64) -> Result<u64, usize> {
        let (size, capacity) = (self.geometry.sub_size(), self.geometry.capacity());
        if self.geometry.mode() == Mode::Discard {
            let consumed = self.memory.load_host_acquire(HostWord::Consumed);
            // The host may store any value: a wrong one costs events, no more.
            if (next + size).wrapping_sub(consumed) > capacity {
                return Err(LOST_FULL);
            }
        }
        let opened = self.memory.load(Word::Commit(self.geometry.slot_of(next)));
        let before = next / capacity * size;
        if (opened ^ before) & COMMIT_BYTES != 0 {
            return Err(LOST_WRAPPED);
        }
        Ok(opened)
    }

    /// Ends the sub-buffer that `pos` is in and begins the next.
    fn switch(&self, pos: u64, stamp: u64, opening: &Opening) {
        let (memory, next) = (&self.memory, opening.next);
        let (ended, slot) = (self.geometry.slot_of(pos), self.geometry.slot_of(next));
        memory.store(Word::End(ended), pos);
        memory.store(Word::EndStamp(ended), stamp);
        // Also: pos, before anything about the sub-buffer that it opens.
        memory.wmb();
        memory.add(Word::Commit(ended), next - pos);

        memory.store(Word::Opened(slot), opening.opened);
        memory.store(Word::PreambleBegin(slot), stamp);
        memory.store(Word::PreambleLost(slot), opening.lost);
        memory.store(Word::PreamblePosition(slot), next);

        // Pairs with the host's fence between wake_at and its last look.
        memory.mb();
        // First, so that whoever kicks from here on is noticed below.
        memory.own();
        let kicked = self.kicked.get();
        let wake_at = memory.load_host(HostWord::WakeAt);
        if next >= wake_at && kicked != wake_at {
            memory.own();
            if self.kicked.get() == kicked {
                self.kicked.set(wake_at);
                memory.kick();
            }
        }
    }

    /// A nested writer has reserved up to `end`: marks the record at a level
    /// below if it is of bytes before `limit` that were got. Returns the next
    /// limit.
    fn overtake(&self, below: usize, limit: u64, end: u64) -> u64 {
        let memory = &self.memory;
        let begin = memory.load(Word::OpenBegin(below));
        let mut len = memory.load(Word::OpenLen(below));
        if len != 0
            && len & OPEN_GOT == 0
            && begin < limit
            && begin >= memory.load(Word::OpenOvertaken(below))
        {
            len |= OPEN_GOT;
            memory.store(Word::OpenLen(below), len);
        }
        memory.store(Word::OpenOvertaken(below), end);
        if len & OPEN_GOT != 0 { begin } else { limit }
    }

    fn write_header(&self, id: u32, stamp: u64, at: u64, size: u64, amount: u64) -> Reservation {
        let offset = at & (self.geometry.capacity() - 1);
        if size == HEADER {
            self.memory.write(offset, &(id as u16).to_le_bytes());
            self.memory.write(offset + 2, &(stamp as u32).to_le_bytes());
        } else {
            self.memory.write(offset, &ID_FULL.to_le_bytes());
            self.memory.write(offset + 2, &id.to_le_bytes());
            self.memory.write(offset + 6, &stamp.to_le_bytes());
        }
        Reservation {
            offset: offset + size,
            amount,
            quick: false,
        }
    }

    fn now(&self) -> u64 {
        let counter = self.memory.counter();
        self.memory.own();
        self.params[self.clock.get()].get().time(counter)
    }

    /// Copies the clock page's current slot. The host may be stopped in the
    /// middle of a change, so after two attempts the old copy serves on. Only
    /// a writer that nests into nobody comes here.
    fn refresh_clock(&self) {
        let memory = &self.memory;
        let other = 1 - self.clock.get();
        for _ in 0..2 {
            let index = memory.load_clock_acquire(ClockWord::Index);
            let slot = (index & 1) as usize;
            self.params[other].set(ClockParams {
                base: memory.load_clock(ClockWord::Base(slot)),
                base_ns: memory.load_clock(ClockWord::BaseNs(slot)),
                mult: memory.load_clock(ClockWord::Mult(slot)),
            });
            memory.rmb();
            if memory.load_clock(ClockWord::Index) == index {
                memory.own();
                self.clock.set(other);
                memory.own();
                self.clock_index.set(index);
                return;
            }
        }
    }
}
