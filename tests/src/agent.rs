//! The host's end of the agent in the guest (`tests/guest/agent.c`): frames of
//! four words (magic, job, kind, length) and a payload.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::state::Shared;

const MAGIC: u32 = 0x464c_5456;
const HEAD: usize = 16;
/// The greeting, each byte with bit 7 set.
const HELLO: &[u8; 24] = b"vhost-trace lab agent up";
const INPUT_CHUNK: usize = 1 << 16;

const RUN: u32 = 1;
const INPUT: u32 = 2;
const INPUT_END: u32 = 3;
const KILL: u32 = 4;
const OUT: u32 = 5;
const ERR: u32 = 6;
const EXIT: u32 = 7;

/// What a command in the guest has printed and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The exit status; 128 + N after signal N.
    pub status: i32,
    /// Byte for byte.
    pub stdout: Vec<u8>,
    /// Byte for byte.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The standard output as text, without white space at its ends.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_string()
    }
}

/// Sends to the agent.
#[derive(Debug)]
pub(crate) struct Agent {
    port: Mutex<UnixStream>,
    next: AtomicU32,
}

impl Agent {
    pub(crate) fn new(port: UnixStream) -> Result<Self> {
        // A paused guest reads nothing.
        port.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            port: Mutex::new(port),
            next: AtomicU32::new(1),
        })
    }

    fn send(&self, job: u32, kind: u32, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::with_capacity(HEAD + payload.len());
        for word in [MAGIC, job, kind, u32::try_from(payload.len())?] {
            frame.extend_from_slice(&word.to_le_bytes());
        }
        frame.extend_from_slice(payload);
        self.port
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&frame)
            .context("sending to the guest's agent")
    }
}

/// A command that runs in the guest.
#[derive(Debug)]
pub struct Job {
    shared: Arc<Shared>,
    agent: Arc<Agent>,
    id: u32,
    command: String,
}

impl Job {
    pub(crate) fn start(shared: &Arc<Shared>, agent: &Arc<Agent>, command: &str) -> Result<Self> {
        let job = Self::open(shared, agent, command)?;
        job.agent.send(job.id, INPUT_END, &[])?;
        Ok(job)
    }

    /// Like `start`, with something on standard input.
    pub(crate) fn start_with_input(
        shared: &Arc<Shared>,
        agent: &Arc<Agent>,
        command: &str,
        input: &[u8],
    ) -> Result<Self> {
        let job = Self::open(shared, agent, command)?;
        for chunk in input.chunks(INPUT_CHUNK) {
            job.agent.send(job.id, INPUT, chunk)?;
        }
        job.agent.send(job.id, INPUT_END, &[])?;
        Ok(job)
    }

    pub(crate) fn open(shared: &Arc<Shared>, agent: &Arc<Agent>, command: &str) -> Result<Self> {
        let id = agent.next.fetch_add(1, Ordering::Relaxed);
        shared.update(|state| state.jobs.insert(id, Default::default()));
        agent.send(id, RUN, command.as_bytes())?;
        Ok(Self {
            shared: shared.clone(),
            agent: agent.clone(),
            id,
            command: command.to_string(),
        })
    }

    /// Gives the command more to read; for one of [`crate::Guest::spawn_reading`].
    pub fn input(&self, input: &[u8]) -> Result<()> {
        self.agent.send(self.id, INPUT, input)
    }

    /// Waits for the end of the command.
    pub fn wait(self, time: Duration) -> Result<Output> {
        let what = format!("the end of `{}`", self.command);
        let done = self.shared.wait(&what, time, |state| {
            let job = state.jobs.get_mut(&self.id)?;
            (job.lost || job.status.is_some()).then(|| std::mem::take(job))
        });
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let said = self.shared.lock().jobs.remove(&self.id).unwrap_or_default();
                bail!(
                    "{error:#}\n--- the command had printed:\n{}{}",
                    String::from_utf8_lossy(&said.stdout),
                    String::from_utf8_lossy(&said.stderr)
                );
            }
        };
        self.shared.lock().jobs.remove(&self.id);
        match done.status {
            Some(status) => Ok(Output {
                status,
                stdout: done.stdout,
                stderr: done.stderr,
            }),
            None => bail!(
                "guest {}: restarted before {what}{}",
                self.shared.name,
                self.shared.logs()
            ),
        }
    }

    /// Waits until the command has printed `text` on its standard output, or
    /// has ended.
    pub fn wait_stdout(&self, text: &str, time: Duration) -> Result<()> {
        let what = format!("{text:?} from `{}`", self.command);
        let seen = self.shared.wait(&what, time, |state| {
            let job = state.jobs.get(&self.id)?;
            if find(&job.stdout, text.as_bytes()).is_some() {
                return Some(true);
            }
            (job.lost || job.status.is_some()).then_some(false)
        })?;
        if !seen {
            bail!(
                "guest {}: `{}` ended without {text:?}",
                self.shared.name,
                self.command
            );
        }
        Ok(())
    }

    /// What the command has printed on its standard output until now.
    pub fn stdout_now(&self) -> Vec<u8> {
        let state = self.shared.lock();
        state
            .jobs
            .get(&self.id)
            .map(|job| job.stdout.clone())
            .unwrap_or_default()
    }

    /// Kills the command and its process group (SIGKILL).
    pub fn kill(&self) -> Result<()> {
        self.agent.send(self.id, KILL, &[])
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

/// Reads what the agent sends until the port closes.
pub(crate) fn read_agent(mut port: UnixStream, shared: &Shared) {
    let hello = HELLO.map(|byte| byte ^ 0x80);
    let mut buffer: Vec<u8> = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        match port.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) => {
                // A greeting may begin in what was there before.
                let from = buffer.len().saturating_sub(hello.len() - 1);
                buffer.extend_from_slice(&chunk[..n]);
                if let Some(at) = find(&buffer[from..], &hello) {
                    // Before it: the rest of a life that ended in a frame.
                    buffer.drain(..from + at + hello.len());
                    shared.update(|state| {
                        state.boots += 1;
                        for job in state.jobs.values_mut().filter(|job| job.status.is_none()) {
                            job.lost = true;
                        }
                    });
                }
                let used = frames(&buffer, shared);
                buffer.drain(..used);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Takes whole frames from `buffer` and returns their length.
fn frames(buffer: &[u8], shared: &Shared) -> usize {
    let mut at = 0;
    loop {
        let rest = &buffer[at..];
        let word = |i: usize| -> Option<u32> {
            let bytes = rest.get(4 * i..4 * i + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let (Some(magic), Some(id), Some(kind), Some(len)) = (word(0), word(1), word(2), word(3))
        else {
            return at;
        };
        if magic != MAGIC {
            // Not a frame: wait for the next greeting.
            return at;
        }
        let Some(payload) = rest.get(HEAD..HEAD + len as usize) else {
            return at;
        };
        shared.update(|state| {
            let Some(job) = state.jobs.get_mut(&id) else {
                return;
            };
            match kind {
                OUT => job.stdout.extend_from_slice(payload),
                ERR => job.stderr.extend_from_slice(payload),
                EXIT => {
                    job.status = payload
                        .get(..4)
                        .and_then(|bytes| bytes.try_into().ok())
                        .map(i32::from_le_bytes);
                }
                _ => {}
            }
        });
        at += HEAD + len as usize;
    }
}
