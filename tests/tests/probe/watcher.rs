//! `vhost-trace watch`, as a user runs it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use vhost_trace_lab::Serve;

use crate::rig::TIME;

/// A watch that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Watcher {
    child: Child,
    lines: Receiver<String>,
}

impl Watcher {
    /// `watch VM` with these words.
    pub fn start(serve: &Serve, vm: &str, words: &[&str]) -> Result<Self> {
        let mut child = serve
            .command(&[&["watch", vm], words].concat())?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let (line, lines) = channel();
        thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = line.send(text);
            }
        });
        Ok(Self { child, lines })
    }

    /// The next line.
    pub fn line(&self) -> Result<Value> {
        match self.lines.recv_timeout(TIME) {
            Ok(line) => serde_json::from_str(&line).with_context(|| line.clone()),
            Err(error) => bail!("no line of the watch: {error}"),
        }
    }

    /// The next line is of the watch itself, and says this.
    pub fn expect(&self, what: &str) -> Result<Value> {
        let line = self.line()?;
        ensure!(line["watch"] == what, "{line}, not {what}");
        Ok(line)
    }

    /// The next line is an event of this name.
    pub fn event(&self, name: &str) -> Result<Value> {
        let line = self.line()?;
        ensure!(line["name"] == name, "{line}, not {name}");
        Ok(line)
    }

    /// What it has said meanwhile.
    pub fn lines_now(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory preconditions; the child is not reaped
        // while this handle lives.
        unsafe { libc::kill(self.pid(), signal) };
    }

    /// Waits for its end: its status, and what it has printed on standard error.
    pub fn end(&mut self) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + TIME;
        loop {
            // Its lines end when it does.
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(error) => bail!("the watch did not end: {error}"),
            }
        }
        let mut stderr = self.child.stderr.take().context("no stderr")?;
        let mut said = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut said)?;
        Ok((self.child.wait()?, said))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
