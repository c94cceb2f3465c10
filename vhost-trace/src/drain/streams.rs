//! Streams, which outlive their rings: a vCPU that is taken away and comes
//! back gets a new ring and goes on in its old stream.

use std::collections::BTreeMap;

use host_sink::packet::{StreamEnd, StreamKey};
use ringbuf::Lost;

/// What a stream has had so far, or where a ring began in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Positions of its rings, one after the other.
    pub position: u64,
    /// No event in it is later; ns.
    pub end: u64,
    /// Events that were read.
    pub events: u64,
    /// Packets that were read.
    pub packets: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Events that the guest lost.
    pub lost: Lost,
    /// Events that were recorded and then overwritten, or given up unread.
    pub overwritten: u64,
}

impl Totals {
    /// Events that no sink can have.
    pub fn discarded(&self) -> u64 {
        self.lost.sum() + self.overwritten
    }
}

/// All streams of a session whose rings have ended; they can be asked for until
/// the next session begins.
#[derive(Debug, Default)]
pub struct Streams(BTreeMap<StreamKey, Totals>);

impl Streams {
    /// Where a new ring of this stream begins.
    pub fn begin(&self, stream: StreamKey) -> Totals {
        self.0.get(&stream).copied().unwrap_or_default()
    }

    /// The ring of a stream has ended at these numbers.
    pub fn ended(&mut self, stream: StreamKey, totals: Totals) {
        self.0.insert(stream, totals);
    }

    /// All that have ended.
    pub fn iter(&self) -> impl Iterator<Item = (StreamKey, &Totals)> {
        self.0.iter().map(|(stream, totals)| (*stream, totals))
    }

    /// The last word on each stream.
    pub fn ends(&self) -> Vec<StreamEnd> {
        self.0
            .iter()
            .map(|(stream, totals)| StreamEnd {
                stream: *stream,
                end: totals.end,
                discarded: totals.discarded(),
            })
            .collect()
    }
}
