//! The clock page changes under a writer that copies it.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use vhost_trace_ringbuf::{ClockParams, ClockWord, Geometry, Mode};

use crate::machine::{Machine, Writer};
use crate::memory::RingMemory;
use crate::reference::RustWriter;
use crate::stepped::{CWriter, Pair};

/// Clocks that agree in nothing, each later than all before it.
fn clock(number: u64) -> ClockParams {
    ClockParams {
        base: 1000 + 77_777 * number,
        base_ns: 5_000_000_000 * (number + 1),
        mult: (3 << 31) + (number << 20),
    }
}

/// One event, while the host publishes at steps `at`, in ascending order; in
/// the end it dies when it has overwritten half of the slot it may write.
/// Returns whether the writer got as far as the last step.
fn published_at(at: &[u32], writer: &dyn Writer) -> bool {
    let geometry = Geometry::new(Mode::Discard, 4096, 2).unwrap();
    let memory = RingMemory::new(geometry);
    let machine = Machine::new(&memory, writer);
    machine.publish_clock(clock(0));
    let done = Cell::new(0);
    let before = |machine: &Machine, _: usize, step: u32| {
        for _ in at.iter().filter(|at| **at == step) {
            done.set(done.get() + 1);
            machine.publish_clock(clock(done.get()));
        }
        if done.get() == at.len() as u64 {
            let selected = machine
                .memory
                .clock_word(ClockWord::Index)
                .load(Ordering::Relaxed)
                & 1;
            let other = 1 - selected as usize;
            machine
                .memory
                .clock_word(ClockWord::Base(other))
                .store(7, Ordering::Relaxed);
            machine
                .memory
                .clock_word(ClockWord::BaseNs(other))
                .store(7 << 60, Ordering::Relaxed);
        }
    };
    let id = machine.event_stepped(8, &before);
    let stamp = machine.events.borrow()[id as usize].stamp;
    // Of the copy before, if no attempt was undisturbed.
    let by_one = machine.times().contains(&stamp) || stamp == machine.first_stamp();
    assert!(by_one, "published at {at:?}: {stamp} is by no clock");
    done.get() == at.len() as u64
}

/// Publishes three times, at any steps; or two times before the same one.
fn publish_everywhere(writer: fn() -> Box<dyn Writer>) -> u32 {
    let mut runs = 0;
    for first in 0.. {
        if !published_at(&[first], &*writer()) {
            break;
        }
        for second in first.. {
            if !published_at(&[first, second], &*writer()) {
                break;
            }
            for third in second.. {
                runs += 1;
                if !published_at(&[first, second, third], &*writer()) {
                    break;
                }
            }
        }
    }
    runs
}

#[test]
fn ring_clock_is_never_torn() {
    let c = publish_everywhere(|| Box::new(CWriter::new(Pair::Quick)));
    let rust = publish_everywhere(|| Box::new(RustWriter::default()));
    println!("{c} ways to publish a clock during an event");
    assert_eq!(c, rust);
}
