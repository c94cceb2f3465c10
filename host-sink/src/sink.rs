//! What takes packets: the trait and its release rule.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

use crate::packet::{Packet, StreamEnd, StreamKey};
use crate::schema::Schema;
use crate::session::Session;

/// A destination of a guest's trace. Each one runs on a thread of its own,
/// behind a [`crate::queue::SinkQueue`].
///
/// # Release rule
/// The memory of an in-place payload may be touched, by this process or by the
/// kernel on its behalf, until the packet is dropped and not a moment longer:
/// **dropping it is the proof of release**, after which the guest writes there
/// again. A file sink drops a packet when its write has completed, never when
/// it was submitted. Where the kernel gives no proof (pipes, spliced sockets),
/// a sink copies first. Nothing in guest memory is decoded; what is decoded is
/// a private copy ([`crate::packet::Payload::to_private`]).
///
/// # Loss rule
/// A packet whose call returns an error is lost to this sink, and the caller
/// adds its events to the `discarded` of the packets that follow. What the
/// sink held of the same sub-buffer before (a provisional packet) it must
/// still hold after the error.
pub trait Sink: Send {
    /// A driver said HELLO: ends the session before, if any, and begins one.
    /// Positions and cumulative counts start again.
    fn begin(&mut self, session: &Arc<Session>, schema: &Arc<Schema>) -> Result<(), SinkError>;

    /// The schema grew: the new one holds all that the old one held.
    fn schema(&mut self, schema: &Arc<Schema>) -> Result<(), SinkError>;

    /// A complete packet. Those of one stream come in order of position.
    fn packet(&mut self, packet: Packet) -> Result<Written, SinkError>;

    /// The first part of a sub-buffer that is not complete yet. The next packet
    /// or provisional packet of the same position replaces it; if another
    /// position comes, or nothing, it stays. The last part of a ring that has
    /// ended is a packet, since nothing completes it.
    fn provisional(&mut self, packet: Packet) -> Result<Written, SinkError>;

    /// Makes what was taken so far durable, as far as the sink promises that.
    fn flush(&mut self) -> Result<(), SinkError>;

    /// The session is over; `ends` has the final word on each of its streams.
    fn end(&mut self, ends: &[StreamEnd]) -> Result<(), SinkError>;
}

/// Payload bytes that a call moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes that went out straight from guest memory.
    pub in_place: u64,
    /// Bytes that were copied by this process, here or before.
    pub copied: u64,
}

/// Why a sink could not do what it was asked.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The system refused.
    #[error("VM {vm}: cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// The VM whose trace it is.
        vm: String,
        /// What was tried, as a verb.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The size limit is reached and the sink is told to stop there.
    #[error("VM {vm}: {}: the limit of {limit} bytes is reached and this sink stops there; raise the limit or let it rotate", path.display())]
    Full {
        /// The VM whose trace it is.
        vm: String,
        /// Directory that reached it.
        path: PathBuf,
        /// The limit, bytes.
        limit: u64,
    },
    /// An option that makes no sense.
    #[error("VM {vm}: {what}")]
    BadOption {
        /// The VM whose sink it is about.
        vm: String,
        /// What is wrong, with the value.
        what: String,
    },
    /// A call that needs a session came without one.
    #[error("no session has begun")]
    NoSession,
    /// A packet whose framing makes no sense; the drain made a mistake.
    #[error("channel {} vcpu {}: packet at {position}: {what}", stream.channel, stream.vcpu)]
    BadPacket {
        /// Its stream.
        stream: StreamKey,
        /// Its position.
        position: u64,
        /// What is wrong, with the value.
        what: String,
    },
}

/// What a user can do about `error`, to be appended to a message.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free space or give the sink a size limit (packets are counted as lost until then)"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; give the user that runs vhost-trace write access, or choose another directory"
        }
        _ => "",
    }
}
