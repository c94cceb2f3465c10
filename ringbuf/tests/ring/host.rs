//! A host that reads a ring while its guest goes on, at any load it makes.

use std::cell::Cell;

use vhost_trace_ringbuf::{
    Armed, Cut, HostMemory, HostWord, Live, Mapped, Mode, Reader, SubBuffer, Word,
};

use crate::machine::Machine;
use crate::oracle::{Oracle, copy_in_place};
use crate::parse::parse;
use crate::tape::Tape;

/// The ring's memory, in which the guest may write events before any load.
pub struct Racing<'a> {
    machine: &'a Machine<'a>,
    tape: &'a Tape,
    stopped: Cell<bool>,
}

impl Racing<'_> {
    fn mapped(&self) -> &Mapped {
        if !self.stopped.get() {
            self.tape.may_interrupt(self.machine);
        }
        &self.machine.mapped
    }
}

impl HostMemory for Racing<'_> {
    fn load(&self, word: Word) -> u64 {
        self.mapped().load(word)
    }

    fn load_acquire(&self, word: Word) -> u64 {
        self.mapped().load_acquire(word)
    }

    fn copy_words(&self, slot: usize, mut first: usize, out: &mut [[u8; 8]]) {
        // Too many to let the guest run before each.
        for words in out.chunks_mut(64) {
            self.mapped().copy_words(slot, first, words);
            first += words.len();
        }
    }

    fn store(&self, word: HostWord, value: u64) {
        self.mapped().store(word, value);
    }

    fn fence_acquire(&self) {}

    fn fence_full(&self) {}
}

pub struct Host<'a> {
    machine: &'a Machine<'a>,
    reader: Reader<Racing<'a>>,
    oracle: Oracle,
    copy: Vec<u8>,
    found: Vec<u32>,
    /// Positions of sub-buffers not yet released.
    out: Vec<u64>,
    delivered: u64,
    /// Committed before the last sub-buffer read and never read.
    passed_over: u64,
    stamp: u64,
    /// After so many reservations, none is stamped before this.
    promises: Vec<(usize, u64)>,
    /// Armed for this position when there had been so many kicks.
    armed: Option<(u64, u64)>,
    armings: u64,
    /// Times only go forward, so that the host's clock can promise.
    honest_clock: bool,
}

impl<'a> Host<'a> {
    pub fn new(machine: &'a Machine<'a>, tape: &'a Tape, honest_clock: bool) -> Self {
        let racing = Racing {
            machine,
            tape,
            stopped: Cell::new(false),
        };
        let reader = Reader::new(machine.memory.geometry, racing);
        Self {
            machine,
            copy: vec![0; reader.copy_bytes()],
            reader,
            oracle: Oracle::default(),
            found: Vec::new(),
            out: Vec::new(),
            delivered: 0,
            passed_over: 0,
            stamp: 0,
            promises: Vec::new(),
            armed: None,
            armings: 0,
            honest_clock,
        }
    }

    pub fn poll(&mut self) -> bool {
        let Some(sub) = self.reader.poll(&mut self.copy).expect("no fault") else {
            return false;
        };
        if self.machine.memory.geometry.mode() == Mode::Discard {
            copy_in_place(&self.machine.mapped, &sub, &mut self.copy);
            self.out.push(sub.position);
        }
        self.check_sub(&sub);
        true
    }

    fn check_sub(&mut self, sub: &SubBuffer) {
        let size = self.machine.memory.geometry.sub_size();
        let events = self.machine.events.borrow();
        assert!(
            sub.begin >= self.stamp && sub.end >= sub.begin,
            "in order of time"
        );
        self.stamp = sub.end;
        self.found.clear();
        let bytes = &self.copy[..sub.len];
        let count = parse(&events, bytes, sub.begin, sub.end, &mut self.found);
        assert_eq!(count, sub.events, "events at {:#x}", sub.position);
        let (mut found, mut before) = (self.found.iter(), 0);
        for id in self.machine.order.borrow().iter() {
            let event = &events[*id as usize];
            let position = event.position(size).unwrap();
            if position < sub.position {
                before += u64::from(event.committed);
            } else if position < sub.position + size {
                assert!(event.committed, "event {id} was not committed");
                assert_eq!(found.next(), Some(id), "events in order");
            }
        }
        assert_eq!(found.next(), None, "an event that was not written");
        self.passed_over = before - self.delivered;
        assert!(
            sub.overwritten_before <= self.passed_over,
            "counted too much"
        );
        self.delivered += count;
    }

    /// Gives back one of the sub-buffers that are out.
    pub fn release(&mut self, which: usize) {
        if self.out.is_empty() {
            return;
        }
        let position = self.out.swap_remove(which % self.out.len());
        let released = self.reader.release(position).expect("it is out");
        let lowest = self.out.iter().copied().min().unwrap_or(self.reader.next());
        assert_eq!(released, lowest);
        assert!(self.reader.release(position).is_err(), "only once");
    }

    pub fn publish(&mut self) {
        self.reader.publish(&Live::while_held(&()));
        if self.machine.memory.geometry.mode() == Mode::Discard {
            assert_eq!(self.machine.consumed(), self.reader.released());
        }
    }

    pub fn cut(&mut self) {
        let now = || {
            if self.honest_clock {
                self.machine.now()
            } else {
                0
            }
        };
        let Some(cut) = self.reader.cut(now, &mut self.copy).expect("no fault") else {
            return;
        };
        self.check_cut(&cut);
        self.promises
            .push((self.machine.order.borrow().len(), cut.end));
    }

    fn check_cut(&mut self, cut: &Cut) {
        let size = self.machine.memory.geometry.sub_size();
        let events = self.machine.events.borrow();
        assert!(
            cut.begin >= self.stamp && cut.end >= cut.begin,
            "in order of time"
        );
        self.found.clear();
        let bytes = &self.copy[..cut.len];
        let count = parse(&events, bytes, cut.begin, cut.end, &mut self.found);
        assert_eq!(count, cut.events, "events at {:#x}", cut.position);
        let order = self.machine.order.borrow();
        let inside = |id: &&u32| events[**id as usize].position(size).unwrap() >= cut.position;
        assert!(
            order.iter().filter(inside).eq(self.found.iter()),
            "all and only those"
        );
    }

    /// The guest stands still for a while.
    pub fn stop(&mut self) {
        self.reader.memory().stopped.set(true);
        self.oracle
            .stops_here(self.machine, &mut self.reader, self.delivered);
        let size = self.machine.memory.geometry.sub_size();
        assert!(self.reader.fill().unwrap() <= self.machine.memory.geometry.capacity() + size);
        self.reader.memory().stopped.set(false);
    }

    pub fn arm(&mut self, ahead: u64) {
        let wake_at = self.reader.next() + ahead.max(1) * self.machine.memory.geometry.sub_size();
        let armed = self
            .reader
            .arm(&Live::while_held(&()), wake_at)
            .expect("no fault");
        self.armings += 1;
        self.armed = None;
        match armed {
            Armed::Kick => self.armed = Some((wake_at, self.machine.kicks.get())),
            Armed::Soon => assert_ne!(self.machine.depth(), 0, "nobody is to commit"),
            Armed::Ready => {}
        }
    }

    /// No writer is running.
    pub fn check_kicks(&self) {
        assert!(
            self.machine.kicks.get() <= self.armings,
            "more than one for an arming"
        );
        if let Some((wake_at, before)) = self.armed {
            let passed = self.machine.memory.load(Word::Pos) >= wake_at;
            assert!(
                !passed || self.machine.kicks.get() > before,
                "a kick was lost"
            );
        }
    }

    /// Reads what is left; then everything is accounted for.
    pub fn finish(&mut self) {
        self.reader.memory().stopped.set(true);
        while self.poll() {}
        self.stop();
        let order = self.machine.order.borrow();
        let events = self.machine.events.borrow();
        for (reserved, end) in &self.promises {
            let later = order.get(*reserved).map(|id| events[*id as usize].stamp);
            assert!(
                later.is_none_or(|stamp| stamp >= *end),
                "an event within a cut's time"
            );
        }
        let lost: u64 = self.machine.lost().iter().sum();
        assert_eq!(
            events.len() as u64,
            order.len() as u64 + lost,
            "attempted = recorded + lost"
        );
    }
}
