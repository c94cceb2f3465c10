//! A sink on a thread of its own, and the budget that keeps it from holding a
//! guest's memory.
//!
//! The drain never waits for a sink: a packet that does not fit the budget is
//! skipped for this sink and becomes part of its loss, which goes into the
//! `discarded` of the packets that follow.

mod budget;
mod worker;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use thiserror::Error;

pub use budget::Budget;
use budget::{Cost, MAX_COPIED_PACKETS, Shared};
use worker::{Message, Worker};

use crate::ledger::{ByStream, Skips};
use crate::packet::{Packet, StreamEnd};
use crate::schema::Schema;
use crate::session::Session;
use crate::sink::{Sink, SinkError};
use crate::status::SinkStatus;

/// What became of a packet that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// The sink will get it.
    Queued,
    /// The budget is used up, or the sink has stopped: its events are this
    /// sink's loss.
    Skipped,
}

/// Why a sink's queue could not do what it was asked.
#[derive(Debug, Error)]
pub enum QueueError {
    /// The sink did not take the message, or did not answer, in time.
    #[error("sink {sink}: no progress within {seconds} s while it should {what}")]
    Stalled {
        /// Name of the sink.
        sink: String,
        /// What it was asked to do.
        what: &'static str,
        /// How long it was waited for.
        seconds: f64,
    },
    /// The sink's thread has ended.
    #[error("sink {sink}: its thread has ended; see the log")]
    Gone {
        /// Name of the sink.
        sink: String,
    },
    /// The sink itself failed.
    #[error("sink {sink}: {source}")]
    Sink {
        /// Name of the sink.
        sink: String,
        /// Why.
        source: SinkError,
    },
}

/// Control messages that may wait: a few per HELLO.
const CONTROL_SLOTS: usize = 64;
/// How long a control message waits for a slot before the sink counts as
/// stalled. It runs only when a slow sink got 64 of them without taking one.
const CONTROL_PATIENCE: Duration = Duration::from_secs(1);

/// The way to a sink that runs on a thread of its own.
///
/// Its methods may be called from any thread; packets of one stream must come
/// from one thread at a time. Dropping it ends the session and lets the thread
/// finish by itself; [`SinkQueue::close`] waits for that.
#[derive(Debug)]
pub struct SinkQueue {
    name: String,
    budget: Budget,
    sender: Sender<Message>,
    done: Receiver<()>,
    shared: Arc<Shared>,
    skips: Mutex<ByStream<Skips>>,
}

impl SinkQueue {
    /// Starts `sink` on a thread called `sink-NAME`.
    ///
    /// Fails if the system has no thread for it.
    pub fn spawn(name: &str, sink: Box<dyn Sink>, budget: Budget) -> io::Result<Self> {
        let (sender, messages) = bounded(budget.pinned + MAX_COPIED_PACKETS + CONTROL_SLOTS);
        let (alive, done) = bounded(0);
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(name, sink, Arc::clone(&shared), alive);
        thread::Builder::new()
            .name(format!("sink-{name}"))
            .spawn(move || worker.run(&messages))?;
        Ok(Self {
            name: name.to_owned(),
            budget,
            sender,
            done,
            shared,
            skips: Mutex::default(),
        })
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the sink has done so far.
    pub fn status(&self) -> &SinkStatus {
        &self.shared.status
    }

    /// A driver said HELLO: [`Sink::begin`]. A session before it ends first,
    /// with the counts that its packets had; [`SinkQueue::end`] says more.
    pub fn begin(&self, session: Arc<Session>, schema: Arc<Schema>) -> Result<(), QueueError> {
        let skips = std::mem::take(&mut *self.skips());
        self.control(
            "end its session",
            Message::End {
                ends: Vec::new(),
                skips,
            },
        )?;
        self.control("begin a session", Message::Begin(session, schema))
    }

    /// The schema grew: [`Sink::schema`].
    pub fn schema(&self, schema: Arc<Schema>) -> Result<(), QueueError> {
        self.control("take a schema", Message::Schema(schema))
    }

    /// Offers a complete packet: [`Sink::packet`]. Never waits.
    pub fn packet(&self, packet: Packet) -> Submitted {
        self.submit(packet, false)
    }

    /// Offers the first part of a sub-buffer: [`Sink::provisional`]. Never
    /// waits. If it is skipped and nothing else comes of that sub-buffer, its
    /// events are lost to this sink.
    pub fn provisional(&self, packet: Packet) -> Submitted {
        self.submit(packet, true)
    }

    /// The session is over: [`Sink::end`].
    pub fn end(&self, ends: Vec<StreamEnd>) -> Result<(), QueueError> {
        let skips = std::mem::take(&mut *self.skips());
        self.control("end its session", Message::End { ends, skips })
    }

    /// Waits until all that was submitted before is with the sink, and the
    /// sink flushed it.
    pub fn flush(&self, patience: Duration) -> Result<(), QueueError> {
        let (reply, answer) = bounded(1);
        self.control("flush", Message::Flush(reply))?;
        match answer.recv_timeout(patience) {
            Ok(result) => result.map_err(|source| QueueError::Sink {
                sink: self.name.clone(),
                source,
            }),
            Err(error) if error.is_timeout() => Err(self.stalled("flush", patience)),
            Err(_) => Err(self.gone()),
        }
    }

    /// Ends the session and waits until the sink's thread has finished. After
    /// an error the thread may still be inside a system call; what it holds
    /// stays on loan until that returns.
    pub fn close(self, patience: Duration) -> Result<(), QueueError> {
        let Self {
            name,
            sender,
            done,
            skips,
            ..
        } = self;
        let skips = skips
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // A thread that has ended already has nothing to close.
        let _ = sender.send_timeout(
            Message::End {
                ends: Vec::new(),
                skips,
            },
            patience,
        );
        drop(sender);
        match done.recv_timeout(patience) {
            Err(error) if error.is_timeout() => Err(QueueError::Stalled {
                sink: name,
                what: "finish",
                seconds: patience.as_secs_f64(),
            }),
            _ => Ok(()),
        }
    }

    fn submit(&self, packet: Packet, provisional: bool) -> Submitted {
        let (stream, position, events) =
            (packet.info.stream, packet.info.position, packet.info.events);
        // Held until the packet is in the channel, so that skips and packets
        // of a stream keep their order.
        let mut skips = self.skips();
        if self.shared.admit(&packet.payload, &self.budget) {
            self.shared.status.submitted();
            let cost = Cost::from(&packet.payload);
            let message = Message::Packet {
                packet,
                provisional,
                skips: skips.remove(&stream),
            };
            match self.sender.try_send(message) {
                Ok(()) => return Submitted::Queued,
                Err(back) => {
                    self.shared.finish(cost);
                    if let Message::Packet {
                        skips: Some(before),
                        ..
                    } = back.into_inner()
                    {
                        skips.insert(stream, before);
                    }
                }
            }
        }
        skips
            .entry(stream)
            .or_default()
            .add(position, events, !provisional);
        self.shared.status.packet_skipped();
        Submitted::Skipped
    }

    fn control(&self, what: &'static str, message: Message) -> Result<(), QueueError> {
        self.sender
            .send_timeout(message, CONTROL_PATIENCE)
            .map_err(|error| {
                if error.is_timeout() {
                    self.stalled(what, CONTROL_PATIENCE)
                } else {
                    self.gone()
                }
            })
    }

    fn skips(&self) -> MutexGuard<'_, ByStream<Skips>> {
        // Nothing that runs under the lock can leave it half-changed.
        self.skips
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn stalled(&self, what: &'static str, patience: Duration) -> QueueError {
        QueueError::Stalled {
            sink: self.name.clone(),
            what,
            seconds: patience.as_secs_f64(),
        }
    }

    fn gone(&self) -> QueueError {
        QueueError::Gone {
            sink: self.name.clone(),
        }
    }
}
