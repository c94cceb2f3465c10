//! What a sink may hold at a time, and what it holds.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::packet::Payload;
use crate::status::SinkStatus;

/// How much a sink may hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Sub-buffers of guest memory submitted and not finished.
    pub pinned: usize,
    /// Bytes of copied payload submitted and not finished.
    pub copied_bytes: usize,
}

impl Default for Budget {
    /// 64 sub-buffers (16 MiB of the default 256 KiB ones) and 64 MiB of
    /// copies: the last drain of many vCPUs fits.
    fn default() -> Self {
        Self {
            pinned: 64,
            copied_bytes: 64 << 20,
        }
    }
}

/// Copied packets that may wait. Their bytes are what matters; this bounds the
/// channel.
pub(super) const MAX_COPIED_PACKETS: usize = 1024;

/// What submitter and sink thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) status: SinkStatus,
    pinned: AtomicUsize,
    copied_packets: AtomicUsize,
    copied_bytes: AtomicUsize,
}

impl Shared {
    /// Takes `payload` into the budget, or says no.
    pub(super) fn admit(&self, payload: &Payload, budget: &Budget) -> bool {
        let take = |counter: &AtomicUsize, amount: usize, limit: usize| {
            let fits = |now: usize| now.checked_add(amount).filter(|&then| then <= limit);
            counter
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, fits)
                .is_ok()
        };
        match payload {
            Payload::InPlace(_) => take(&self.pinned, 1, budget.pinned),
            Payload::Copied(bytes) => {
                if !take(&self.copied_packets, 1, MAX_COPIED_PACKETS) {
                    return false;
                }
                let fits = take(&self.copied_bytes, bytes.len(), budget.copied_bytes);
                if !fits {
                    self.copied_packets.fetch_sub(1, Ordering::AcqRel);
                }
                fits
            }
        }
    }

    /// Gives a payload's share of the budget back.
    pub(super) fn finish(&self, cost: Cost) {
        match cost {
            Cost::Pinned => self.pinned.fetch_sub(1, Ordering::AcqRel),
            Cost::Copied(bytes) => {
                self.copied_packets.fetch_sub(1, Ordering::AcqRel);
                self.copied_bytes.fetch_sub(bytes, Ordering::AcqRel)
            }
        };
        self.status.finished();
    }
}

/// A payload's share of the budget.
#[derive(Clone, Copy)]
pub(super) enum Cost {
    Pinned,
    Copied(usize),
}

impl From<&Payload> for Cost {
    fn from(payload: &Payload) -> Self {
        match payload {
            Payload::InPlace(_) => Cost::Pinned,
            Payload::Copied(bytes) => Cost::Copied(bytes.len()),
        }
    }
}
