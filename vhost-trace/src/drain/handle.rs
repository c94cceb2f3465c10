//! What others see of the drain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::Message;
use super::age::Aging;
use super::sinks::Sinks;
use super::status::DrainStatus;
use super::worker::{Call, Shared, Worker, lock};
use crate::live::{Audience, Tap};
use crate::vm::Waker;

/// How long the front end waits at most when it stops the queues.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long others wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The drain of a VM.
#[derive(Debug)]
pub struct Drain {
    calls: Sender<Call>,
    shared: Arc<Shared>,
    closed: AtomicBool,
}

impl Drain {
    /// Start the thread; it wakes `queues` when a ring is not in use any more,
    /// and writes out what is older than `max_age`.
    pub fn start(
        vm: &str,
        sinks: Sinks,
        queues: Arc<Waker>,
        max_age: Option<Duration>,
    ) -> io::Result<Drain> {
        // Unbounded, but each sender has its bound: sinks their budgets, a
        // guest its pace, doorbells one at a time.
        let (calls, receiver): (Sender<Call>, Receiver<Call>) = unbounded();
        let shared = Arc::new(Shared {
            queues,
            ..Default::default()
        });
        let aging = Aging::new(max_age);
        let worker = Worker::new(vm.to_owned(), shared.clone(), calls.clone(), sinks, aging);
        Builder::new()
            .name("drain".into())
            .spawn(move || worker.run(&receiver))?;
        Ok(Drain {
            calls,
            shared,
            closed: AtomicBool::new(false),
        })
    }

    /// From now on, only rings of this epoch are written.
    pub fn set_live(&self, epoch: Option<u64>) {
        self.shared.gate.set(epoch);
    }

    /// Have something done.
    pub fn send(&self, message: Message) {
        self.call(Call::Message(message));
    }

    /// A ring's writer has kicked.
    pub fn doorbell(&self) {
        if !self.shared.rung.swap(true, Ordering::AcqRel) {
            self.call(Call::Doorbell);
        }
    }

    /// The queues are stopped: take copies of what is unread, and wait for
    /// what is in use, but not for ever. Returns the tickets that were released.
    pub fn stop(&self) -> Vec<u64> {
        if self.ask(Call::Stop, STOP_PATIENCE).is_none() {
            log::error!("the drain has not stopped in time");
        }
        self.take_released()
    }

    /// Wait, not for ever, until all that was sent is done.
    pub fn settle(&self) {
        if self.ask(Call::Settle, PATIENCE).is_none() {
            log::error!("the drain has not answered in time");
        }
    }

    /// Tickets that were released.
    pub fn take_released(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.shared.released))
    }

    /// Give copies of all events to a tap, as soon as its audience wants them, or
    /// to nobody any more.
    pub fn watch(&self, to: Option<(Tap, Audience)>) {
        self.call(Call::Watch(to));
    }

    /// How it is going. `None`: it does not answer.
    pub fn status(&self) -> Option<DrainStatus> {
        self.ask(Call::Status, PATIENCE)
    }

    /// Read everything, close the sinks, and end the thread.
    pub fn close(&self) {
        let (reply, answer) = bounded(1);
        self.call(Call::Close(reply));
        self.closed.store(true, Ordering::Release);
        // The sinks have their own patience.
        let _ = answer.recv();
    }

    fn call(&self, call: Call) {
        if self.calls.send(call).is_err() && !self.closed.load(Ordering::Acquire) {
            log::error!("the drain has ended; this VM is not traced any more");
        }
    }

    fn ask<T>(&self, call: impl FnOnce(Sender<T>) -> Call, patience: Duration) -> Option<T> {
        let (reply, answer) = bounded(1);
        self.call(call(reply));
        answer.recv_timeout(patience).ok()
    }
}
