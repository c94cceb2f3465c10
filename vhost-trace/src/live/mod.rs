//! Events as they come, for whoever watches.
//!
//! One thread decodes private copies of what the drain reads, puts the events
//! of all vCPUs in order of time and sends lines to the clients. It never makes
//! the drain wait: what it is too slow for is counted, and so is what a client
//! is too slow for. Without a client the drain copies nothing. Clients that wait
//! for some events hear of them at once, without waiting for what other vCPUs
//! may have recorded before.

mod batch;
mod merge;
mod thread;
mod waiter;
mod watcher;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use crossbeam_channel::{Receiver, Sender, bounded};
use vmm_sys_util::eventfd::EventFd;

use crate::control::Connection;
use crate::session::desired::Rule;
use crate::vm::Vm;

pub use batch::{Batch, Piece};
use thread::Thread;

/// Batches that wait for the thread, at most: a minute's.
const MAX_BATCHES: usize = 1200;
/// Bytes of events that wait for the thread, at most.
const MAX_BYTES: usize = 16 << 20;

/// The thread that serves watching clients.
#[derive(Clone, Debug)]
pub struct Live(Arc<Shared>);

/// What the thread shares with others.
#[derive(Debug)]
struct Shared {
    event: EventFd,
    waiting: AtomicUsize,
    new: Mutex<Vec<New>>,
    // The guest may be further with what clients wait for.
    news: AtomicBool,
}

/// A client that has just come.
#[derive(Debug)]
enum New {
    /// It watches, JSON or text.
    Watches(Connection, bool),
    /// It waits for events.
    Waits(Connection, Vec<Rule>),
}

/// Who is there, and so how soon the drain has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    /// Somebody sees all events as they come.
    pub sees: bool,
    /// Somebody waits for some, of which the guest's kicks tell.
    pub waits: bool,
}

/// Where the drain puts what it reads.
#[derive(Clone, Debug)]
pub struct Tap {
    batches: Sender<Batch>,
    shared: Arc<Shared>,
}

impl Live {
    /// Start the thread.
    pub fn start(vm: Arc<Vm>) -> io::Result<Live> {
        let shared = Arc::new(Shared {
            event: EventFd::new(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?,
            waiting: AtomicUsize::new(0),
            new: Mutex::default(),
            news: AtomicBool::new(false),
        });
        let (batches, receiver): (Sender<Batch>, Receiver<Batch>) = bounded(MAX_BATCHES);
        let tap = Tap {
            batches,
            shared: shared.clone(),
        };
        let mut thread = Thread::new(vm, shared.clone(), tap, receiver);
        Builder::new().name("live".into()).spawn(move || {
            if let Err(error) = thread.run() {
                log::error!("nobody can watch any more: {error}");
            }
        })?;
        Ok(Live(shared))
    }

    /// A client wants to watch.
    pub fn attach(&self, connection: Connection, json: bool) {
        self.0.lock_new().push(New::Watches(connection, json));
        self.0.wake();
    }

    /// A client wants to hear of some events, as soon as they come.
    pub fn attach_waiting(&self, connection: Connection, rules: Vec<Rule>) {
        self.0.lock_new().push(New::Waits(connection, rules));
        self.0.wake();
    }

    /// The guest may be further with what clients wait for.
    pub fn look_at_guest(&self) {
        self.0.news.store(true, Ordering::Release);
        self.0.wake();
    }
}

impl Shared {
    fn lock_new(&self) -> std::sync::MutexGuard<'_, Vec<New>> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if let Err(error) = self.event.write(1) {
            log::error!("cannot wake the live thread: {error}");
        }
    }
}

impl Tap {
    /// Pass a batch on. If the thread is too slow, it comes back.
    pub fn put(&self, batch: Batch) -> Result<(), Batch> {
        let bytes = batch.bytes();
        // Only this thread adds.
        if self.shared.waiting.load(Ordering::Acquire) + bytes > MAX_BYTES {
            return Err(batch);
        }
        self.shared.waiting.fetch_add(bytes, Ordering::AcqRel);
        if let Err(back) = self.batches.try_send(batch) {
            self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
            return Err(back.into_inner());
        }
        self.shared.wake();
        Ok(())
    }
}
