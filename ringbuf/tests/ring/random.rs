//! Random writers, interrupted anywhere, with a host that reads all the while.

use std::cell::RefCell;

use proptest::prelude::*;
use proptest::test_runner::Config;
use vhost_trace_ringbuf::{Geometry, Mode};

use crate::host::Host;
use crate::machine::{Log, Machine, Writer, clock};
use crate::memory::{Image, RingMemory};
use crate::oracle::Oracle;
use crate::reference::RustWriter;
use crate::stepped::{CWriter, Pair};
use crate::tape::Tape;

struct Simulation<'a> {
    tape: &'a Tape,
    host: RefCell<Host<'a>>,
    oracle: RefCell<Oracle>,
    honest_clock: bool,
}

impl Simulation<'_> {
    fn step(&self, machine: &Machine) {
        match self.tape.byte() {
            200..=215 => self.tape.interrupt(machine),
            216..=235 => self.host(),
            236..=238 => self.oracle.borrow_mut().dies_here(machine),
            239..=241 => self.clock(machine),
            _ => {}
        }
    }

    fn clock(&self, machine: &Machine) {
        let now = machine.counter.get();
        match self.tape.byte() {
            by @ 0..100 => machine.counter.set(now + u64::from(by)),
            100..160 => machine.counter.set(now + (3 << 30)),
            160..180 => machine.publish_clock(clock(now, machine.now() + 3)),
            180.. if self.honest_clock => {}
            180..220 => machine.counter.set(now - now.min(1000)),
            220..240 => machine.publish_clock(clock(now, machine.now().saturating_sub(1))),
            240.. => machine.counter.set(0),
        }
    }

    /// The host does something, unless it was in the middle of something.
    fn host(&self) {
        let Ok(mut host) = self.host.try_borrow_mut() else {
            return;
        };
        match self.tape.byte() {
            0..80 => {
                host.poll();
            }
            byte @ 80..130 => host.release(byte.into()),
            130..180 => host.publish(),
            180..210 => host.cut(),
            byte @ 210..235 => host.arm(u64::from(byte) % 3),
            235.. => host.stop(),
        }
    }
}

/// What a simulation leaves.
struct Run {
    log: Log,
    image: Image,
}

/// Runs what the tape says.
fn simulate(tape: &[u8], mode: Mode, nsub: u32, honest_clock: bool, writer: &dyn Writer) -> Run {
    let geometry = Geometry::new(mode, 4096, nsub).unwrap();
    let memory = RingMemory::new(geometry);
    let tape = Tape::new(tape.to_vec());
    let machine = Machine::new(&memory, writer);
    *machine.log.borrow_mut() = Some(Vec::new());
    let simulation = Simulation {
        tape: &tape,
        host: RefCell::new(Host::new(&machine, &tape, honest_clock)),
        oracle: RefCell::default(),
        honest_clock,
    };
    let before = |machine: &Machine, _: usize, _: u32| simulation.step(machine);
    while !tape.is_done() {
        machine.event_stepped(tape.payload(), &before);
        simulation.host.borrow().check_kicks();
        simulation.host();
    }
    simulation.host.borrow_mut().finish();
    let log = machine.log.take().expect("it was kept");
    Run {
        log,
        image: memory.save(),
    }
}

proptest! {
    #![proptest_config(Config { cases: 1500, failure_persistence: None, ..Config::default() })]

    /// Both writers, and the same accesses by both: what is proven of one is
    /// true of the other.
    #[test]
    fn ring_random_interleavings(
        tape in prop::collection::vec(any::<u8>(), 0..4000),
        overwrite in any::<bool>(),
        nsub in prop::sample::select(vec![2, 4, 8]),
        honest_clock in any::<bool>(),
    ) {
        let mode = if overwrite { Mode::Overwrite } else { Mode::Discard };
        let c = simulate(&tape, mode, nsub, honest_clock, &CWriter::new(Pair::Quick));
        let rust = simulate(&tape, mode, nsub, honest_clock, &RustWriter::default());
        for (step, (c, rust)) in c.log.iter().zip(&rust.log).enumerate() {
            assert_eq!(c, rust, "left: C, right: Rust; access {step}");
        }
        assert_eq!(c.log.len(), rust.log.len());
        assert!(c.image == rust.image, "the same memory");
    }

    /// Contexts go the writer's slower way, and lie before each payload.
    #[test]
    fn ring_random_interleavings_with_contexts(
        tape in prop::collection::vec(any::<u8>(), 0..4000),
        overwrite in any::<bool>(),
    ) {
        let mode = if overwrite { Mode::Overwrite } else { Mode::Discard };
        simulate(&tape, mode, 4, true, &CWriter::new(Pair::Contexts));
    }
}
