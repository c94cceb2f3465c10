//! The vhost-user device: queues, features, configuration space and memory, on
//! top of [`crate::session`].
//!
//! One device exists for each connection of a front end; what outlives a
//! connection is in [`crate::vm::Vm`]. The crate `vhost-user-backend` calls it
//! from two threads: one for the front end's messages, one for the queues.

mod backend;
mod chain;
mod commands;
mod config_space;
mod control;
mod pace;
mod queue;
mod stop;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};

use vhost_user_backend::VringRwLock;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::event::{EventConsumer, EventNotifier};

use crate::guest::GuestMap;
use crate::vm::Vm;
use control::Unanswered;
use pace::Pace;

pub use backend::WAKE_EVENT;
pub use control::MAX_REQUEST;

/// What a front end's device needs besides its VM.
#[derive(Debug)]
pub struct Device {
    vm: Arc<Vm>,
    mem: GuestMemoryAtomic<GuestMemoryMmap>,
    queues: Mutex<Queues>,
    // The crate tells of a queue that begins to run as of a kick.
    rung: AtomicBool,
    // Wakes the queues' thread for what no queue has told it.
    wake: (EventConsumer, EventNotifier),
    exit: Mutex<Option<(EventConsumer, EventNotifier)>>,
    exit_fd: std::os::fd::RawFd,
}

/// What the queues' thread works with, and the front end's changes.
#[derive(Debug, Default)]
struct Queues {
    map: GuestMap,
    vrings: Vec<Vring>,
    broken: [bool; crate::wire::NUM_VQS],
    unanswered: Vec<Unanswered>,
    pace: Pace,
    // Since the queues were stopped: where the control queue's next request
    // would have been.
    stopped_at: Option<u16>,
    // Those that were stopped since.
    stopped: [bool; crate::wire::NUM_VQS],
}

/// A queue of ours, which the crate gives no Debug.
#[derive(Clone)]
struct Vring(VringRwLock);

impl std::fmt::Debug for Vring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vring")
    }
}

impl Device {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        // Nothing in there is half-changed by a panic that matters more than
        // going on to serve.
        self.queues
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
