//! What is known about a running guest: threads that read its sockets write
//! it, whoever waits is woken.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use crate::process::tail;

/// How much of the console a message quotes.
const CONSOLE_LINES: usize = 30;

/// What a command has said so far.
#[derive(Debug, Default)]
pub(crate) struct JobState {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) status: Option<i32>,
    /// The guest restarted before the command ended.
    pub(crate) lost: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) console: Vec<u8>,
    /// How often the agent has greeted: boots that came up.
    pub(crate) boots: u32,
    pub(crate) jobs: HashMap<u32, JobState>,
    pub(crate) replies: HashMap<u64, Value>,
    pub(crate) qmp_ready: bool,
    /// Events that nobody has waited for yet.
    pub(crate) events: Vec<Value>,
    /// How QEMU ended, when it has; all it said is above by then.
    pub(crate) exit: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// Something that was awaited did not come: the logs are of interest.
    pub(crate) failed: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    pub(crate) fn new(name: String, dir: PathBuf) -> Self {
        Self {
            name,
            dir,
            failed: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `look` finds something, QEMU ends, or the time is over.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        time: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            if let Some(exit) = &state.exit {
                let exit = exit.clone();
                drop(state);
                bail!(
                    "guest {}: QEMU ended ({exit}) before {what}{}",
                    self.name,
                    self.logs()
                );
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                bail!(
                    "guest {}: waited {:.1} s for {what}{}",
                    self.name,
                    time.as_secs_f64(),
                    self.logs()
                );
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The ends of console and QEMU's own messages, for an error message.
    pub(crate) fn logs(&self) -> String {
        self.failed.store(true, Ordering::Relaxed);
        let console = tail(&self.lock().console, CONSOLE_LINES);
        let qemu = std::fs::read(self.dir.join("qemu.log")).unwrap_or_default();
        format!(
            "\n--- console ({}):\n{console}\n--- QEMU:\n{}",
            self.dir.join("console.log").display(),
            tail(&qemu, CONSOLE_LINES)
        )
    }
}
