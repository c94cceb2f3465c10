//! A guest that runs: its shell, its monitor, its end.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::agent::{Agent, Job, Output};
use crate::builder::INITRAMFS;
use crate::launch::Process;
use crate::state::Shared;

const BOOT_TIME: Duration = Duration::from_secs(120);
const COMMAND_TIME: Duration = Duration::from_secs(60);
const QMP_TIME: Duration = Duration::from_secs(30);
const EXIT_TIME: Duration = Duration::from_secs(30);

/// A guest that runs, or has ended. Dropping it kills its QEMU; the folder of
/// its logs stays when the test fails.
#[derive(Debug)]
pub struct Guest {
    shared: Arc<Shared>,
    agent: Arc<Agent>,
    qmp: Mutex<UnixStream>,
    next_qmp: AtomicU64,
    process: Process,
    started: Instant,
}

impl Guest {
    pub(crate) fn new(
        shared: Arc<Shared>,
        process: Process,
        agent: UnixStream,
        qmp: UnixStream,
    ) -> Result<Self> {
        let guest = Self {
            agent: Arc::new(Agent::new(agent)?),
            qmp: Mutex::new(qmp),
            next_qmp: AtomicU64::new(1),
            process,
            started: Instant::now(),
            shared,
        };
        guest.negotiate()?;
        Ok(guest)
    }

    /// Runs a shell command to its end, for at most 60 s.
    pub fn run(&self, command: &str) -> Result<Output> {
        self.run_within(command, COMMAND_TIME)
    }

    /// Runs a shell command to its end, for at most `time`.
    pub fn run_within(&self, command: &str, time: Duration) -> Result<Output> {
        self.spawn(command)?.wait(time)
    }

    /// Runs a shell command that must succeed, and returns what it prints
    /// without white space at its ends.
    pub fn sh(&self, command: &str) -> Result<String> {
        self.sh_within(command, COMMAND_TIME)
    }

    /// Like [`Guest::sh`], for at most `time`.
    pub fn sh_within(&self, command: &str, time: Duration) -> Result<String> {
        let output = self.run_within(command, time)?;
        if output.status != 0 {
            bail!(
                "guest {}: `{command}` ended with status {}\n{}{}",
                self.shared.name,
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output.text())
    }

    /// Starts a shell command and returns at once.
    pub fn spawn(&self, command: &str) -> Result<Job> {
        Job::start(&self.shared, &self.agent, command)
    }

    /// Starts a shell command whose standard input stays open.
    pub fn spawn_reading(&self, command: &str) -> Result<Job> {
        Job::open(&self.shared, &self.agent, command)
    }

    /// Writes an executable file in the guest.
    pub fn push(&self, content: &[u8], path: &str) -> Result<()> {
        let command = format!("cat >{path} && chmod 755 {path}");
        let job = Job::start_with_input(&self.shared, &self.agent, &command, content)?;
        let output = job.wait(COMMAND_TIME)?;
        ensure!(
            output.status == 0,
            "writing {path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Reads a file of the guest.
    pub fn pull(&self, path: &str) -> Result<Vec<u8>> {
        let output = self.run(&format!("cat {path}"))?;
        ensure!(
            output.status == 0,
            "reading {path}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    /// Waits until the guest has come up `count` times since QEMU started.
    pub fn wait_boot(&self, count: u32, time: Duration) -> Result<()> {
        let what = format!("boot {count} of the guest");
        self.shared
            .wait(&what, time, |state| (state.boots >= count).then_some(()))
    }

    /// Waits for the first boot; a kernel that panics on the way has failed.
    pub(crate) fn wait_first_boot(&self, time: Duration) -> Result<()> {
        const PANIC: &[u8] = b"Kernel panic - not syncing";
        let up = self.shared.wait("the guest's boot", time, |state| {
            if state.boots > 0 {
                return Some(true);
            }
            let mut at = state.console.windows(PANIC.len());
            let at = at.position(|window| window == PANIC)?;
            // With the reason, which ends the line.
            state.console[at..].contains(&b'\n').then_some(false)
        })?;
        if !up {
            // For the message: QEMU resets when the kernel has said it all.
            let _ = self.wait_event("RESET", EXIT_TIME);
            bail!(
                "guest {}: panicked while it booted{}",
                self.shared.name,
                self.shared.logs()
            );
        }
        Ok(())
    }

    /// How often the guest has come up since QEMU started.
    pub fn boots(&self) -> u32 {
        self.shared.lock().boots
    }

    /// When QEMU was started.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The console's text until now.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().console).into_owned()
    }

    /// Waits for `text` on the console behind byte `from`, and returns where
    /// it ends.
    pub fn wait_console(&self, from: usize, text: &str, time: Duration) -> Result<usize> {
        self.shared
            .wait(&format!("{text:?} on the console"), time, |state| {
                let rest = state.console.get(from..)?;
                let at = rest
                    .windows(text.len())
                    .position(|w| w == text.as_bytes())?;
                Some(from + at + text.len())
            })
    }

    /// Sends a QMP command and returns what it returns.
    pub fn qmp(&self, execute: &str, arguments: Value) -> Result<Value> {
        let id = self.next_qmp.fetch_add(1, Ordering::Relaxed);
        let mut request = json!({ "execute": execute, "id": id });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        self.qmp
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(format!("{request}\n").as_bytes())
            .with_context(|| format!("sending {execute} to QEMU"))?;
        let what = format!("QEMU's reply to {execute}");
        let mut reply = self
            .shared
            .wait(&what, QMP_TIME, |state| state.replies.remove(&id))?;
        match reply.get("error") {
            Some(error) => bail!("guest {}: {execute}: {error}", self.shared.name),
            None => Ok(reply["return"].take()),
        }
    }

    /// Waits for a QMP event that no one has waited for yet, and takes it.
    pub fn wait_event(&self, name: &str, time: Duration) -> Result<Value> {
        self.shared
            .wait(&format!("QMP event {name}"), time, |state| {
                let at = state
                    .events
                    .iter()
                    .position(|event| event["event"] == name)?;
                Some(state.events.remove(at))
            })
    }

    /// Takes the events of this name until now: a guest that panics may reset
    /// twice. Returns how many there were.
    pub fn forget_events(&self, name: &str) -> usize {
        let events = &mut self.shared.lock().events;
        let before = events.len();
        events.retain(|event| event["event"] != name);
        before - events.len()
    }

    /// A command of QEMU's human monitor.
    pub fn monitor(&self, line: &str) -> Result<String> {
        let reply = self.qmp("human-monitor-command", json!({ "command-line": line }))?;
        Ok(reply.as_str().unwrap_or_default().to_string())
    }

    /// Sends a non-maskable interrupt to the vCPUs.
    pub fn inject_nmi(&self) -> Result<()> {
        self.qmp("inject-nmi", Value::Null).map(|_| ())
    }

    /// Pauses the guest.
    pub fn stop(&self) -> Result<()> {
        self.qmp("stop", Value::Null).map(|_| ())
    }

    /// Lets a paused guest go on.
    pub fn cont(&self) -> Result<()> {
        self.qmp("cont", Value::Null).map(|_| ())
    }

    /// Resets the guest and waits until it takes commands again.
    pub fn reset(&self) -> Result<()> {
        let boots = self.boots();
        self.qmp("system_reset", Value::Null)?;
        self.wait_boot(boots + 1, BOOT_TIME)
    }

    /// QEMU's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Kills QEMU (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.process.kill();
        self.wait_exit(EXIT_TIME).map(|_| ())
    }

    /// Asks QEMU to end and waits until it has; plugins print then.
    pub fn quit(&self) -> Result<()> {
        // The reply may be lost with the socket.
        let _ = self.qmp("quit", Value::Null);
        let how = self.wait_exit(EXIT_TIME)?;
        ensure!(
            how == "exit status: 0",
            "guest {}: QEMU: {how}",
            self.shared.name
        );
        Ok(())
    }

    /// Waits until QEMU has ended, and returns how.
    pub fn wait_exit(&self, time: Duration) -> Result<String> {
        self.shared
            .wait("the end of QEMU", time, |state| state.exit.clone())
    }

    /// The folder of this guest's logs.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Where TCG plugins print.
    pub fn plugin_log(&self) -> PathBuf {
        self.shared.dir.join("plugin.log")
    }

    fn negotiate(&self) -> Result<()> {
        self.shared.wait("QEMU's QMP greeting", QMP_TIME, |state| {
            state.qmp_ready.then_some(())
        })?;
        self.qmp("qmp_capabilities", Value::Null).map(|_| ())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.process.kill();
        self.process.join();
        if std::env::var_os("VHOST_TRACE_KEEP").is_some() {
            return;
        }
        let dir = &self.shared.dir;
        let _ = if thread::panicking() || self.shared.failed.load(Ordering::Relaxed) {
            fs::remove_file(dir.join(INITRAMFS))
        } else {
            fs::remove_dir_all(dir)
        };
    }
}
