//! The clock page's latch: parameters are whole, or the old ones.

use std::cell::RefCell;
use std::collections::HashMap;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;
use vhost_trace_ringbuf::{
    ClockMemory, ClockPage, ClockParams, ClockWord, Geometry, GuestMemory, HostWord, Live, Mode,
    Word, Writer,
};

use crate::explore;

/// Index, then base, base_ns and mult of both slots.
type Page = Arc<[AtomicU64; 7]>;

fn index(word: ClockWord) -> usize {
    match word {
        ClockWord::Index => 0,
        ClockWord::Base(slot) => 1 + 3 * slot,
        ClockWord::BaseNs(slot) => 2 + 3 * slot,
        ClockWord::Mult(slot) => 3 + 3 * slot,
    }
}

struct Host(Page);

impl ClockMemory for Host {
    fn store(&self, word: ClockWord, value: u64) {
        self.0[index(word)].store(value, Ordering::Relaxed);
    }

    fn store_release(&self, word: ClockWord, value: u64) {
        self.0[index(word)].store(value, Ordering::Release);
    }

    fn fence_release(&self) {
        fence(Ordering::Release);
    }
}

/// The page is shared; the ring is the guest's own here.
struct Guest {
    page: Page,
    words: RefCell<HashMap<Word, u64>>,
}

impl GuestMemory for Guest {
    fn load(&self, word: Word) -> u64 {
        self.words.borrow().get(&word).copied().unwrap_or(0)
    }

    fn store(&self, word: Word, value: u64) {
        self.words.borrow_mut().insert(word, value);
    }

    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64 {
        let seen = self.load(word);
        if seen == old {
            self.store(word, new);
        }
        seen
    }

    fn add(&self, word: Word, value: u64) {
        self.store(word, self.load(word) + value);
    }

    fn write(&self, _offset: u64, _bytes: &[u8]) {}

    fn load_host(&self, _word: HostWord) -> u64 {
        u64::MAX
    }

    fn load_host_acquire(&self, _word: HostWord) -> u64 {
        0
    }

    fn load_clock(&self, word: ClockWord) -> u64 {
        self.page[index(word)].load(Ordering::Relaxed)
    }

    fn load_clock_acquire(&self, word: ClockWord) -> u64 {
        self.page[index(word)].load(Ordering::Acquire)
    }

    fn rmb(&self) {
        fence(Ordering::Acquire);
    }

    fn wmb(&self) {}

    fn mb(&self) {}

    fn counter(&self) -> u64 {
        COUNTER
    }

    fn kick(&self) {}
}

const COUNTER: u64 = 1_000_000;

/// No mixture of two gives the time of one.
fn clock(number: u64) -> ClockParams {
    let base_ns = [0, 10_000_000, 25_000_000, 70_000_000][number as usize];
    ClockParams {
        base: 1000 * number * number,
        base_ns,
        mult: (number + 1) << 32,
    }
}

#[test]
fn ring_loom_clock() {
    explore("clock", 3, || {
        let page: Page = Arc::new(std::array::from_fn(|_| AtomicU64::new(0)));
        let mut host = ClockPage::new(Host(page.clone()), 0);
        let live = Live::while_held(&());
        host.publish(&live, &clock(0));
        let words = RefCell::default();
        let guest = thread::spawn(move || {
            let geometry = Geometry::new(Mode::Discard, 4096, 2).unwrap();
            let writer = Writer::start(geometry, Guest { page, words });
            let stamps: Vec<u64> = (0..2)
                .map(|_| {
                    writer.commit(writer.reserve(1, 0).expect("there is room"));
                    writer.memory().load(Word::Stamp)
                })
                .collect();
            stamps
        });
        for number in 1..=3 {
            host.publish(&live, &clock(number));
        }
        let stamps = guest.join().unwrap();
        let whole = |stamp: &u64| (0..=3).any(|number| clock(number).time(COUNTER) == *stamp);
        assert!(stamps.iter().all(whole), "torn: {stamps:?}");
        assert!(stamps.is_sorted());
    });
}
