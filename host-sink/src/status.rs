//! What a sink has done so far, readable from any thread.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::sink::{SinkError, Written};

/// Counters of a sink since it was made. Each is exact by itself; together
/// they are a moment's picture.
#[derive(Debug, Default)]
pub struct SinkStatus {
    packets: AtomicU64,
    provisional: AtomicU64,
    bytes_in_place: AtomicU64,
    bytes_copied: AtomicU64,
    events: AtomicU64,
    skipped: AtomicU64,
    lost: AtomicU64,
    in_flight: AtomicU64,
    errors: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// A copy of [`SinkStatus`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StatusSnapshot {
    /// Complete packets taken.
    pub packets: u64,
    /// Provisional packets taken, later replaced or not.
    pub provisional: u64,
    /// Payload bytes that went out straight from guest memory.
    pub bytes_in_place: u64,
    /// Payload bytes that were copied on the way.
    pub bytes_copied: u64,
    /// Events that the sink holds: those of complete packets, and of
    /// provisional ones that nothing replaced.
    pub events: u64,
    /// Packets that were not offered to the sink because its budget was used
    /// up or because it had stopped.
    pub skipped: u64,
    /// Events that this sink does not hold though the ring delivered them:
    /// skipped or failed.
    pub lost: u64,
    /// Packets submitted and not finished.
    pub in_flight: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Text of the last failure.
    pub last_error: Option<String>,
}

impl SinkStatus {
    /// The counters as they are now.
    pub fn snapshot(&self) -> StatusSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StatusSnapshot {
            packets: read(&self.packets),
            provisional: read(&self.provisional),
            bytes_in_place: read(&self.bytes_in_place),
            bytes_copied: read(&self.bytes_copied),
            events: read(&self.events),
            skipped: read(&self.skipped),
            lost: read(&self.lost),
            in_flight: read(&self.in_flight),
            errors: read(&self.errors),
            last_error: self.error_text().clone(),
        }
    }

    pub(crate) fn submitted(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn packet_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn events_lost(&self, events: u64) {
        self.lost.fetch_add(events, Ordering::Relaxed);
    }

    /// The sink took a packet that raised the number of events it holds.
    pub(crate) fn taken(&self, provisional: bool, written: Written, more_events: u64) {
        let packets = if provisional {
            &self.provisional
        } else {
            &self.packets
        };
        packets.fetch_add(1, Ordering::Relaxed);
        self.bytes_in_place
            .fetch_add(written.in_place, Ordering::Relaxed);
        self.bytes_copied
            .fetch_add(written.copied, Ordering::Relaxed);
        self.events.fetch_add(more_events, Ordering::Relaxed);
    }

    /// A call failed. Logs it unless it repeats the failure before.
    pub(crate) fn failed(&self, sink: &str, error: &SinkError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        let mut last = self.error_text();
        if last.as_deref() != Some(&text) {
            log::error!("sink {sink}: {text}");
            *last = Some(text);
        }
    }

    fn error_text(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // A panic while holding it cannot leave the text half-made.
        self.last_error
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
