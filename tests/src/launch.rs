//! QEMU's process and the threads that listen to it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::agent::read_agent;
use crate::guest::Guest;
use crate::process::command;
use crate::state::Shared;

/// A QEMU that was started here.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its id until it is reaped.
    pid: Arc<Mutex<Option<u32>>>,
    keeper: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn id(&self) -> Option<u32> {
        *lock(&self.pid)
    }

    pub(crate) fn kill(&self) {
        // While the lock is held the process is not reaped, so the id is its.
        if let Some(pid) = *lock(&self.pid) {
            // SAFETY: kill has no memory preconditions.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
        }
    }

    /// Waits until it is reaped.
    pub(crate) fn join(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Starts `program` with three sockets, for the console, the agent and QMP,
/// whose numbers `args` gets. Logs go to `dir`.
pub(crate) fn launch(
    name: &str,
    dir: PathBuf,
    program: &Path,
    args: impl FnOnce(&Path, [RawFd; 3]) -> Vec<String>,
) -> Result<Guest> {
    let (console, console_end) = UnixStream::pair()?;
    let (agent, agent_end) = UnixStream::pair()?;
    let (qmp, qmp_end) = UnixStream::pair()?;
    let ends = [
        console_end.as_raw_fd(),
        agent_end.as_raw_fd(),
        qmp_end.as_raw_fd(),
    ];
    let mut qemu = command(program);
    qemu.args(args(&dir, ends));
    let log = File::create(dir.join("qemu.log"))?;
    qemu.stdout(log.try_clone()?).stderr(log);
    fs::write(dir.join("command"), format!("{qemu:?}\n"))?;
    // SAFETY: between fork and exec only system calls without locks or
    // allocation are made. The descriptors are open until the spawn is
    // over: they are dropped by the thread that does it.
    unsafe {
        qemu.pre_exec(move || {
            for fd in ends {
                if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            // A test that is killed takes its guests with it.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }

    let shared = Arc::new(Shared::new(name.to_string(), dir));
    let readers = vec![
        reader(&shared, "console", {
            let log = File::create(shared.dir.join("console.log"))?;
            move |shared| read_console(console, log, shared)
        })?,
        reader(&shared, "agent", {
            let port = agent.try_clone()?;
            move |shared| read_agent(port, shared)
        })?,
        reader(&shared, "qmp", {
            let port = qmp.try_clone()?;
            move |shared| read_qmp(port, shared)
        })?,
    ];

    // The thread that starts QEMU must live as long as QEMU does: its
    // death is what PR_SET_PDEATHSIG reports.
    let pid = Arc::new(Mutex::new(None));
    let (started, when_started) = mpsc::channel();
    let keeper = {
        let (shared, pid) = (shared.clone(), pid.clone());
        thread::Builder::new().name("qemu".into()).spawn(move || {
            let spawned = qemu.spawn();
            drop((console_end, agent_end, qmp_end));
            match spawned {
                Ok(child) => {
                    *lock(&pid) = Some(child.id());
                    let _ = started.send(Ok(()));
                    keep(child, &pid, readers, &shared);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?
    };
    when_started
        .recv()?
        .with_context(|| format!("starting {program:?}"))?;
    let process = Process {
        pid,
        keeper: Some(keeper),
    };
    Guest::new(shared, process, agent, qmp)
}

/// Waits for QEMU's end and for all that it had said, then reports it.
fn keep(mut child: Child, pid: &Mutex<Option<u32>>, readers: Vec<JoinHandle<()>>, shared: &Shared) {
    loop {
        // SAFETY: an all-zero siginfo_t is a valid value for waitid to fill.
        let mut info = unsafe { std::mem::zeroed() };
        // SAFETY: info outlives the call. WNOWAIT leaves the process to reap,
        // so that its id stays its own until the lock below is held.
        let done = unsafe {
            libc::waitid(
                libc::P_PID,
                child.id(),
                &mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if done == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            break;
        }
    }
    let status = {
        let mut pid = lock(pid);
        *pid = None;
        child.wait()
    };
    for reader in readers {
        let _ = reader.join();
    }
    let how = match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    shared.update(|state| state.exit = Some(how));
}

fn reader(
    shared: &Arc<Shared>,
    name: &str,
    work: impl FnOnce(&Shared) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let shared = shared.clone();
    Ok(thread::Builder::new()
        .name(name.into())
        .spawn(move || work(&shared))?)
}

fn read_console(mut port: UnixStream, mut log: File, shared: &Shared) {
    let mut chunk = [0; 4096];
    while let Ok(n) = port.read(&mut chunk) {
        if n == 0 {
            return;
        }
        let _ = log.write_all(&chunk[..n]);
        shared.update(|state| state.console.extend_from_slice(&chunk[..n]));
    }
}

fn read_qmp(port: UnixStream, shared: &Shared) {
    for line in BufReader::new(port).lines() {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        shared.update(|state| {
            if message.get("QMP").is_some() {
                state.qmp_ready = true;
            } else if message.get("event").is_some() {
                state.events.push(message);
            } else if let Some(id) = message["id"].as_u64() {
                state.replies.insert(id, message);
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
