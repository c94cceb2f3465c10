//! A VM as `serve` knows it: what outlives the connections of its front end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vmm_sys_util::event::EventNotifier;

use crate::config::VmName;
use crate::drain::Drain;
use crate::outbox::Outbox;
use crate::session::Session;
use crate::wire;

/// The VM.
///
/// Locks are taken in this order: a device's queues, the session, the drain's
/// gate. The drain's thread takes none but the last.
#[derive(Debug)]
pub struct Vm {
    name: VmName,
    config: wire::Config,
    session: Mutex<Session>,
    drain: Drain,
    outbox: Outbox,
    queues: Arc<Waker>,
    kicks: AtomicU64,
    complaints: AtomicU64,
    connected: AtomicBool,
}

/// Wakes the thread of a device's queues, if there is a device.
#[derive(Debug, Default)]
pub struct Waker(Mutex<Option<EventNotifier>>);

impl Waker {
    /// From now on, wake this one.
    pub fn set(&self, notifier: Option<EventNotifier>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = notifier;
    }

    /// Wake it.
    pub fn wake(&self) {
        let notifier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notifier) = &*notifier
            && let Err(error) = notifier.notify()
        {
            log::error!("cannot wake the queues: {error}");
        }
    }
}

impl Vm {
    /// A VM whose driver is yet to come; `queues` is whom `drain` wakes.
    pub fn new(
        name: VmName,
        config: wire::Config,
        drain: Drain,
        queues: Arc<Waker>,
        outbox: Outbox,
    ) -> Vm {
        let session = Session::new(name.to_string(), config);
        Vm {
            name,
            config,
            session: Mutex::new(session),
            drain,
            outbox,
            queues,
            kicks: AtomicU64::new(0),
            complaints: AtomicU64::new(0),
            connected: AtomicBool::new(false),
        }
    }

    /// Its name.
    pub fn name(&self) -> &VmName {
        &self.name
    }

    /// What the guest reads.
    pub fn config_space(&self) -> &wire::Config {
        &self.config
    }

    /// What reads its rings.
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// What the main thread gets.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The thread of the device's queues.
    pub fn queues(&self) -> &Waker {
        &self.queues
    }

    /// Use the session, and do what comes of it.
    pub fn with_session<T>(&self, use_it: impl FnOnce(&mut Session) -> T) -> T {
        let mut session = self.session();
        let result = use_it(&mut session);
        // Under the lock, so that epochs and messages keep their order.
        self.drain.set_live(session.live_epoch());
        for message in session.take_messages() {
            self.drain.send(message);
        }
        for complaint in session.take_complaints() {
            self.complain(format_args!("{complaint}"));
        }
        self.outbox.put(session.take_results());
        self.outbox.tick(!session.commands().is_empty());
        if session.take_watch_news() {
            self.outbox.wake();
        }
        result
    }

    /// A ring's writer has kicked.
    pub fn kicked(&self) {
        self.kicks.fetch_add(1, Ordering::Relaxed);
        self.drain.doorbell();
    }

    /// How often a ring's writer has kicked.
    pub fn kicks(&self) -> u64 {
        self.kicks.load(Ordering::Relaxed)
    }

    /// Log what a driver did wrong: all of the first ones, then ever fewer,
    /// since a guest can do any number of things wrong.
    pub fn complain(&self, what: std::fmt::Arguments<'_>) {
        const ALL: u64 = 100;
        let count = self.complaints.fetch_add(1, Ordering::Relaxed) + 1;
        if count <= ALL {
            log::warn!("VM {}: {what}", self.name);
        } else if count.is_power_of_two() {
            log::warn!("VM {}: {what} (and {count} complaints before)", self.name);
        }
    }

    /// How often the driver did something wrong.
    pub fn complaints(&self) -> u64 {
        self.complaints.load(Ordering::Relaxed)
    }

    /// A front end has connected.
    pub fn front_end_came(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    /// The front end has left: whatever its guest was, it is not there any
    /// more. What is unread of its rings is read from their mappings.
    pub fn front_end_gone(&self) {
        self.with_session(Session::forget);
        // Who sees this sees what has come of the end, too.
        self.connected.store(false, Ordering::Release);
    }

    /// Whether a front end is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        // A panic while a request was done has left that request half done at
        // worst; the next HELLO begins anew.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
