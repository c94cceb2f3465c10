//! Whether rings may be written, and by whom that is decided.

use std::sync::{Mutex, MutexGuard};

use ringbuf::Live;

/// The epoch that lives, or none.
///
/// The drain holds the gate while it writes to a ring; whoever ends an epoch
/// closes it first. So once [`Gate::set`] has returned, no ring of another
/// epoch is written, however late the drain learns of it.
#[derive(Debug, Default)]
pub struct Gate(Mutex<Option<u64>>);

/// The gate, held.
#[derive(Debug)]
pub struct Held<'a>(MutexGuard<'a, Option<u64>>);

impl Gate {
    /// From now on, only rings of this epoch may be written.
    pub fn set(&self, epoch: Option<u64>) {
        *self.lock() = epoch;
    }

    /// Keep the answer from changing.
    pub fn hold(&self) -> Held<'_> {
        Held(self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Option<u64>> {
        // A number is never half-written.
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Held<'_> {
    /// The permission to write a ring of `epoch`, if that lives.
    pub fn live(&self, epoch: u64) -> Option<Live<'_>> {
        (*self.0 == Some(epoch)).then(|| Live::while_held(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_gate_lets_one_epoch_pass() {
        let gate = Gate::default();
        assert!(gate.hold().live(1).is_none());
        gate.set(Some(2));
        assert!(gate.hold().live(1).is_none());
        assert!(gate.hold().live(2).is_some());
        gate.set(None);
        assert!(gate.hold().live(2).is_none());
    }
}
