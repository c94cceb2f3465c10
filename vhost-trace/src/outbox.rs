//! What other threads have for the main one: results of commands, and when to
//! look for those that never come.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;
use vmm_sys_util::timerfd::TimerFd;

use crate::session::commands::CommandResult;

/// How often commands without a result are looked at, while there are any.
const TICK: Duration = Duration::from_secs(1);

/// Results on their way to the main thread.
#[derive(Debug)]
pub struct Outbox {
    results: Mutex<Vec<CommandResult>>,
    event: EventFd,
    timer: Mutex<TimerFd>,
    ticking: AtomicBool,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> io::Result<Outbox> {
        let timer = TimerFd::new()?;
        // Another thread may stop it just before it is read.
        // SAFETY: the descriptor is open; the call changes only its flags.
        if unsafe { libc::fcntl(timer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Outbox {
            results: Mutex::default(),
            event: EventFd::new(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?,
            timer: Mutex::new(timer),
            ticking: AtomicBool::new(false),
        })
    }

    /// Pass results on.
    pub fn put(&self, results: Vec<CommandResult>) {
        if results.is_empty() {
            return;
        }
        let mut waiting = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(results);
        self.wake();
    }

    /// Have the main thread look at results and watches.
    pub fn wake(&self) {
        if let Err(error) = self.event.write(1) {
            log::error!("cannot wake the main thread: {error}");
        }
    }

    /// Take what has been passed on.
    pub fn take(&self) -> Vec<CommandResult> {
        // Nothing to read: what woke us was taken along before.
        let _ = self.event.read();
        std::mem::take(&mut *self.results.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tick while there are commands without a result.
    pub fn tick(&self, wanted: bool) {
        if self.ticking.swap(wanted, Ordering::AcqRel) == wanted {
            return;
        }
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        let done = if wanted {
            timer.reset(TICK, Some(TICK))
        } else {
            timer.clear()
        };
        if let Err(error) = done {
            log::error!("timer: {error}");
        }
    }

    /// A tick has come.
    pub fn ticked(&self) {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing to read: it was stopped meanwhile.
        let _ = timer.wait();
    }

    /// Readable when there are results.
    pub fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Readable when it has ticked.
    pub fn timer_fd(&self) -> RawFd {
        let timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.as_raw_fd()
    }
}
