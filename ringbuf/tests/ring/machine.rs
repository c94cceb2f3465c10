//! A virtual CPU that runs writers, one step at a time: before each access it
//! may be interrupted, or die.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::mem::{offset_of, size_of};
use std::sync::atomic::Ordering;

use vhost_trace_ringbuf::layout::{
    COMMIT_BYTES, COMMIT_EVENT, HEADER_FULL, LEVELS, LOST_NESTED, LOST_REASONS, LOST_TOO_BIG,
    PREAMBLE, RingGuest, Sub,
};
use vhost_trace_ringbuf::{
    ClockPage, ClockParams, ClockWord, HostWord, Live, Mapped, MappedClock, Mode, Word,
};

use crate::memory::{Image, RingMemory};

/// What a writer is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Load,
    LoadAcquire,
    Store,
    Cmpxchg,
    Add,
    Counter,
    Kick,
    Payload,
    /// To a word of the writer's own.
    Own,
    Rmb,
    Wmb,
    Mb,
}

/// Where, as an offset into that part of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Guest(usize),
    Host(usize),
    Clock(usize),
    Data(usize),
    /// A word of the writer's own, or none at all.
    Own,
}

/// A writer under test.
pub trait Writer {
    /// Opens the ring.
    fn start(&self, machine: &Machine);
    /// Writes an event whose payload is `id + 7 * i`; false: it was lost.
    fn event(&self, machine: &Machine, id: u32, payload: u32) -> bool;
    /// How many bytes of each payload are contexts.
    fn context_bytes(&self) -> u32 {
        0
    }
    /// Its own state, that is, what is not in the ring.
    fn save(&self) -> Box<dyn Any>;
    /// Back to a saved state.
    fn restore(&self, state: &dyn Any);
}

/// What the machine itself saw of an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event {
    pub payload: u32,
    /// What was reserved for it, padding and preamble included.
    pub reserved: Option<(u64, u64)>,
    pub stamp: u64,
    /// Its commit word has been added to.
    pub committed: bool,
    /// The reason why it was lost.
    pub lost: Option<usize>,
    /// Its writer has returned.
    pub returned: bool,
}

/// Accesses with what they compare with and what they store.
pub type Log = Vec<(Access, At, u64, u64)>;

struct Frame {
    event: usize,
    step: u32,
    /// At some step there was no room for its event.
    no_room: bool,
}

type Before<'a> = &'a dyn Fn(&Machine, usize, u32);

pub struct Machine<'a> {
    pub memory: &'a RingMemory,
    pub mapped: Mapped,
    writer: &'a dyn Writer,
    /// The processor's counter, and how far it goes on at each reading.
    pub counter: Cell<u64>,
    /// The latest time that a clock ever showed, ns.
    latest: Cell<u64>,
    /// All that the host has published.
    clocks: RefCell<Vec<ClockParams>>,
    pub tick: Cell<u64>,
    frames: RefCell<Vec<Frame>>,
    /// By id.
    pub events: RefCell<Vec<Event>>,
    /// Ids in the order of their reservations.
    pub order: RefCell<Vec<u32>>,
    pub kicks: Cell<u64>,
    /// Called before each access with depth and number of the step.
    before: Cell<Option<Before<'a>>>,
    /// Every access, if it is wanted.
    pub log: RefCell<Option<Log>>,
}

/// A state to come back to.
pub struct Saved {
    image: Image,
    own: Box<dyn Any>,
    counter: u64,
    clocks: usize,
    events: usize,
    order: usize,
}

impl<'a> Machine<'a> {
    /// A ring just opened, with a clock of two counts in 3 ns.
    pub fn new(memory: &'a RingMemory, writer: &'a dyn Writer) -> Self {
        let machine = Self {
            memory,
            mapped: memory.mapped(),
            writer,
            counter: Cell::new(1_000_000),
            latest: Cell::new(0),
            clocks: RefCell::default(),
            tick: Cell::new(10),
            frames: RefCell::default(),
            events: RefCell::default(),
            order: RefCell::default(),
            kicks: Cell::default(),
            before: Cell::new(None),
            log: RefCell::new(None),
        };
        machine.publish_clock(clock(900_000, 1_000_000));
        writer.start(&machine);
        machine
    }

    /// Runs a writer and calls `before` at each of its steps, and of those
    /// nested into it, with depth and number of the step.
    pub fn event_stepped(&self, payload: u32, before: Before<'_>) -> u32 {
        // SAFETY: it is forgotten before it ends.
        let before = unsafe { std::mem::transmute::<Before<'_>, Before<'a>>(before) };
        self.before.set(Some(before));
        let id = self.event(payload);
        self.before.set(None);
        id
    }

    /// Runs a writer, nested into the one that is running; returns its id.
    pub fn event(&self, payload: u32) -> u32 {
        let payload = payload + self.writer.context_bytes();
        let event = Event {
            payload,
            ..Event::default()
        };
        let id = self.events.borrow().len() as u32;
        self.events.borrow_mut().push(event);
        self.frames.borrow_mut().push(Frame {
            event: id as usize,
            step: 0,
            no_room: false,
        });
        let recorded = self.writer.event(self, id, payload);
        self.frames.borrow_mut().pop();
        let event = &mut self.events.borrow_mut()[id as usize];
        assert_eq!(recorded, event.committed, "event {id}: returned, committed");
        assert_eq!(
            recorded,
            event.lost.is_none(),
            "event {id}: returned, not lost"
        );
        assert!(
            event.stamp <= self.latest.get(),
            "event {id} is in the future"
        );
        event.returned = true;
        id
    }

    /// Number of writers that are running.
    pub fn depth(&self) -> usize {
        self.frames.borrow().len()
    }

    /// The time by the clock that the host last published, in ns.
    pub fn now(&self) -> u64 {
        let clocks = self.clocks.borrow();
        self.time_by(clocks.last().expect("there is always one"))
    }

    /// The time by each clock that the host ever published, in ns.
    pub fn times(&self) -> Vec<u64> {
        self.clocks
            .borrow()
            .iter()
            .map(|clock| self.time_by(clock))
            .collect()
    }

    /// 0 before there was time.
    fn time_by(&self, clock: &ClockParams) -> u64 {
        let time = clock.time(self.counter.get());
        if (time as i64) < 0 { 0 } else { time }
    }

    /// The host publishes a clock.
    pub fn publish_clock(&self, clock: ClockParams) {
        // SAFETY: the memory outlives the value, and only atomics access it.
        let mapped = unsafe { MappedClock::new(self.memory.clock()) };
        let index = self
            .memory
            .clock_word(ClockWord::Index)
            .load(Ordering::Relaxed);
        ClockPage::new(mapped, index).publish(&Live::while_held(&()), &clock);
        self.clocks.borrow_mut().push(clock);
    }

    /// Stamp of the first sub-buffer, from before the first event.
    pub fn first_stamp(&self) -> u64 {
        self.memory.load(Word::PreambleBegin(0))
    }

    /// The writer reads the counter.
    pub fn read_counter(&self) -> u64 {
        self.counter
            .set(self.counter.get().wrapping_add(self.tick.get()));
        let latest = self
            .times()
            .into_iter()
            .max()
            .expect("there is always a clock");
        self.latest.set(self.latest.get().max(latest));
        self.counter.get()
    }

    /// Events lost so far, by reason.
    pub fn lost(&self) -> [u64; LOST_REASONS] {
        let mut lost = [0; LOST_REASONS];
        for reason in self.events.borrow().iter().filter_map(|event| event.lost) {
            lost[reason] += 1;
        }
        lost
    }

    pub fn consumed(&self) -> u64 {
        self.memory
            .host_word(HostWord::Consumed)
            .load(Ordering::Relaxed)
    }

    pub fn save(&self) -> Saved {
        assert_eq!(self.depth(), 0, "a writer is running");
        Saved {
            image: self.memory.save(),
            own: self.writer.save(),
            counter: self.counter.get(),
            clocks: self.clocks.borrow().len(),
            events: self.events.borrow().len(),
            order: self.order.borrow().len(),
        }
    }

    pub fn restore(&self, saved: &Saved) {
        self.memory.restore(&saved.image);
        self.writer.restore(&*saved.own);
        self.counter.set(saved.counter);
        self.frames.borrow_mut().clear();
        self.clocks.borrow_mut().truncate(saved.clocks);
        self.events.borrow_mut().truncate(saved.events);
        self.order.borrow_mut().truncate(saved.order);
        self.kicks.set(0);
    }

    /// The running writer is about to do this.
    pub fn before(&self, access: Access, at: At, old: u64, new: u64) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            log.push((access, at, old, new));
        }
        if matches!(access, Access::Rmb | Access::Wmb | Access::Mb) {
            return;
        }
        let running = self.frames.borrow_mut().last_mut().map(|frame| {
            frame.step += 1;
            frame.no_room |= !self.has_room(self.events.borrow()[frame.event].payload);
            (frame.event, frame.step - 1)
        });
        let Some((event, step)) = running else {
            return;
        };
        if let Some(before) = self.before.get() {
            before(self, self.depth(), step);
        }
        self.note(event, access, at, old, new);
    }

    /// Whether an event could be recorded now, if nothing nested into it.
    fn has_room(&self, payload: u32) -> bool {
        let geometry = &self.memory.geometry;
        let (size, capacity) = (geometry.sub_size(), geometry.capacity());
        let pos = self.memory.load(Word::Pos);
        if pos % size + HEADER_FULL + u64::from(payload) < size {
            return true;
        }
        let next = geometry.start_of(pos) + size;
        let commit = self.memory.load(Word::Commit(geometry.slot_of(next)));
        let complete = commit.wrapping_sub(next / capacity * size) & COMMIT_BYTES == 0;
        let free = geometry.mode() == Mode::Overwrite || next + size <= self.consumed() + capacity;
        complete && free
    }

    /// Nothing comes between this and the access.
    fn note(&self, event: usize, access: Access, at: At, old: u64, new: u64) {
        const LOST: usize = offset_of!(RingGuest, lost);
        const SUBS: usize = size_of::<RingGuest>();
        let mut events = self.events.borrow_mut();
        let event_id = event as u32;
        let event = &mut events[event];
        let geometry = &self.memory.geometry;
        match (access, at) {
            (Access::Kick, _) => self.kicks.set(self.kicks.get() + 1),
            (Access::Cmpxchg, At::Guest(0)) if self.memory.load(Word::Pos) == old => {
                let level = self.memory.load(Word::Active) as usize - 1;
                event.reserved = Some((old, new));
                event.stamp = self.memory.load(Word::OpenStamp(level));
                self.order.borrow_mut().push(event_id);
            }
            (Access::Add, At::Guest(offset)) if offset >= SUBS => {
                assert_eq!(
                    (offset - SUBS) % size_of::<Sub>(),
                    0,
                    "adds to commit words"
                );
                event.committed |= new >= COMMIT_EVENT;
            }
            (Access::Add, At::Guest(offset)) => {
                let reason = (offset - LOST) / 8;
                let fits = u64::from(event.payload) + HEADER_FULL + PREAMBLE < geometry.sub_size();
                let frames = self.frames.borrow();
                let justified = match reason {
                    LOST_TOO_BIG => !fits,
                    LOST_NESTED => frames.len() > LEVELS,
                    _ => frames.last().is_some_and(|frame| frame.no_room),
                };
                assert!(
                    justified,
                    "event {event_id} is lost for no reason (it says {reason})"
                );
                event.lost = Some(reason);
            }
            _ => {}
        }
    }
}

/// A clock of two counts in 3 ns.
pub fn clock(base: u64, base_ns: u64) -> ClockParams {
    ClockParams {
        base,
        base_ns,
        mult: 3 << 31,
    }
}

impl Event {
    /// Where its header is.
    pub fn position(&self, sub_size: u64) -> Option<u64> {
        let (begin, end) = self.reserved?;
        let start = end & !(sub_size - 1);
        Some(if begin < start {
            start + PREAMBLE
        } else {
            begin
        })
    }
}
