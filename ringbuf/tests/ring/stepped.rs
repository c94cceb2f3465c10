//! The driver's C writer as a [`Writer`].

use std::any::Any;
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::process;
use std::sync::OnceLock;

use libloading::{Library, Symbol};
use vhost_trace_ringbuf::Mode;

use crate::compile::compile;
use crate::machine::{Access, At, Machine, Writer};

type Before = unsafe extern "C-unwind" fn(*const Machine<'_>, u32, *const u8, u64, u64);
type Counter = unsafe extern "C-unwind" fn(*const Machine<'_>) -> u64;
type Start = unsafe extern "C-unwind" fn(
    *const Machine<'_>,
    *mut c_void,
    *mut u8,
    *mut u8,
    *mut u8,
    *mut u8,
    u64,
    u64,
    u32,
);
type WriteEvent = unsafe extern "C-unwind" fn(*const Machine<'_>, *mut c_void, u32, u32) -> u32;

/// `enum access` of stepped.c.
const ACCESSES: [Access; 11] = [
    Access::Load,
    Access::LoadAcquire,
    Access::Store,
    Access::Cmpxchg,
    Access::Add,
    Access::Counter,
    Access::Kick,
    Access::Payload,
    Access::Rmb,
    Access::Wmb,
    Access::Mb,
];

struct Code {
    start: Start,
    event: WriteEvent,
    ring_bytes: usize,
    context_bytes: u32,
}

/// How a handler calls the writer.
#[derive(Clone, Copy, Debug)]
pub enum Pair {
    /// The quick path by itself; what is not quick goes another way.
    Quick,
    /// One call for both.
    Whole,
    /// The same, in a ring whose events have contexts.
    Contexts,
}

impl Pair {
    /// Compiled once, never unloaded.
    fn code(self) -> &'static Code {
        static CODE: [OnceLock<Option<Code>>; 3] = [const { OnceLock::new() }; 3];
        let code = CODE[self as usize].get_or_init(|| self.compile());
        code.as_ref().expect("stepped.c compiles")
    }

    fn compile(self) -> Option<Code> {
        let name = format!("stepped-{self:?}-{}.so", process::id());
        let flags = ["-shared", "-fPIC", "-fexceptions"];
        let more: &[&str] = match self {
            Pair::Quick => &[],
            Pair::Whole => &["-DWHOLE"],
            Pair::Contexts => &["-DWHOLE", "-DCONTEXT_BYTES=8"],
        };
        let path = compile("stepped.c", &name, &[&flags[..], more].concat())?;
        // SAFETY: the library has no initialisers.
        let library = Box::leak(Box::new(unsafe { Library::new(&path) }.expect("it loads")));
        std::fs::remove_file(&path).expect("it is mapped by now");
        // SAFETY: the types are those of stepped.c's definitions.
        unsafe {
            let before: Symbol<*mut Before> = library.get(b"stepped_before").unwrap();
            **before = before_access;
            let counter: Symbol<*mut Counter> = library.get(b"stepped_counter").unwrap();
            **counter = read_counter;
            let bytes: Symbol<*const u64> = library.get(b"stepped_ring_bytes").unwrap();
            let contexts: Symbol<*const u32> = library.get(b"stepped_context_bytes").unwrap();
            Some(Code {
                start: *library.get(b"stepped_start").unwrap(),
                event: *library.get(b"stepped_event").unwrap(),
                ring_bytes: **bytes as usize,
                context_bytes: **contexts,
            })
        }
    }
}

unsafe extern "C-unwind" fn before_access(
    machine: *const Machine<'_>,
    access: u32,
    at: *const u8,
    old: u64,
    new: u64,
) {
    // SAFETY: C passes on what `CWriter` was given and has borrowed.
    let machine = unsafe { &*machine };
    let at = machine.memory.at(at);
    match (ACCESSES[access as usize], at) {
        (Access::Load | Access::Store | Access::Cmpxchg, At::Own) => {
            machine.before(Access::Own, At::Own, 0, 0);
        }
        (access, at) => machine.before(access, at, old, new),
    }
}

unsafe extern "C-unwind" fn read_counter(machine: *const Machine<'_>) -> u64 {
    // SAFETY: as in `before_access`.
    unsafe { &*machine }.read_counter()
}

/// `struct vtrace_ring`, whatever is in it.
pub struct CWriter {
    ring: UnsafeCell<Vec<u64>>,
    code: &'static Code,
}

impl CWriter {
    pub fn new(pair: Pair) -> Self {
        let code = pair.code();
        Self {
            ring: UnsafeCell::new(vec![0; code.ring_bytes.div_ceil(8)]),
            code,
        }
    }

    fn ring(&self) -> *mut c_void {
        // SAFETY: no reference to the vector outlives a method; C has the
        // pointer to its elements only, and it is never resized.
        unsafe { (*self.ring.get()).as_mut_ptr().cast() }
    }
}

impl Writer for CWriter {
    fn start(&self, machine: &Machine) {
        let memory = machine.memory;
        let mode = u32::from(memory.geometry.mode() == Mode::Overwrite);
        // SAFETY: all pointers are to memory of the sizes that the geometry says.
        unsafe {
            (self.code.start)(
                machine,
                self.ring(),
                memory.guest(),
                memory.host(),
                memory.clock(),
                memory.data(),
                memory.geometry.sub_size(),
                memory.geometry.nsub() as u64,
                mode,
            );
        }
    }

    fn event(&self, machine: &Machine, id: u32, payload: u32) -> bool {
        // SAFETY: the ring was started with this machine's memory.
        unsafe { (self.code.event)(machine, self.ring(), id, payload) != 0 }
    }

    fn context_bytes(&self) -> u32 {
        self.code.context_bytes
    }

    fn save(&self) -> Box<dyn Any> {
        // SAFETY: C does not run; no other reference exists.
        Box::new(unsafe { &*self.ring.get() }.clone())
    }

    fn restore(&self, state: &dyn Any) {
        let state: &Vec<u64> = state.downcast_ref().expect("a state of this writer's");
        // SAFETY: as in `save`.
        unsafe { &mut *self.ring.get() }.copy_from_slice(state);
    }
}
