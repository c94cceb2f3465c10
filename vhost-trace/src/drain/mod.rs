//! The drain: one thread that owns all rings of a VM, reads what is complete
//! and hands it to the sinks.
//!
//! It sleeps until a ring's writer kicks, a sink gives a sub-buffer back, or
//! somebody wants something of it. It never waits for a sink and takes no lock
//! but the gate, so that whoever ends an epoch waits for one ring at most.

mod age;
mod gate;
mod handle;
mod kept;
mod pace;
mod remains;
mod ring;
mod sinks;
mod status;
mod streams;
mod tap;
mod watch;
mod worker;

use std::sync::Arc;

use host_sink::schema::Schema;
use host_sink::session::Session as Trace;

use crate::session::Ring;

pub use handle::Drain;
pub use sinks::{SinkNumbers, Sinks};
pub use status::{DrainStatus, LostByReason, RingStatus, StreamStatus};

/// What a session wants of the drain.
#[derive(Debug)]
pub enum Message {
    /// A driver is ready to trace.
    Begin {
        /// Whose trace it is.
        trace: Arc<Trace>,
        /// The events known so far.
        schema: Arc<Schema>,
    },
    /// There are more events.
    Schema(Arc<Schema>),
    /// Read this ring.
    Add(Box<Ring>),
    /// Read this ring to its end: the driver takes it back, or its memory is
    /// gone.
    Remove {
        /// The driver's number of it.
        ring: u32,
        /// What is released when nothing uses its memory any more.
        ticket: Option<u64>,
    },
    /// The guest runs again. Until its driver has acknowledged the new epoch its
    /// rings are read when it stops, and never written.
    Runs,
    /// The rings live on.
    Resume {
        /// In this epoch.
        epoch: u64,
    },
    /// The driver is gone, and its rings with it.
    End,
}
