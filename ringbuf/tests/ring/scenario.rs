//! Every interleaving of nested writers, from rings prepared to be at an edge.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;
use std::time::Instant;

use vhost_trace_ringbuf::{Geometry, HostWord, Mode, Word};

use crate::machine::{Machine, Saved, clock};
use crate::memory::RingMemory;
use crate::oracle::Oracle;
use crate::stepped::{CWriter, Pair};

/// What the clock does when a writer is interrupted.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Steady,
    Backward,
    /// The counter starts anew, before the clock's base.
    Behind,
    /// By more than 2^32 ns.
    Jump,
    Published,
}

/// A ring and the writers that meet in it.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    mode: Mode,
    nsub: u32,
    /// Sub-buffers that are complete.
    complete: u64,
    /// Discard mode: so many of them are not yet released.
    held: u64,
    /// Bytes that events can still have in the current sub-buffer.
    room: u64,
    /// Payloads: of the first writer, of the one nested into it, and so on.
    payload: [u32; 5],
    clock: Clock,
    pair: Pair,
}

const SIZE: u32 = 4096;

impl Scenario {
    fn prepare(&self, machine: &Machine) {
        let size = u64::from(SIZE);
        let offset = || machine.memory.load(Word::Pos) & (size - 1);
        let fill = |to: u64| machine.event((to - offset() - 6) as u32);
        for done in 1..=self.complete {
            fill(size - 50);
            machine.event(60);
            self.consume(machine, done);
        }
        self.consume(machine, self.complete - self.held);
        fill(size - 1 - self.room);
    }

    fn consume(&self, machine: &Machine, count: u64) {
        if self.mode == Mode::Discard {
            let consumed = count * u64::from(SIZE);
            machine
                .memory
                .host_word(HostWord::Consumed)
                .store(consumed, Ordering::Relaxed);
        }
    }

    fn interrupt(&self, machine: &Machine) {
        match self.clock {
            Clock::Steady => {}
            Clock::Backward => machine.counter.set(machine.counter.get() - 1000),
            Clock::Behind => machine.counter.set(0),
            Clock::Jump => machine.counter.set(machine.counter.get() + (5 << 31)),
            Clock::Published => {
                let now = machine.counter.get();
                machine.publish_clock(clock(now - 500, machine.now() - 490));
            }
        }
    }
}

struct Explorer<'a> {
    scenario: Scenario,
    machine: Machine<'a>,
    saved: Saved,
    oracle: &'a RefCell<Oracle>,
    /// Of a nested writer, only each so many-th step is interrupted.
    stride: u32,
    runs: u64,
}

impl Explorer<'_> {
    /// Runs the first writer, interrupted at step `plan[0]` by another, which
    /// is interrupted at step `plan[1]`; dies at each step once the innermost
    /// has begun. Then all longer plans.
    fn explore(&mut self, plan: &mut Vec<u32>, depth: usize) {
        let steps = self.run(plan);
        if plan.len() + 1 < depth {
            let stride = if plan.is_empty() { 1 } else { self.stride };
            for step in (self.runs as u32 % stride..steps).step_by(stride as usize) {
                plan.push(step);
                self.explore(plan, depth);
                plan.pop();
            }
        }
    }

    /// Returns the number of steps of the innermost writer.
    fn run(&mut self, plan: &[u32]) -> u32 {
        self.runs += 1;
        self.machine.restore(&self.saved);
        let (begun, steps) = (Cell::new(0), Cell::new(0));
        let scenario = self.scenario;
        let oracle = self.oracle;
        let before = |machine: &Machine, depth: usize, step: u32| {
            if begun.get() == plan.len() {
                if depth == plan.len() + 1 {
                    steps.set(step + 1);
                }
                oracle.borrow_mut().dies_here(machine);
            } else if depth == begun.get() + 1 && step == plan[depth - 1] {
                begun.set(begun.get() + 1);
                scenario.interrupt(machine);
                machine.event(scenario.payload[depth]);
            }
        };
        self.machine.event_stepped(scenario.payload[0], &before);
        self.oracle.borrow_mut().dies_here(&self.machine);
        steps.get()
    }
}

/// Returns the number of runs.
fn explore(scenario: Scenario, depth: usize, stride: u32, oracle: &RefCell<Oracle>) -> u64 {
    let geometry = Geometry::new(scenario.mode, SIZE, scenario.nsub).unwrap();
    let memory = RingMemory::new(geometry);
    let writer = CWriter::new(scenario.pair);
    let machine = Machine::new(&memory, &writer);
    scenario.prepare(&machine);
    let saved = machine.save();
    let mut explorer = Explorer {
        scenario,
        machine,
        saved,
        oracle,
        stride,
        runs: 0,
    };
    explorer.explore(&mut Vec::new(), depth);
    explorer.runs
}

fn explore_all(name: &str, scenarios: impl IntoIterator<Item = Scenario>) {
    explore_some(name, scenarios, 3, 1);
}

fn explore_some(
    name: &str,
    scenarios: impl IntoIterator<Item = Scenario>,
    depth: usize,
    stride: u32,
) {
    let oracle = RefCell::default();
    let begun = Instant::now();
    let (mut count, mut runs) = (0, 0);
    for scenario in scenarios {
        println!("{scenario:?}");
        count += 1;
        runs += explore(scenario, depth, stride, &oracle);
    }
    let deaths = oracle.borrow().deaths;
    let took = begun.elapsed();
    println!("{name}: {count} scenarios, {runs} interleavings, {deaths} deaths, {took:?}");
}

const MODES: [Mode; 2] = [Mode::Discard, Mode::Overwrite];
const CLOCKS: [Clock; 5] = [
    Clock::Steady,
    Clock::Backward,
    Clock::Behind,
    Clock::Jump,
    Clock::Published,
];

/// A small event in the middle of the first sub-buffer, interrupted by its like.
const PLAIN: Scenario = Scenario {
    mode: Mode::Discard,
    nsub: 2,
    complete: 0,
    held: 0,
    room: 1000,
    payload: [8; 5],
    clock: Clock::Steady,
    pair: Pair::Quick,
};

#[test]
fn ring_stepped_in_the_middle() {
    let scenarios = MODES.into_iter().flat_map(|mode| {
        CLOCKS.into_iter().flat_map(move |clock| {
            [Pair::Quick, Pair::Whole].map(|pair| Scenario {
                mode,
                clock,
                pair,
                ..PLAIN
            })
        })
    });
    explore_all("in the middle", scenarios);
}

/// The first, second or third event is the one that does not fit any more.
#[test]
fn ring_stepped_at_the_end_of_a_sub_buffer() {
    let scenarios = MODES.into_iter().flat_map(|mode| {
        [0, 13, 14, 27, 28, 41].into_iter().flat_map(move |room| {
            [(0, 2), (3, 2), (5, 4)]
                .into_iter()
                .map(move |(complete, nsub)| Scenario {
                    mode,
                    nsub,
                    room,
                    complete,
                    ..PLAIN
                })
        })
    });
    explore_all("at the end of a sub-buffer", scenarios);
}

/// With the clock doing what it must not where stamps matter most.
#[test]
fn ring_stepped_at_the_end_with_clocks() {
    let scenarios = MODES.into_iter().flat_map(|mode| {
        [13, 20].into_iter().flat_map(move |room| {
            CLOCKS.into_iter().skip(1).map(move |clock| Scenario {
                mode,
                room,
                clock,
                complete: 2,
                ..PLAIN
            })
        })
    });
    explore_all("at the end, with clocks", scenarios);
}

/// All sub-buffers are held, or all but one.
#[test]
fn ring_stepped_when_nearly_full() {
    let scenarios = [(2, 1), (2, 0), (4, 3), (4, 2)]
        .into_iter()
        .flat_map(|(nsub, held)| {
            [13, 20, 28].into_iter().flat_map(move |room| {
                [[8; 5], [8, 4000, 8, 8, 8], [4000, 8, 4000, 8, 8]]
                    .into_iter()
                    .map(move |payload| Scenario {
                        nsub,
                        held,
                        room,
                        payload,
                        complete: 5,
                        ..PLAIN
                    })
            })
        });
    explore_all("when nearly full", scenarios);
}

/// Interrupts write so much that they come round to what they interrupted.
#[test]
fn ring_stepped_around_the_ring() {
    let payloads = [
        [8, 4000, 4000, 8, 8],
        [4000, 4000, 4000, 8, 8],
        [8, 4000, 8, 8, 8],
        [8, 0, 4060, 0, 0],
    ];
    let scenarios = MODES.into_iter().flat_map(|mode| {
        payloads.into_iter().flat_map(move |payload| {
            [13, 20, 200].into_iter().map(move |room| Scenario {
                mode,
                room,
                payload,
                complete: 3,
                ..PLAIN
            })
        })
    });
    explore_all("around the ring", scenarios);
}

/// Empty, largest possible and impossible events.
#[test]
fn ring_stepped_with_odd_sizes() {
    let largest = SIZE - 1 - 24 - 14;
    let payloads = [
        [0, 1, 0, 1, 0],
        [largest + 1, 8, largest + 1, 8, 8],
        [8, largest, 8, 8, 8],
        [largest, 8, 5000, 8, 8],
        [8, u32::MAX, 8, 8, 8],
        [u32::MAX - 5, 8, 8, 8, 8],
    ];
    let scenarios = MODES.into_iter().flat_map(|mode| {
        payloads.into_iter().map(move |payload| Scenario {
            mode,
            payload,
            room: 100,
            complete: 3,
            ..PLAIN
        })
    });
    explore_all("with odd sizes", scenarios);
}

/// As deep as writers are served, and one deeper; a sample.
#[test]
fn ring_stepped_five_deep() {
    let scenarios = MODES.into_iter().flat_map(|mode| {
        [1000, 20].into_iter().map(move |room| Scenario {
            mode,
            room,
            complete: 1,
            ..PLAIN
        })
    });
    explore_some("five deep", scenarios, 5, 7);
}
