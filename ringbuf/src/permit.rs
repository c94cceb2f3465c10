//! What a caller has to promise before it may do certain things to a ring.

use core::marker::PhantomData;

/// The permission to write a ring's host words: its epoch is live for as long
/// as this value is. Without one, nothing is ever written to guest memory.
#[derive(Clone, Copy, Debug)]
pub struct Live<'guard>(PhantomData<&'guard ()>);

impl<'guard> Live<'guard> {
    /// The ring's epoch is live, and cannot end while `guard` is borrowed: the
    /// guard is what whoever ends epochs waits for, such as that of a lock.
    pub fn while_held<T: ?Sized>(_guard: &'guard T) -> Self {
        Self(PhantomData)
    }
}

/// The knowledge that no vCPU of the guest runs for as long as this value is:
/// its queues have been stopped, QEMU is gone, or the ring is in a core file.
#[derive(Clone, Copy, Debug)]
pub struct Stopped<'guard>(PhantomData<&'guard ()>);

impl<'guard> Stopped<'guard> {
    /// The guest stands still, and cannot go on while `guard` is borrowed.
    pub fn while_held<T: ?Sized>(_guard: &'guard T) -> Self {
        Self(PhantomData)
    }
}
