//! What the drain hands to sinks: one sub-buffer of events and its framing.

use std::io;
use std::sync::Arc;

use crate::pinned::Pinned;

/// Bytes of the guest's preamble at the start of every payload
/// (`struct vtrace_preamble`: begin, lost, position; u64 each).
pub const PREAMBLE_BYTES: usize = 24;

/// A stream of events: one channel of one vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// `VTRACE_CHANNEL_*`, below `VTRACE_MAX_CHANNELS`.
    pub channel: u32,
    /// Number of the vCPU.
    pub vcpu: u32,
}

/// Framing of a packet, all of it from the host's own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketInfo {
    /// The stream that it belongs to.
    pub stream: StreamKey,
    /// Epoch of the ring that it comes from.
    pub epoch: u64,
    /// Ring position of its first byte: `k * sub_size`, or the start of a
    /// copied piece.
    pub position: u64,
    /// No event in it is earlier; trace clock, nanoseconds.
    pub begin: u64,
    /// No event in it is later; trace clock, nanoseconds.
    pub end: u64,
    /// Number of events in it.
    pub events: u64,
    /// Events of this stream that the ring lost up to the end of this packet
    /// (discarded and overwritten), cumulative since the session began. What
    /// a sink itself skips is added by its queue.
    pub discarded: u64,
    /// Bytes of payload that are preamble and events; the rest is padding.
    pub content_len: usize,
}

/// Bytes of a packet: a 24-byte preamble, then events.
#[derive(Clone, Debug)]
pub enum Payload {
    /// A whole sub-buffer in guest memory; given back to the guest when the
    /// last clone is dropped.
    InPlace(Arc<Pinned>),
    /// A private copy: a cut, a last drain, or an overwrite-mode sub-buffer.
    Copied(Arc<Vec<u8>>),
}

impl Payload {
    /// Bytes of payload, padding included.
    pub fn len(&self) -> usize {
        match self {
            Payload::InPlace(pinned) => pinned.len(),
            Payload::Copied(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A private copy of the first `len` bytes, for whoever decodes: guest
    /// memory may change at any moment, so nothing is decoded in place.
    ///
    /// Fails with `InvalidInput` when there are fewer bytes, and as
    /// [`Pinned::copy`] does.
    pub fn to_private(&self, len: usize) -> io::Result<Arc<Vec<u8>>> {
        match self {
            Payload::InPlace(pinned) => pinned.copy(len).map(Arc::new),
            Payload::Copied(bytes) if bytes.len() == len => Ok(Arc::clone(bytes)),
            Payload::Copied(bytes) => bytes
                .get(..len)
                .map(|head| Arc::new(head.to_vec()))
                .ok_or_else(|| io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// A packet on its way to a sink.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its framing.
    pub info: PacketInfo,
    /// Its bytes.
    pub payload: Payload,
}

/// How a stream ended: what no packet has said yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// The stream.
    pub stream: StreamKey,
    /// A time that no event of it is later than; trace clock, nanoseconds.
    pub end: u64,
    /// Final value of [`PacketInfo::discarded`].
    pub discarded: u64,
}
