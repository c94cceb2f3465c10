//! Programs that act on events: one at a time, in order.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Events that wait for their program, at most; others are dropped, and counted.
const MAX_WAITING: usize = 64;
/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often that is looked at.
const STEP: Duration = Duration::from_millis(10);

/// What a program that cannot be run counts as having ended with, as in a shell.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// Runs the program. Dropping it does not end one that runs:
/// [`Actor::stop`] does.
#[derive(Debug)]
pub struct Actor {
    command: Vec<OsString>,
    running: Option<Child>,
    waiting: VecDeque<String>,
    dropped: u64,
}

/// What became of an event's program.
#[derive(Debug)]
pub struct Done {
    end: io::Result<ExitStatus>,
    /// Events without their program since the last time.
    dropped: u64,
}

impl Done {
    /// As an exit status: 128 + N after signal N.
    pub fn status(&self) -> u8 {
        match &self.end {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => code as u8,
                (None, signal) => 128 + signal.unwrap_or(0) as u8,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Err(_) => NOT_RUN,
        }
    }

    /// As a line about how it goes.
    pub fn to_json(&self) -> Value {
        let mut line = json!({"watch": "exec"});
        match &self.end {
            Ok(status) => match status.code() {
                Some(code) => line["status"] = code.into(),
                None => line["signal"] = status.signal().into(),
            },
            Err(error) => line["error"] = error.to_string().into(),
        }
        if self.dropped > 0 {
            line["dropped"] = self.dropped.into();
        }
        line
    }
}

impl Actor {
    /// One that runs this command, a program and its arguments.
    pub fn new(command: Vec<OsString>) -> Actor {
        Actor {
            command,
            running: None,
            waiting: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Run the program for this event, now or when the others are done. Returns
    /// what has come of programs that could not be started.
    pub fn act(&mut self, event: &str) -> Vec<Done> {
        if self.waiting.len() == MAX_WAITING {
            self.dropped += 1;
        } else {
            self.waiting.push_back(event.to_owned());
        }
        self.proceed()
    }

    /// Take note of a program that has ended, and start the next one. Returns
    /// what has come of those that are over.
    pub fn proceed(&mut self) -> Vec<Done> {
        let mut over = Vec::new();
        loop {
            if let Some(child) = &mut self.running {
                match child.try_wait() {
                    Ok(None) => return over,
                    Ok(Some(status)) => over.push(self.done(Ok(status))),
                    Err(error) => over.push(self.done(Err(error))),
                }
                self.running = None;
            }
            let Some(event) = self.waiting.pop_front() else {
                return over;
            };
            match start(&self.command, event) {
                Ok(child) => self.running = Some(child),
                Err(error) => over.push(self.done(Err(error))),
            }
        }
    }

    fn done(&mut self, end: io::Result<ExitStatus>) -> Done {
        Done {
            end,
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    /// End the program that runs, with what it has started in its process group.
    pub fn stop(&mut self) {
        let Some(mut child) = self.running.take() else {
            return;
        };
        let group = -(child.id() as libc::pid_t);
        let deadline = Instant::now() + PATIENCE;
        // SAFETY: kill has no memory preconditions; the group's leader has not
        // been waited for, so that its number is nobody else's.
        unsafe { libc::kill(group, libc::SIGTERM) };
        while Instant::now() < deadline {
            if !is_running(&child) {
                break;
            }
            thread::sleep(STEP);
        }
        // SAFETY: as above. Those that the leader has left behind go, too.
        unsafe { libc::kill(group, libc::SIGKILL) };
        if let Err(error) = child.wait() {
            eprintln!("vhost-trace: waiting for a program: {error}");
        }
    }
}

/// Without waiting for it for good: its number stays its own.
fn is_running(child: &Child) -> bool {
    // SAFETY: all zeros are a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: info is writable and outlives the call.
    let result = unsafe { libc::waitid(libc::P_PID, child.id(), &mut info, options) };
    // SAFETY: waitid() has filled in a child's siginfo, or left it zero.
    result == 0 && unsafe { info.si_pid() } == 0
}

/// Start the program, and give it the event.
fn start(command: &[OsString], event: String) -> io::Result<Child> {
    let Some((program, args)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(io::stderr().as_fd().try_clone_to_owned()?);
    // SAFETY: between fork and exec only functions are called that are safe
    // after a signal; set lives on the stack.
    unsafe {
        command.pre_exec(|| {
            // Our own mask is not for others, and it is not to outlive us.
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            if libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut()) != 0
                || libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0
            {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may not read it; then the thread ends with it.
        thread::Builder::new()
            .name("event".into())
            .spawn(move || drop(writeln!(stdin, "{event}")))?;
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(script: &str) -> Actor {
        Actor::new(["sh", "-c", script].map(OsString::from).to_vec())
    }

    /// Programs' ends, those known already included.
    fn wait(actor: &mut Actor, mut over: Vec<Done>) -> Vec<Done> {
        while let Some(child) = &mut actor.running {
            child.wait().unwrap();
            over.extend(actor.proceed());
        }
        over
    }

    #[test]
    fn probe_watch_programs_get_events_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let mut actor = actor(&format!("cat >>{}; exit 3", out.display()));
        let events = ["first", "second", "third"];
        let over = events.map(|event| actor.act(event)).into_iter().flatten();
        let over = over.collect();
        let over = wait(&mut actor, over);
        let statuses: Vec<u8> = over.iter().map(Done::status).collect();
        assert_eq!(statuses, [3, 3, 3]);
        assert_eq!(over[0].to_json(), json!({"watch": "exec", "status": 3}));
        assert_eq!(
            std::fs::read_to_string(out).unwrap(),
            "first\nsecond\nthird\n"
        );
    }

    #[test]
    fn probe_watch_programs_wait_in_bounds() {
        // It reads nothing, not even what no pipe has room for.
        let mut actor = actor("exec sleep 1000");
        let large = "x".repeat(1 << 20);
        for _ in 0..MAX_WAITING + 3 {
            assert!(actor.act(&large).is_empty());
        }
        assert_eq!(actor.waiting.len(), MAX_WAITING);
        assert_eq!(actor.dropped, 2);
        let pid = actor.running.as_ref().unwrap().id() as libc::pid_t;
        actor.stop();
        // SAFETY: kill with signal 0 only looks.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }

    #[test]
    fn probe_watch_programs_end_with_all_they_started() {
        let mut actor = actor("trap '' TERM; sleep 1000 & exec sleep 1000");
        actor.act("event");
        let group = -(actor.running.as_ref().unwrap().id() as libc::pid_t);
        actor.stop();
        // A zombie whose parent has ended may be there for a moment.
        let gone = (0..200).any(|_| {
            thread::sleep(STEP);
            // SAFETY: as above.
            let found = unsafe { libc::kill(group, 0) };
            found == -1
        });
        assert!(gone);
    }

    #[test]
    fn probe_watch_says_what_became_of_programs() {
        let mut none = Actor::new(vec!["/no/such/program".into()]);
        let done = none.act("event");
        assert_eq!(done[0].status(), 127);
        assert!(done[0].to_json()["error"].is_string());
        let mut killed = actor("kill -9 $$");
        let done = killed.act("event");
        let done = wait(&mut killed, done);
        assert_eq!(done[0].status(), 137);
        assert_eq!(done[0].to_json(), json!({"watch": "exec", "signal": 9}));
    }
}
