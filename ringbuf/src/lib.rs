//! The rings in which a guest leaves its trace: their layout, the host's
//! reader, and a reference writer (`docs/virtio-trace.md`, "Ring layout" and
//! "Ring operation").
//!
//! A [`Reader`] serves one ring. It believes nothing: each word is loaded once,
//! bounded and compared with the reader's own bookkeeping, and the first that
//! makes no sense quarantines the ring with a [`Fault`]. It only ever writes
//! the two words of the host's page, and only with a [`Live`] permission.
//!
//! ```text
//! poll ──> sub-buffer in place ──> release, publish      discard mode
//! poll ──> sub-buffer copied                             overwrite mode
//! cut ──> copy of the current one, the guest running     both
//! remains ──> copies of all that is unread, around       both, the guest
//!             the holes of writers that never finished   standing still
//! arm ──> sleep until kicked                             both
//! ```
//!
//! [`ClockPage`] is the host's side of the clock that the guest stamps events
//! by. [`Writer`] is the guest's side of all of this, as the driver's C header
//! has it; it serves tests and models, and whoever wants to understand.
//!
//! All stamps are nanoseconds of the trace clock, all positions bytes since the
//! ring was registered; neither wraps.
#![no_std]

pub mod layout;

mod clock;
mod cut;
mod discard;
mod fault;
mod geometry;
mod memory;
mod open;
mod overwrite;
mod permit;
mod reader;
mod remains;
mod wake;
mod word;
mod writer;

pub use clock::{ClockMemory, ClockPage, ClockParams, ClockWord, MappedClock};
pub use cut::Cut;
pub use discard::NotOut;
pub use fault::{Breach, Fault};
pub use geometry::{DescError, Geometry, Mode};
pub use memory::{HostMemory, Mapped};
pub use open::Hole;
pub use permit::{Live, Stopped};
pub use reader::{Lost, Reader, SubBuffer};
pub use remains::{Piece, Remains, Remnant};
pub use wake::Armed;
pub use word::{HostWord, Place, Word};
pub use writer::{GuestMemory, Reservation, Writer};
