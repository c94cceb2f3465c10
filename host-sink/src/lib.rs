//! Where a guest's trace goes on the host.
//!
//! The device hands over two things that a guest made and nobody vouches for:
//! schema records, which [`schema`] turns into validated event classes, and
//! sub-buffers of events, which travel as a [`packet::Packet`] through a
//! [`queue::SinkQueue`] to a [`sink::Sink`]. A sink that writes files is in
//! [`ctf`]; [`decode`] and [`text`] turn events into values and lines for those
//! that show them.
//!
//! Trust: everything that comes from a guest is bounded where it enters, and
//! escaped where it leaves ([`escape`]). Framing (sizes, times, sequence
//! numbers, loss) is always the host's own; payload is never believed.

pub mod ctf;
pub mod decode;
pub mod escape;
pub mod packet;
pub mod pinned;
pub mod queue;
pub mod schema;
pub mod session;
pub mod sink;
pub mod status;
pub mod text;
pub mod value;

mod ledger;
