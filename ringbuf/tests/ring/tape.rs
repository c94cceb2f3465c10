//! Decisions, read one by one from bytes that a generator or fuzzer made.

use std::cell::Cell;

use crate::machine::Machine;

/// When it has run out, nothing happens any more.
pub struct Tape {
    bytes: Vec<u8>,
    next: Cell<usize>,
}

/// How deep writers nest in simulations: one more than are served.
const DEPTH: usize = 5;

impl Tape {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            next: Cell::new(0),
        }
    }

    /// The next decision.
    pub fn byte(&self) -> u8 {
        let at = self.next.get();
        self.next.set(at + 1);
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub fn is_done(&self) -> bool {
        self.next.get() >= self.bytes.len()
    }

    /// The payload of the next event: mostly small, some that fill, some that
    /// cannot be recorded.
    pub fn payload(&self) -> u32 {
        match self.byte() {
            small @ 0..180 => u32::from(small) % 48,
            medium @ 180..230 => u32::from(medium) * 4,
            large @ 230..252 => 3800 + u32::from(large),
            edge => 4050 + 4 * (u32::from(edge) - 252),
        }
    }

    /// Perhaps a writer runs now, nested into the one that is running.
    pub fn may_interrupt(&self, machine: &Machine) {
        if self.byte() >= 246 {
            self.interrupt(machine);
        }
    }

    /// A writer runs now, unless there are too many already.
    pub fn interrupt(&self, machine: &Machine) {
        if machine.depth() < DEPTH {
            machine.event(self.payload());
        }
    }
}
