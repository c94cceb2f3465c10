//! The program under test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A `serve` with folders of its own.
pub struct Serve {
    child: Child,
    dir: TempDir,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    text: Mutex<String>,
    more: Condvar,
}

/// A command of the program in `dir`.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhost-trace"));
    command
        .args(args)
        .env("VHOST_TRACE_RUN_DIR", dir.join("run"))
        .env("RUST_LOG", "info")
        .stdin(Stdio::null());
    command
}

/// What a command printed, and that it did well.
pub fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

impl Serve {
    /// Start it with small rings and wait until a front end may connect.
    pub fn start(args: &[&str]) -> Serve {
        let dir = tempfile::tempdir().unwrap();
        let sink = format!("ctf:{}", dir.path().join("trace").display());
        let mut all = vec!["serve", "--vm", "vm", "--sink", &sink];
        if !args.contains(&"--sub-size") {
            all.extend(["--sub-size", "8K"]);
        }
        all.extend(["--num-sub", "4"]);
        all.extend(["--state-sub-size", "4K", "--state-num-sub", "2"]);
        all.extend(args);
        let mut child = command(dir.path(), &all)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut text = lines.text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                lines.more.notify_all();
            }
        });
        let serve = Serve {
            child,
            dir,
            log,
            reader: Some(reader),
        };
        serve.wait_log("ready");
        serve
    }

    /// Wait until the log contains `what`.
    pub fn wait_log(&self, what: &str) {
        let text = self.log.text.lock().unwrap();
        let (text, timeout) = self
            .log
            .more
            .wait_timeout_while(text, PATIENCE, |text| !text.contains(what))
            .unwrap();
        assert!(!timeout.timed_out(), "no {what:?} in {text}");
    }

    /// The log until now.
    pub fn log(&self) -> String {
        self.log.text.lock().unwrap().clone()
    }

    /// The socket for front ends.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/vm.sock")
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A command for it.
    pub fn cli(&self, args: &[&str]) -> Output {
        command(self.dir.path(), args).output().unwrap()
    }

    /// Its status.
    pub fn status(&self) -> Value {
        let output = self.cli(&["status", "vm", "--json"]);
        serde_json::from_str(&text(&output)).unwrap()
    }

    /// Wait until the status is as `is` wants it.
    pub fn wait_status(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if is(&status) {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {status:#}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Have it end with SIGTERM; returns how it ended and its folder.
    pub fn end(mut self) -> (ExitStatus, TempDir, String) {
        // SAFETY: the process is a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let log = self.log();
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        (status, dir, log)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All `seq` values that the events of a trace below `dir` have, by vCPU, as
/// the files have them: `events_VCPU`, whatever the folders are called.
pub fn numbers(dir: &Path, vcpu: u32) -> Vec<u64> {
    let mut found = Vec::new();
    collect(&dir.join("trace"), &format!("events_{vcpu}"), &mut found);
    found.sort();
    let mut numbers = Vec::new();
    for path in found {
        let mut bytes = Vec::new();
        let mut file = std::fs::File::open(path).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        numbers.extend(crate::ring::marked_numbers(&bytes));
    }
    numbers
}

fn collect(dir: &Path, name: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), name, found);
        } else if entry.file_name() == name {
            found.push(entry.path());
        }
    }
}
