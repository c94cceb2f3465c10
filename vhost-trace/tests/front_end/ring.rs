//! A ring in the shared memory and its writer.

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use ringbuf::{ClockWord, Geometry, GuestMemory, HostWord, Mode, Place, Word, Writer};
use vhost_trace::wire::{Status, req};

use crate::driver::Driver;
use crate::memory::Memory;

/// Bytes of a sub-buffer, as `Serve::start` has it.
pub const SUB: u32 = 8192;
/// Sub-buffers, as `Serve::start` has it.
pub const NSUB: u32 = 4;

/// The schema: event 1, "number", with a mark and a u64.
pub const RECORD: &[u8] = &[
    45, 0, 1, 0, 0, 0, 3, 6, b'n', b'u', b'm', b'b', b'e', b'r', // event
    1, 8, 2, 4, 0, 0, b'm', b'a', b'r', b'k', // HEX
    1, 8, 0, 3, 0, 0, b's', b'e', b'q', // INT
    1, 4, 0, 6, 0, 0, b'f', b'i', b'l', b'l', b'e', b'r',
];

/// What stands before each number, to find it in any file.
const MARK: u64 = 0x4b52_414d_5f4f_4e21;
/// Bytes of an event's payload.
const PAYLOAD: u32 = 20;

/// The numbers in the bytes of a trace file, in its order.
pub fn marked_numbers(bytes: &[u8]) -> Vec<u64> {
    let word = |at: usize| {
        let bytes = bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().unwrap()))
    };
    let mut numbers = Vec::new();
    let mut at = 0;
    while let Some(here) = word(at) {
        if here == MARK {
            numbers.extend(word(at + 8));
            at += PAYLOAD as usize;
        } else {
            at += 1;
        }
    }
    numbers
}

/// A ring's memory as its guest has it.
pub struct Mapped {
    guest: *mut u8,
    host: *mut u8,
    data: *mut u8,
    stamp: Cell<u64>,
    kicks: Rc<Cell<u64>>,
}

impl Mapped {
    fn word(&self, word: Word) -> &AtomicU64 {
        let at = match word.place() {
            Place::Guest(offset) => self.guest.wrapping_add(offset),
            Place::Data(slot, offset) => self.data.wrapping_add(slot * SUB as usize + offset),
        };
        // SAFETY: the ring's memory is mapped as long as the driver lives, and
        // the word is within it and aligned.
        unsafe { AtomicU64::from_ptr(at.cast()) }
    }

    fn host(&self, word: HostWord) -> &AtomicU64 {
        // SAFETY: as above, of the host's page.
        unsafe { AtomicU64::from_ptr(self.host.wrapping_add(word.offset()).cast()) }
    }
}

impl GuestMemory for Mapped {
    fn load(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Relaxed);
    }

    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64 {
        match self
            .word(word)
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(was) | Err(was) => was,
        }
    }

    fn add(&self, word: Word, value: u64) {
        self.word(word).fetch_add(value, Ordering::Release);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let at = self.data.wrapping_add(offset as usize);
        // SAFETY: the writer stays within the ring's data.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len()) };
    }

    fn load_host(&self, word: HostWord) -> u64 {
        self.host(word).load(Ordering::Relaxed)
    }

    fn load_host_acquire(&self, word: HostWord) -> u64 {
        self.host(word).load(Ordering::Acquire)
    }

    fn load_clock(&self, word: ClockWord) -> u64 {
        match word {
            ClockWord::Mult(_) => 1 << 32,
            _ => 0,
        }
    }

    fn load_clock_acquire(&self, word: ClockWord) -> u64 {
        self.load_clock(word)
    }

    fn rmb(&self) {
        fence(Ordering::Acquire);
    }

    fn wmb(&self) {
        fence(Ordering::Release);
    }

    fn mb(&self) {
        fence(Ordering::SeqCst);
    }

    fn counter(&self) -> u64 {
        let stamp = self.stamp.get() + 1000;
        self.stamp.set(stamp);
        stamp
    }

    fn kick(&self) {
        self.kicks.set(self.kicks.get() + 1);
    }
}

/// A ring that numbers are written to.
pub struct Ring {
    pub gpa: u64,
    writer: Writer<Mapped>,
    kicks: Rc<Cell<u64>>,
    next: u64,
}

impl Ring {
    /// Make ring `id` of this vCPU at `gpa`, and register it.
    pub fn register(driver: &mut Driver, id: u32, vcpu: u32, gpa: u64, mode: Mode) -> Ring {
        let ring = Ring::new(&driver.memory, driver.epoch, id, vcpu, gpa, mode);
        assert_eq!(
            driver.ring_request(req::RING_ADD, id, gpa),
            Status::Ok as u32
        );
        ring
    }

    /// Make it.
    pub fn new(memory: &Memory, epoch: u64, id: u32, vcpu: u32, gpa: u64, mode: Mode) -> Ring {
        let geometry = Geometry::new(mode, SUB, NSUB).unwrap();
        let number = match mode {
            Mode::Discard => 0,
            Mode::Overwrite => 1,
        };
        let control = geometry.control_bytes();
        let data = gpa + control;
        let zeros = vec![0; (control + geometry.capacity()) as usize];
        memory.write_bytes(&zeros, gpa);
        let magic = ringbuf::layout::RING_MAGIC;
        for (index, word) in [magic, 1, id, vcpu, 0, number, SUB, NSUB]
            .iter()
            .enumerate()
        {
            memory.write(*word, gpa + 4 * index as u64);
        }
        memory.write(epoch, gpa + 32);
        for sub in 0..u64::from(NSUB) {
            memory.write(data + sub * u64::from(SUB), gpa + 64 + 8 * sub);
        }
        memory.write(u64::MAX, gpa + 4096 + 8);
        let kicks = Rc::new(Cell::new(0));
        let mapped = Mapped {
            guest: memory.host(gpa + 8192),
            host: memory.host(gpa + 4096),
            data: memory.host(data),
            stamp: Cell::new(1_000_000),
            kicks: kicks.clone(),
        };
        Ring {
            gpa,
            writer: Writer::start(geometry, mapped),
            kicks,
            next: 0,
        }
    }

    /// Write the next number; `false`: it was lost.
    pub fn write(&mut self) -> bool {
        let Some(reservation) = self.writer.reserve(1, PAYLOAD) else {
            return false;
        };
        let payload = [
            &MARK.to_le_bytes()[..],
            &self.next.to_le_bytes(),
            &[0xee; 4],
        ]
        .concat();
        self.writer.write(&reservation, 0, &payload);
        self.writer.commit(reservation);
        self.next += 1;
        true
    }

    /// Write so many numbers.
    pub fn write_many(&mut self, count: u64) {
        for _ in 0..count {
            assert!(self.write());
        }
    }

    /// Write until one is lost; returns how many were written, ever.
    pub fn fill(&mut self) -> u64 {
        while self.write() {}
        self.next
    }

    /// How many numbers were written.
    pub fn count(&self) -> u64 {
        self.next
    }

    /// Reserve and never commit, as a guest does that dies.
    pub fn leave_open(&mut self) {
        assert!(self.writer.reserve(1, PAYLOAD).is_some());
    }

    /// How often the writer has wanted to kick.
    pub fn kicks(&self) -> u64 {
        self.kicks.get()
    }

    /// What the host says is free.
    pub fn consumed(&self, memory: &Memory) -> u64 {
        memory.read(self.gpa + 4096)
    }

    /// Where the host wants to be woken.
    pub fn wake_at(&self, memory: &Memory) -> u64 {
        memory.read(self.gpa + 4096 + 8)
    }
}
