//! `vhost-trace serve` as a user runs it, and the command line beside it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;

use crate::builder::run_dir;
use crate::cache::{target_dir, workspace_dir};
use crate::lab::Lab;

const TRACE: &str = "trace";
const START_TIME: Duration = Duration::from_secs(20);
const END_TIME: Duration = Duration::from_secs(60);
/// How often a figure of `status` is asked for while a test waits for it: the
/// one thing here that no event tells.
const STATUS_PERIOD: Duration = Duration::from_millis(100);

/// The program under test, built once per process.
pub fn vhost_trace() -> Result<&'static Path> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| {
        build_vhost_trace(&["--quiet"])
            .map(|()| target_dir().join("debug/vhost-trace"))
            .map_err(|error| format!("{error:#}"))
    });
    built.as_deref().map_err(|error| anyhow!("{error}"))
}

/// Builds it where its progress is seen: the first time takes minutes.
pub fn prebuild_vhost_trace() -> Result<()> {
    build_vhost_trace(&[])
}

fn build_vhost_trace(args: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--package", "vhost-trace"])
        .args(args)
        .current_dir(workspace_dir())
        .status()
        .context("running cargo")?;
    ensure!(status.success(), "building vhost-trace: {status}");
    Ok(())
}

/// A `serve` of one VM. Dropping it kills it.
#[derive(Debug)]
pub struct Serve {
    vm: String,
    dir: PathBuf,
    /// Sockets have short paths of their own.
    sockets: PathBuf,
    keep: bool,
    /// As it was asked to; else its log may be wanted.
    ended: bool,
    child: Child,
    log: Receiver<String>,
}

impl Serve {
    /// Starts `serve --vm VM --sink ctf:DIR` with further arguments in a new
    /// folder, which goes with it, and waits until it takes a front end.
    pub fn start(vm: &str, args: &[&str]) -> Result<Self> {
        let dir = run_dir(&format!("serve-{vm}"))?;
        let sink = format!("ctf:{}", dir.join(TRACE).display());
        Self::spawn(vm, dir, false, &[&["--sink", &sink], args].concat())
    }

    /// Like [`Serve::start`], in a folder that stays.
    pub fn start_in(vm: &str, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {dir:?}"))?;
        let sink = format!("ctf:{}", dir.join(TRACE).display());
        Self::spawn(vm, dir.to_path_buf(), true, &["--sink", &sink])
    }

    fn spawn(vm: &str, dir: PathBuf, keep: bool, args: &[&str]) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let sockets =
            std::env::temp_dir().join(format!("vhost-trace-{}-{count}", std::process::id()));
        fs::create_dir_all(&sockets).with_context(|| format!("creating {sockets:?}"))?;
        let mut serve = Command::new(vhost_trace()?);
        serve
            .args(["serve", "--vm", vm])
            .args(args)
            .env("VHOST_TRACE_RUN_DIR", &sockets)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = serve
            .spawn()
            .with_context(|| format!("running {serve:?}"))?;
        let stderr = child.stderr.take().context("no stderr")?;
        let (line, log) = channel();
        let mut copy = File::create(dir.join("serve.log"))?;
        thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                // The copy is for people; the test reads the channel.
                let _ = writeln!(copy, "{text}");
                let _ = line.send(text);
            }
        });
        let mut serve = Self {
            vm: vm.to_string(),
            dir,
            sockets,
            keep,
            ended: false,
            child,
            log,
        };
        serve.wait_log("ready", START_TIME)?;
        Ok(serve)
    }

    /// Waits for a line of the log that contains `text` and was not read yet.
    pub fn wait_log(&mut self, text: &str, time: Duration) -> Result<String> {
        let deadline = Instant::now() + time;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(line) => seen.push(line),
                Err(error) => {
                    let why = match error {
                        RecvTimeoutError::Timeout => format!("nothing after {time:?}"),
                        RecvTimeoutError::Disconnected => format!("ended: {:?}", self.child.wait()),
                    };
                    bail!(
                        "serve of {}: waited for {text:?} in its log: {why}\n{}",
                        self.vm,
                        seen.join("\n")
                    );
                }
            }
        }
    }

    /// The arguments that give a guest of the lab this device. Its memory is
    /// shared already.
    pub fn device_args(&self, lab: &Lab) -> Result<Vec<String>> {
        self.device_args_of(lab, "q35")
    }

    /// The same for a machine type that is not q35.
    pub fn device_args_of(&self, lab: &Lab, machine: &str) -> Result<Vec<String>> {
        let qemu = lab.qemu.program.display().to_string();
        let words = ["qemu-args", &self.vm, "--qemu", &qemu, "--machine", machine];
        let text = self.cli(&words)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut args = Vec::new();
        for pair in words.chunks(2) {
            if matches!(pair, ["-chardev" | "-device", _]) {
                args.extend(pair.iter().map(|word| word.to_string()));
            }
        }
        ensure!(args.len() == 4, "qemu-args printed {text:?}");
        Ok(args)
    }

    /// A command of the command line that must succeed; `VM` follows the
    /// first word by itself.
    pub fn vm(&self, words: &[&str]) -> Result<String> {
        let mut args = vec![words[0], &self.vm];
        args.extend(&words[1..]);
        self.cli(&args)
    }

    /// The same of a command of two words.
    pub fn vm2(&self, command: &[&str], words: &[&str]) -> Result<String> {
        self.cli(&[command, &[&self.vm], words].concat())
    }

    /// Any command in this serve's run directory that must succeed.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args)?.output()?;
        ensure!(
            output.status.success(),
            "vhost-trace {}: {}\n{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A command of the program, to be run by the caller.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(vhost_trace()?);
        command
            .args(args)
            .env("VHOST_TRACE_RUN_DIR", &self.sockets)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// `status --json`.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.vm(&["status", "--json"])?)?)
    }

    /// Asks for the status until `until` returns something.
    pub fn wait_status<T>(
        &self,
        what: &str,
        time: Duration,
        mut until: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + time;
        loop {
            let status = self.status()?;
            if let Some(value) = until(&status) {
                return Ok(value);
            }
            ensure!(
                Instant::now() < deadline,
                "serve of {}: waited {time:?} for {what}; status {status:#}",
                self.vm
            );
            thread::sleep(STATUS_PERIOD);
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory preconditions; the child is not reaped
        // while this handle lives.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Asks it to drain and end (SIGTERM) and waits.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(libc::SIGTERM);
        let status = self.wait_exit(END_TIME)?;
        ensure!(status.success(), "serve of {}: {status}", self.vm);
        self.ended = true;
        Ok(())
    }

    /// Waits until it has ended.
    pub fn wait_exit(&mut self, time: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + time;
        loop {
            // The log ends when the process does.
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(self.child.wait()?),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("serve of {} did not end in {time:?}", self.vm)
                }
            }
        }
    }

    /// Where its trace is.
    pub fn trace(&self) -> PathBuf {
        self.dir.join(TRACE)
    }

    /// Its folder: log and trace.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.sockets);
        if self.ended
            && !self.keep
            && !thread::panicking()
            && std::env::var_os("VHOST_TRACE_KEEP").is_none()
        {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
