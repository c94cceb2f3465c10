//! The reference writer as a [`Writer`] under test.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use vhost_trace_ringbuf::{ClockWord, GuestMemory, HostWord, Place, Word};

use crate::machine::{Access, At, Machine, Writer};

type Reference = vhost_trace_ringbuf::Writer<Stepped>;

/// Tells the machine of every access before it makes it.
#[derive(Clone)]
struct Stepped(Rc<Cell<*const Machine<'static>>>);

#[derive(Default)]
pub struct RustWriter {
    machine: Rc<Cell<*const Machine<'static>>>,
    writer: RefCell<Option<Rc<Reference>>>,
}

impl Stepped {
    fn machine(&self) -> &Machine<'static> {
        // SAFETY: `RustWriter` set it to what it had borrowed while this runs.
        unsafe { &*self.0.get() }
    }

    fn guest(&self, access: Access, word: Word, old: u64, new: u64) -> &AtomicU64 {
        let machine = self.machine();
        let size = machine.memory.geometry.sub_size() as usize;
        let at = match word.place() {
            Place::Guest(offset) => At::Guest(offset),
            Place::Data(slot, offset) => At::Data(slot * size + offset),
        };
        machine.before(access, at, old, new);
        machine.memory.word(word)
    }

    fn host(&self, access: Access, word: HostWord) -> u64 {
        self.machine().before(access, At::Host(word.offset()), 0, 0);
        self.machine()
            .memory
            .host_word(word)
            .load(Ordering::Relaxed)
    }

    fn clock(&self, access: Access, word: ClockWord) -> u64 {
        self.machine()
            .before(access, At::Clock(word.offset()), 0, 0);
        self.machine()
            .memory
            .clock_word(word)
            .load(Ordering::Relaxed)
    }

    fn barrier(&self, access: Access) {
        self.machine().before(access, At::Own, 0, 0);
    }
}

impl GuestMemory for Stepped {
    fn load(&self, word: Word) -> u64 {
        self.guest(Access::Load, word, 0, 0).load(Ordering::Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.guest(Access::Store, word, 0, value)
            .store(value, Ordering::Relaxed);
    }

    fn cmpxchg(&self, word: Word, old: u64, new: u64) -> u64 {
        let at = self.guest(Access::Cmpxchg, word, old, new);
        let (Ok(seen) | Err(seen)) =
            at.compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed);
        seen
    }

    fn add(&self, word: Word, value: u64) {
        self.guest(Access::Add, word, 0, value)
            .fetch_add(value, Ordering::Relaxed);
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let data = self.machine().memory.data();
        // SAFETY: the writer stays within the ring's data, and no reference to
        // it exists.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data.add(offset as usize), bytes.len()) };
    }

    fn load_host(&self, word: HostWord) -> u64 {
        self.host(Access::Load, word)
    }

    fn load_host_acquire(&self, word: HostWord) -> u64 {
        self.host(Access::LoadAcquire, word)
    }

    fn load_clock(&self, word: ClockWord) -> u64 {
        self.clock(Access::Load, word)
    }

    fn load_clock_acquire(&self, word: ClockWord) -> u64 {
        self.clock(Access::LoadAcquire, word)
    }

    fn rmb(&self) {
        self.barrier(Access::Rmb);
    }

    fn wmb(&self) {
        self.barrier(Access::Wmb);
    }

    fn mb(&self) {
        self.barrier(Access::Mb);
    }

    fn counter(&self) -> u64 {
        self.machine().before(Access::Counter, At::Own, 0, 0);
        self.machine().read_counter()
    }

    fn kick(&self) {
        self.machine().before(Access::Kick, At::Own, 0, 0);
    }

    fn own(&self) {
        self.machine().before(Access::Own, At::Own, 0, 0);
    }
}

impl RustWriter {
    fn set_machine(&self, machine: &Machine) {
        self.machine.set(ptr::from_ref(machine).cast());
    }
}

impl Writer for RustWriter {
    fn start(&self, machine: &Machine) {
        self.set_machine(machine);
        let memory = Stepped(self.machine.clone());
        let writer = Reference::start(machine.memory.geometry, memory);
        *self.writer.borrow_mut() = Some(Rc::new(writer));
    }

    fn event(&self, machine: &Machine, id: u32, payload: u32) -> bool {
        self.set_machine(machine);
        let writer = self.writer.borrow().clone().expect("it was started");
        let Some(reservation) = writer.reserve(id, payload) else {
            return false;
        };
        let bytes: Vec<u8> = (0..payload).map(|i| (id + 7 * i) as u8).collect();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        writer.write(&reservation, 0, first);
        if !second.is_empty() {
            machine.before(
                Access::Payload,
                At::Data(reservation.offset() as usize),
                0,
                0,
            );
            writer.write(&reservation, first.len() as u64, second);
        }
        writer.commit(reservation);
        true
    }

    fn save(&self) -> Box<dyn Any> {
        let writer = self.writer.borrow();
        Box::new(Reference::clone(writer.as_ref().expect("it was started")))
    }

    fn restore(&self, state: &dyn Any) {
        let state: &Reference = state.downcast_ref().expect("a state of this writer's");
        *self.writer.borrow_mut() = Some(Rc::new(state.clone()));
    }
}
