//! Kicks: as many as asked for, whatever interrupts the writer that kicks.

use std::cell::{Cell, RefCell};

use vhost_trace_ringbuf::{Armed, Geometry, Live, Mode, Reader};

use crate::machine::{Machine, Writer};
use crate::memory::RingMemory;
use crate::reference::RustWriter;
use crate::stepped::{CWriter, Pair};

const LARGE: u32 = 4000;

/// A writer ends a sub-buffer that the host waits for. At step `at` it is
/// interrupted for so long that the host is woken by another, arms again, and
/// is woken again. Returns whether the writer got as far as that step.
fn interrupted_at(at: u32, writer: &dyn Writer) -> bool {
    let geometry = Geometry::new(Mode::Overwrite, 4096, 8).unwrap();
    let memory = RingMemory::new(geometry);
    let machine = Machine::new(&memory, writer);
    machine.event(LARGE);
    let guard = ();
    let live = Live::while_held(&guard);
    let reader = RefCell::new(Reader::new(geometry, &machine.mapped));
    let armings = Cell::new(0);
    let arm = || {
        let mut reader = reader.borrow_mut();
        let mut copy = vec![0; reader.copy_bytes()];
        while reader.poll(&mut copy).unwrap().is_some() {}
        // Behind all that is there, whether it can be read yet or not.
        let wake_at = machine.memory.end_of_current();
        let armed = reader.arm(&live, wake_at).unwrap();
        assert_eq!(armed, Armed::Kick);
        armings.set(armings.get() + 1);
        machine.kicks.get()
    };
    arm();
    let reached = Cell::new(false);
    let before = |machine: &Machine, depth: usize, step: u32| {
        if depth == 1 && step == at {
            reached.set(true);
            machine.event(LARGE);
            let kicked = arm();
            machine.event(LARGE);
            assert_eq!(machine.kicks.get(), kicked + 1, "woken by the interrupt");
        }
    };
    machine.event_stepped(LARGE, &before);
    let kicks = machine.kicks.get();
    assert!(
        kicks <= armings.get(),
        "step {at}: {kicks} kicks for {} armings",
        armings.get()
    );
    assert!(reached.get() || kicks == 1, "step {at}: no kick");
    reached.get()
}

#[test]
fn ring_kicks_once_for_an_arming() {
    let steps = (0..)
        .take_while(|at| interrupted_at(*at, &CWriter::new(Pair::Quick)))
        .count();
    assert_eq!(
        steps,
        (0..)
            .take_while(|at| interrupted_at(*at, &RustWriter::default()))
            .count()
    );
    assert!(steps > 30, "only {steps} steps");
}
