//! A script, read byte by byte.

use std::cell::Cell;

/// When it has run out, it reads as zeros.
pub struct Script<'a> {
    bytes: Cell<&'a [u8]>,
}

impl<'a> Script<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes: Cell::new(bytes),
        }
    }

    pub fn is_done(&self) -> bool {
        self.bytes.get().is_empty()
    }

    pub fn byte(&self) -> u8 {
        let Some((first, rest)) = self.bytes.get().split_first() else {
            return 0;
        };
        self.bytes.set(rest);
        *first
    }

    pub fn word(&self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}
