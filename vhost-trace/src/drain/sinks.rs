//! All sinks of a VM at once.

use std::sync::Arc;
use std::time::Duration;

use host_sink::decode::Events;
use host_sink::packet::{Packet, StreamEnd};
use host_sink::queue::{QueueError, SinkQueue};
use host_sink::schema::Schema;
use host_sink::session::Session as Trace;
use serde::{Deserialize, Serialize};

/// How long a sink may take to write what it has when `serve` ends.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

/// The sinks, each on a thread of its own.
#[derive(Debug)]
pub struct Sinks {
    queues: Vec<SinkQueue>,
    schema: Arc<Schema>,
}

/// One sink's numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkNumbers {
    /// Its name.
    pub name: String,
    /// Complete packets that it took.
    pub packets: u64,
    /// Events that it holds.
    pub events: u64,
    /// Payload bytes that went out straight from guest memory.
    pub bytes_in_place: u64,
    /// Payload bytes that were copied on the way.
    pub bytes_copied: u64,
    /// Packets that it had no room for.
    pub skipped: u64,
    /// Events that it does not hold though they were read.
    pub lost: u64,
    /// Packets that it has not finished.
    pub in_flight: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Text of the last failure.
    pub last_error: Option<String>,
}

impl Sinks {
    /// These sinks.
    pub fn new(queues: Vec<SinkQueue>) -> Sinks {
        Sinks {
            queues,
            schema: Arc::default(),
        }
    }

    /// A session begins.
    pub fn begin(&mut self, trace: &Arc<Trace>, schema: &Arc<Schema>) {
        self.schema = schema.clone();
        self.each(|sink| sink.begin(trace.clone(), schema.clone()));
    }

    /// There are more events.
    pub fn schema(&mut self, schema: &Arc<Schema>) {
        self.schema = schema.clone();
        self.each(|sink| sink.schema(schema.clone()));
    }

    /// A complete packet. What a sink has no room for, it counts itself.
    pub fn packet(&self, packet: &Packet) {
        for sink in &self.queues {
            sink.packet(packet.clone());
        }
    }

    /// The part that there is of a packet.
    pub fn provisional(&self, packet: &Packet) {
        for sink in &self.queues {
            sink.provisional(packet.clone());
        }
    }

    /// How many events there are in a private copy of a packet's content.
    pub fn count(&self, channel: u32, content: &[u8], begin: u64) -> u64 {
        let events = Events::new(&self.schema, channel, content, begin);
        events.take_while(Result::is_ok).count() as u64
    }

    /// The session is over.
    pub fn end(&self, ends: &[StreamEnd]) {
        self.each(|sink| sink.end(ends.to_vec()));
    }

    /// Have everything written, and let the threads end.
    pub fn close(&mut self) {
        for sink in self.queues.drain(..) {
            if let Err(error) = sink.close(CLOSE_PATIENCE) {
                log::error!("{error}");
            }
        }
    }

    /// Their numbers.
    pub fn status(&self) -> Vec<SinkNumbers> {
        self.queues
            .iter()
            .map(|sink| {
                let now = sink.status().snapshot();
                SinkNumbers {
                    name: sink.name().to_owned(),
                    packets: now.packets,
                    events: now.events,
                    bytes_in_place: now.bytes_in_place,
                    bytes_copied: now.bytes_copied,
                    skipped: now.skipped,
                    lost: now.lost,
                    in_flight: now.in_flight,
                    errors: now.errors,
                    last_error: now.last_error,
                }
            })
            .collect()
    }

    fn each(&self, act: impl Fn(&SinkQueue) -> Result<(), QueueError>) {
        for sink in &self.queues {
            if let Err(error) = act(sink) {
                log::error!("{error}");
            }
        }
    }
}
