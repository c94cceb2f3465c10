//! What the drain has read in one pass over all rings.

use std::sync::Arc;

use host_sink::packet::{PREAMBLE_BYTES, StreamKey};
use host_sink::schema::Schema;
use host_sink::session::Session as Trace;

/// Bytes of a batch, at most: the rest is missed, and counted.
const MAX_BYTES: usize = 4 << 20;

/// Whole events of one stream.
#[derive(Debug)]
pub struct Piece {
    /// The stream.
    pub stream: StreamKey,
    /// No event in it is earlier; ns.
    pub begin: u64,
    /// A preamble's worth of bytes that say nothing, then the events.
    pub content: Vec<u8>,
}

/// The pieces of one pass.
#[derive(Debug)]
pub struct Batch {
    /// Whose events they are.
    pub trace: Arc<Trace>,
    /// What they look like.
    pub schema: Arc<Schema>,
    /// They.
    pub pieces: Vec<Piece>,
    /// Events that are in no batch since there was no time for them.
    pub missed: u64,
    /// Events that the guest has lost.
    pub lost: u64,
    bytes: usize,
    events: u64,
}

impl Batch {
    /// A batch without events.
    pub fn new(trace: Arc<Trace>, schema: Arc<Schema>) -> Batch {
        Batch {
            trace,
            schema,
            pieces: Vec::new(),
            missed: 0,
            lost: 0,
            bytes: 0,
            events: 0,
        }
    }

    /// Add `count` events that begin at `begin`.
    pub fn add(&mut self, stream: StreamKey, begin: u64, events: &[u8], count: u64) {
        if self.bytes + events.len() > MAX_BYTES {
            self.missed += count;
            return;
        }
        self.bytes += events.len();
        self.events += count;
        let mut content = Vec::with_capacity(PREAMBLE_BYTES + events.len());
        content.resize(PREAMBLE_BYTES, 0);
        content.extend_from_slice(events);
        self.pieces.push(Piece {
            stream,
            begin,
            content,
        });
    }

    /// How many events are in it.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.missed == 0 && self.lost == 0
    }
}
