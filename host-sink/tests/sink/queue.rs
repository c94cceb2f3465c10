//! A sink behind its queue: budget, loss, release and waiting.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use proptest::prelude::*;
use vhost_trace_host_sink::packet::{Packet, PacketInfo, StreamEnd, StreamKey};
use vhost_trace_host_sink::queue::{Budget, QueueError, SinkQueue, Submitted};
use vhost_trace_host_sink::schema::Schema;
use vhost_trace_host_sink::session::Session;
use vhost_trace_host_sink::sink::{Sink, SinkError, Written};

use crate::guest::{numbered, numbers, session};
use crate::producer::SUB;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a [`Gated`] sink saw.
#[derive(Default)]
struct Seen {
    packets: Vec<PacketInfo>,
    ends: Vec<Vec<StreamEnd>>,
}

/// A sink that takes a packet only when the gate gives it leave, and fails it
/// if the leave says so.
struct Gated {
    gate: Receiver<bool>,
    seen: Arc<Mutex<Seen>>,
}

impl Gated {
    fn spawn(budget: Budget) -> (SinkQueue, Sender<bool>, Arc<Mutex<Seen>>) {
        let (leave, gate) = unbounded();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let sink = Box::new(Gated {
            gate,
            seen: Arc::clone(&seen),
        });
        let queue = SinkQueue::spawn("gated", sink, budget).unwrap();
        queue.begin(session(), numbered()).unwrap();
        (queue, leave, seen)
    }
}

impl Sink for Gated {
    fn begin(&mut self, _: &Arc<Session>, _: &Arc<Schema>) -> Result<(), SinkError> {
        Ok(())
    }

    fn schema(&mut self, _: &Arc<Schema>) -> Result<(), SinkError> {
        Ok(())
    }

    fn packet(&mut self, packet: Packet) -> Result<Written, SinkError> {
        if !self.gate.recv().unwrap_or(true) {
            return Err(SinkError::BadOption {
                vm: "web1".into(),
                what: "told to fail".into(),
            });
        }
        self.seen.lock().unwrap().packets.push(packet.info);
        Ok(Written {
            in_place: packet.payload.len() as u64,
            copied: 0,
        })
    }

    fn provisional(&mut self, packet: Packet) -> Result<Written, SinkError> {
        self.packet(packet)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn end(&mut self, ends: &[StreamEnd]) -> Result<(), SinkError> {
        self.seen.lock().unwrap().ends.push(ends.to_vec());
        Ok(())
    }
}

fn budget(pinned: usize, copied_bytes: usize) -> Budget {
    Budget {
        pinned,
        copied_bytes,
    }
}

#[test]
fn sink_queue_skips_beyond_its_budget_and_counts() {
    let (queue, leave, seen) = Gated::spawn(budget(2, 0));
    let released = Arc::new(AtomicUsize::new(0));
    let submit = |lap: u64| {
        let sub = numbers(0, lap * SUB as u64, 100 * lap, 10);
        queue.packet(sub.lent(3, &released))
    };
    let submitted: Vec<_> = (0..5).map(submit).collect();
    use Submitted::{Queued, Skipped};
    assert_eq!(submitted, [Queued, Queued, Skipped, Skipped, Skipped]);
    assert_eq!(
        queue.packet(numbers(0, 9 * SUB as u64, 900, 1).copied(3)),
        Skipped
    );
    assert_eq!(released.load(Ordering::Relaxed), 3);
    let status = queue.status().snapshot();
    assert_eq!(
        (status.in_flight, status.skipped, status.packets),
        (2, 4, 0)
    );

    leave.send(true).unwrap();
    leave.send(true).unwrap();
    queue.flush(PATIENCE).unwrap();
    assert_eq!(released.load(Ordering::Relaxed), 5);
    leave.send(true).unwrap();
    assert_eq!(submit(20), Queued);
    drop(leave);
    queue.flush(PATIENCE).unwrap();
    let status = queue.status().snapshot();
    assert_eq!(
        (status.in_flight, status.packets, status.events, status.lost),
        (0, 3, 30, 31)
    );
    assert_eq!(status.bytes_in_place, 3 * SUB as u64);
    queue.close(PATIENCE).unwrap();

    let seen = seen.lock().unwrap();
    let discarded: Vec<u64> = seen.packets.iter().map(|info| info.discarded).collect();
    assert_eq!(discarded, [3, 3, 3 + 31]);
    let stream = StreamKey {
        channel: 0,
        vcpu: 0,
    };
    assert_eq!(
        seen.ends,
        [vec![StreamEnd {
            stream,
            end: 2009,
            discarded: 34
        }]]
    );
}

#[test]
fn sink_queue_bounds_copies_by_their_bytes() {
    let (queue, leave, _) = Gated::spawn(budget(0, 200));
    let copy = |lap: u64| queue.packet(numbers(0, lap, lap, 5).copied(0));
    // 24 + 5 * 14 bytes each.
    assert_eq!(copy(0), Submitted::Queued);
    assert_eq!(copy(1), Submitted::Queued);
    assert_eq!(copy(2), Submitted::Skipped);
    assert_eq!(
        queue.packet(numbers(0, 3, 3, 5).in_place(0)),
        Submitted::Skipped
    );
    drop(leave);
    queue.flush(PATIENCE).unwrap();
    assert_eq!(copy(4), Submitted::Queued);
    queue.close(PATIENCE).unwrap();
}

#[test]
fn sink_queue_counts_what_fails_in_the_sink() {
    let (queue, leave, seen) = Gated::spawn(Budget::default());
    for (lap, leave_it) in [(0, true), (1, false), (2, true)] {
        leave.send(leave_it).unwrap();
        queue.packet(numbers(7, lap, 10 * lap, 10).in_place(0));
    }
    queue.flush(PATIENCE).unwrap();
    let status = queue.status().snapshot();
    assert_eq!((status.events, status.lost, status.errors), (20, 10, 1));
    assert_eq!(status.last_error.as_deref(), Some("VM web1: told to fail"));
    let discarded: Vec<u64> = seen
        .lock()
        .unwrap()
        .packets
        .iter()
        .map(|p| p.discarded)
        .collect();
    assert_eq!(discarded, [0, 10]);
}

#[test]
fn sink_queue_says_when_its_sink_is_stuck() {
    let (queue, leave, seen) = Gated::spawn(Budget::default());
    queue.packet(numbers(0, 0, 0, 1).in_place(0));
    let stuck = queue.flush(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(stuck, QueueError::Stalled { .. }), "{stuck}");
    assert_eq!(
        stuck.to_string(),
        "sink gated: no progress within 0.02 s while it should flush"
    );
    assert!(queue.close(Duration::from_millis(20)).is_err());
    drop(leave);
    // The thread goes on and ends by itself.
    let start = std::time::Instant::now();
    while seen.lock().unwrap().ends.is_empty() {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn sink_queue_starts_each_session_from_nothing() {
    let (queue, leave, seen) = Gated::spawn(Budget::default());
    leave.send(false).unwrap();
    drop(leave);
    queue.packet(numbers(0, 0, 5, 3).in_place(9));
    queue.begin(session(), numbered()).unwrap();
    queue.packet(numbers(0, 0, 1, 3).in_place(2));
    let stream = StreamKey {
        channel: 0,
        vcpu: 0,
    };
    queue
        .end(vec![StreamEnd {
            stream,
            end: 50,
            discarded: 4,
        }])
        .unwrap();
    queue.close(PATIENCE).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.packets[0].discarded, 2);
    let end = |end, discarded| {
        vec![StreamEnd {
            stream,
            end,
            discarded,
        }]
    };
    assert_eq!(seen.ends, [end(7, 12), end(50, 4)]);
}

/// A step of a drain and of its sink.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A packet or a part of one, at the same position or the next.
    Submit { whole: bool, next: bool, more: u8 },
    /// The sink takes a packet, or fails it.
    Leave(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let submit = (any::<bool>(), any::<bool>(), 0u8..20)
        .prop_map(|(whole, next, more)| Step::Submit { whole, next, more });
    let leave = prop::bool::weighted(0.7).prop_map(Step::Leave);
    prop::collection::vec(prop_oneof![submit, leave], 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is skipped, fails or comes in parts: what a sink holds and what
    /// its last word calls discarded is all that there was.
    #[test]
    fn sink_queue_accounts_for_every_event(steps in steps()) {
        let (queue, leave, seen) = Gated::spawn(budget(2, 0));
        let (mut position, mut events, mut whole_before) = (0, 0, false);
        let mut offered = std::collections::BTreeMap::new();
        for step in steps {
            match step {
                Step::Leave(take) => leave.send(take).unwrap(),
                Step::Submit { whole, next, more } => {
                    // After a whole sub-buffer only the next one can come.
                    if next || whole_before {
                        (position, events) = (position + 1, 0);
                    }
                    whole_before = whole;
                    events += u64::from(more);
                    offered.insert(position, events);
                    let packet = numbers(0, position, 0, events).in_place(0);
                    match whole {
                        true => queue.packet(packet),
                        false => queue.provisional(packet),
                    };
                }
            }
        }
        drop(leave);
        queue.close(PATIENCE).unwrap();
        let seen = seen.lock().unwrap();
        let mut held = std::collections::BTreeMap::new();
        for info in &seen.packets {
            held.insert(info.position, info.events);
        }
        let held: u64 = held.values().sum();
        let lost: u64 = seen.ends[0].iter().map(|end| end.discarded).sum();
        prop_assert_eq!(held + lost, offered.values().sum::<u64>());
        prop_assert!(seen.packets.is_sorted_by_key(|info| info.discarded));
    }
}
