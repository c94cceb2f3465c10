//! The drain's thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use host_sink::packet::StreamKey;
use host_sink::schema::Schema;
use host_sink::session::Session as Trace;
use ringbuf::Armed;

use super::Message;
use super::age::Aging;
use super::gate::Gate;
use super::remains::Room;
use super::ring::{DrainRing, Travel};
use super::sinks::Sinks;
use super::status::{DrainStatus, StreamStatus};
use super::streams::Streams;
use super::watch::Watching;
use crate::live::{Audience, Tap};
use crate::vm::Waker;

/// How long the drain sleeps when nobody wakes it, though it has rings: kicks
/// can get lost in a guest that dies.
const FALLBACK: Duration = Duration::from_secs(20);
/// How soon it looks again at a ring whose next sub-buffer lacks the commit of
/// an interrupted writer; then twice as long, and so on.
const SOON: Duration = Duration::from_millis(1);
/// How long the sinks may take over what they hold in place when the queues
/// are stopped.
const STOP_PATIENCE: Duration = Duration::from_millis(1500);

/// Calls that are taken before the rings get their turn.
const CALLS_AT_ONCE: u32 = 1024;

/// What the thread is asked.
#[derive(Debug)]
pub enum Call {
    /// Something of the session's.
    Message(Message),
    /// A ring's writer has kicked.
    Doorbell,
    /// There is more to read.
    Turn,
    /// A sink has let go of a sub-buffer.
    Released {
        /// Which ring.
        uid: u64,
        /// Which sub-buffer.
        position: u64,
    },
    /// The queues are stopped: answer when nothing is in use any more.
    Stop(Sender<()>),
    /// Answer when all that was asked before is done.
    Settle(Sender<()>),
    /// Give copies to those who watch, or to nobody any more.
    Watch(Option<(Tap, Audience)>),
    /// Say how it is going.
    Status(Sender<DrainStatus>),
    /// Read everything, close the sinks, end.
    Close(Sender<()>),
}

/// What the thread tells others.
#[derive(Debug, Default)]
pub struct Shared {
    /// Who may write rings.
    pub gate: Gate,
    /// Tickets of what is not in use any more.
    pub released: Mutex<Vec<u64>>,
    /// Whom to wake about them.
    pub queues: Arc<Waker>,
    /// A kick is on its way already.
    pub rung: AtomicBool,
}

impl Shared {
    fn release(&self, tickets: &[u64]) {
        lock(&self.released).extend(tickets);
        self.queues.wake();
    }
}

/// Lock what no panic can leave half-changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The state of the thread.
#[derive(Debug)]
pub struct Worker {
    vm: String,
    shared: Arc<Shared>,
    calls: Sender<Call>,
    pub(super) sinks: Sinks,
    pub(super) rings: BTreeMap<u64, DrainRing>,
    // With the tickets that they will release.
    leaving: BTreeMap<u64, (DrainRing, Option<u64>)>,
    streams: Streams,
    last_uid: u64,
    soon: Option<Duration>,
    stopping: Option<(Sender<()>, Instant)>,
    pub(super) trace: Option<(Arc<Trace>, Arc<Schema>)>,
    pub(super) watching: Watching,
    pub(super) aging: Aging,
    wakeups: u64,
}

impl Worker {
    /// A thread's state without rings; `calls` is where it hears from itself.
    pub fn new(
        vm: String,
        shared: Arc<Shared>,
        calls: Sender<Call>,
        sinks: Sinks,
        aging: Aging,
    ) -> Worker {
        Worker {
            vm,
            shared,
            calls,
            sinks,
            rings: BTreeMap::new(),
            leaving: BTreeMap::new(),
            streams: Streams::default(),
            last_uid: 0,
            soon: None,
            stopping: None,
            trace: None,
            watching: Watching::default(),
            aging,
            wakeups: 0,
        }
    }

    /// Work until closed.
    pub fn run(mut self, calls: &Receiver<Call>) {
        let closed = loop {
            let call = match self.patience() {
                Some(patience) => calls.recv_timeout(patience),
                None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.wakeups += 1;
            let mut next = match call {
                Ok(call) => Some(call),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut closing = None;
            let mut taken = 0;
            while let Some(call) = next {
                if let Call::Close(reply) = call {
                    closing = Some(reply);
                    break;
                }
                self.take(call);
                taken += 1;
                next = if taken < CALLS_AT_ONCE {
                    calls.try_recv().ok()
                } else {
                    None
                };
            }
            self.pump();
            self.age();
            self.show();
            self.answer_stop();
            if closing.is_some() {
                break closing;
            }
        };
        self.close();
        if let Some(reply) = closed {
            let _ = reply.send(());
        }
    }

    fn patience(&mut self) -> Option<Duration> {
        if let Some((_, deadline)) = &self.stopping {
            return Some(deadline.saturating_duration_since(Instant::now()));
        }
        let idle = (!self.rings.is_empty()).then_some(FALLBACK);
        let aging = self.aging.pause(!self.rings.is_empty());
        let pauses = [self.soon, self.watching.pause(), aging, idle];
        pauses.into_iter().flatten().min()
    }

    fn take(&mut self, call: Call) {
        match call {
            Call::Message(message) => self.message(message),
            Call::Doorbell => {
                self.shared.rung.store(false, Ordering::Release);
                self.watching.kicked();
            }
            // After the calls.
            Call::Turn => {}
            Call::Released { uid, position } => self.released(uid, position),
            Call::Stop(reply) => {
                let mut room = Room::new();
                for ring in self.rings.values_mut() {
                    ring.stop(&self.sinks, &mut room);
                }
                self.stopping = Some((reply, Instant::now() + STOP_PATIENCE));
            }
            Call::Settle(reply) => {
                let _ = reply.send(());
            }
            Call::Watch(to) => self.watch(to),
            Call::Status(reply) => {
                let _ = reply.send(self.status());
            }
            // run() has seen to it.
            Call::Close(_) => {}
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Begin { trace, schema } => {
                self.streams = Streams::default();
                self.sinks.begin(&trace, &schema);
                self.trace = Some((trace, schema));
            }
            Message::Schema(schema) => {
                self.sinks.schema(&schema);
                if let Some((_, known)) = &mut self.trace {
                    *known = schema;
                }
            }
            Message::Add(ring) => {
                self.last_uid += 1;
                let stream = StreamKey {
                    channel: ring.channel,
                    vcpu: ring.vcpu,
                };
                let began = self.streams.begin(stream);
                let calls = self.calls.clone();
                let mut ring = DrainRing::new(&self.vm, self.last_uid, *ring, began, calls);
                ring.watch_from_start(self.watching.is_wanted());
                self.rings.insert(self.last_uid, ring);
            }
            Message::Remove { ring, ticket } => {
                self.leave(|candidate| candidate.id() == ring, ticket);
            }
            Message::Runs => {
                for ring in self.rings.values_mut() {
                    ring.runs();
                }
            }
            Message::Resume { epoch } => {
                for ring in self.rings.values_mut() {
                    ring.go_on(epoch);
                }
            }
            Message::End => {
                self.leave(|_| true, None);
                self.sinks.end(&self.streams.ends());
            }
        }
    }

    /// Read these rings to their ends; the ticket is released when no sink uses
    /// their memory any more.
    fn leave(&mut self, which: impl Fn(&DrainRing) -> bool, ticket: Option<u64>) {
        let mut room = Room::new();
        for (uid, mut ring) in self.rings.extract_if(.., |_, ring| which(ring)) {
            ring.end(&self.sinks, &mut room);
            self.streams.ended(ring.stream(), ring.totals());
            self.leaving.insert(uid, (ring, ticket));
        }
        self.let_go();
    }

    fn released(&mut self, uid: u64, position: u64) {
        if let Some(ring) = self.rings.get_mut(&uid) {
            ring.released(position);
        } else if let Some((ring, _)) = self.leaving.get_mut(&uid) {
            ring.released(position);
            self.let_go();
        }
    }

    /// Release the tickets of rings that are not in use any more.
    fn let_go(&mut self) {
        let free: Vec<u64> = self
            .leaving
            .extract_if(.., |_, (ring, _)| ring.out() == 0)
            .filter_map(|(_, (_, ticket))| ticket)
            .collect();
        if !free.is_empty() {
            self.shared.release(&free);
        }
    }

    /// Hand over what is complete, and see to it that we are woken again.
    pub(super) fn pump(&mut self) {
        let mut soon = false;
        for ring in self.rings.values_mut() {
            let held = self.shared.gate.hold();
            let Some(live) = held.live(ring.epoch) else {
                continue;
            };
            ring.pump(Travel::InPlace, &self.sinks);
            match ring.arm(&live) {
                Armed::Kick => {}
                Armed::Soon => soon = true,
                // Another turn, after the other rings'.
                Armed::Ready => {
                    let _ = self.calls.send(Call::Turn);
                }
            }
        }
        self.soon = soon.then(|| match self.soon {
            Some(last) => (last * 2).min(FALLBACK),
            None => SOON,
        });
    }

    /// The front end waits until nothing is in use, but not for ever.
    fn answer_stop(&mut self) {
        let Some((reply, deadline)) = &self.stopping else {
            return;
        };
        let busy = self
            .rings
            .values()
            .chain(self.leaving.values().map(|(ring, _)| ring))
            .any(|ring| ring.out() > 0);
        if busy && Instant::now() < *deadline {
            return;
        }
        if busy {
            log::error!(
                "VM {}: the sinks have not finished {} ms after the queues were stopped; what they \
                 still write may be damaged",
                self.vm,
                STOP_PATIENCE.as_millis()
            );
        }
        let _ = reply.send(());
        self.stopping = None;
    }

    /// Read what there is, and have it written.
    fn close(mut self) {
        let mut room = Room::new();
        for ring in self.rings.values_mut() {
            let held = self.shared.gate.hold();
            let live = held.live(ring.epoch);
            if let Some(live) = &live {
                ring.disarm(live);
            }
            drop(held);
            if ring.is_running() {
                ring.finish(&self.sinks);
            } else {
                ring.end(&self.sinks, &mut room);
            }
            self.streams.ended(ring.stream(), ring.totals());
        }
        self.sinks.end(&self.streams.ends());
        self.sinks.close();
    }

    fn status(&mut self) -> DrainStatus {
        let mut streams: Vec<StreamStatus> =
            self.rings.values_mut().map(DrainRing::status).collect();
        for (key, totals) in self.streams.iter() {
            let has_ring =
                |status: &StreamStatus| status.vcpu == key.vcpu && status.channel == key.channel;
            if !streams.iter().any(has_ring) {
                streams.push(StreamStatus::new(key.vcpu, key.channel, totals, None));
            }
        }
        streams.sort_by_key(|status| (status.vcpu, status.channel));
        DrainStatus {
            streams,
            sinks: self.sinks.status(),
            wakeups: self.wakeups,
        }
    }
}
