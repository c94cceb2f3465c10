//! How the drain is doing.

use serde::{Deserialize, Serialize};

use super::sinks::SinkNumbers;
use super::streams::Totals;

/// Numbers of a drain at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DrainStatus {
    /// A stream for each channel of each vCPU.
    pub streams: Vec<StreamStatus>,
    /// The sinks.
    pub sinks: Vec<SinkNumbers>,
    /// How often the thread was woken.
    pub wakeups: u64,
}

/// Events that the guest lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostByReason {
    /// No sub-buffer was free.
    pub full: u64,
    /// Larger than a sub-buffer.
    pub too_big: u64,
    /// Too many writers nested.
    pub nested: u64,
    /// The ring came round to a reservation still open.
    pub wrapped: u64,
}

/// One channel of one vCPU.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StreamStatus {
    /// The vCPU.
    pub vcpu: u32,
    /// The channel.
    pub channel: u32,
    /// Events that were read.
    pub events: u64,
    /// Packets that were read.
    pub packets: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Events that the guest lost.
    pub lost: LostByReason,
    /// Events that were recorded and then overwritten, or given up unread.
    pub overwritten: u64,
    /// The ring that feeds it, if there is one.
    pub ring: Option<RingStatus>,
}

/// A ring that is being read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RingStatus {
    /// The driver's number of it.
    pub id: u32,
    /// Where the guest has its first sub-buffer.
    pub address: u64,
    /// Bytes in it that the guest may not use yet.
    pub fill: u64,
    /// Bytes of all its sub-buffers.
    pub capacity: u64,
    /// How often its guest was asked to kick; each time it may do so once.
    pub armings: u64,
    /// Sub-buffers that sinks hold in place.
    pub pinned: usize,
    /// Why it is not read any more, if so.
    pub quarantine: Option<String>,
}

impl StreamStatus {
    /// The numbers of a stream that has, or had, a ring.
    pub fn new(vcpu: u32, channel: u32, totals: &Totals, ring: Option<RingStatus>) -> Self {
        StreamStatus {
            vcpu,
            channel,
            events: totals.events,
            packets: totals.packets,
            bytes: totals.bytes,
            lost: LostByReason {
                full: totals.lost.full,
                too_big: totals.lost.too_big,
                nested: totals.lost.nested,
                wrapped: totals.lost.wrapped,
            },
            overwritten: totals.overwritten,
            ring,
        }
    }
}
