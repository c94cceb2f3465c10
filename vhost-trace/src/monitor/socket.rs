//! A QMP socket: a JSON object a line, replies and events mixed.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::MonitorError;

/// How long QEMU may take to answer. It answers at once, unless its main loop
/// waits for something else.
const ANSWER: Duration = Duration::from_secs(20);

/// How long it may take to greet: it does so at once, or serves another client.
const GREETING: Duration = Duration::from_secs(5);

/// Bytes of a line, at most; the longest reply here lists a machine's devices.
const MAX_LINE: usize = 4 << 20;

/// The process at the other end of a socket, as it was when it began to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A connection to QEMU.
#[derive(Debug)]
pub(super) struct Socket {
    name: String,
    stream: BufReader<UnixStream>,
    /// What has come of a line that is not whole yet.
    line: Vec<u8>,
}

impl Socket {
    pub(super) fn connect(path: &Path) -> Result<Socket, MonitorError> {
        let stream = UnixStream::connect(path).map_err(|source| MonitorError::Connect {
            path: path.to_owned(),
            source,
        })?;
        let mut socket = Socket {
            name: format!("QMP socket {}", path.display()),
            stream: BufReader::new(stream),
            line: Vec::new(),
        };
        let Some(greeting) = socket.receive(GREETING)? else {
            return Err(socket.silent("greeting", GREETING));
        };
        if greeting.get("QMP").is_none() {
            return Err(socket.broken("it is not QEMU's (mode=control)".into()));
        }
        let command = "qmp_capabilities";
        socket.ask(command, &json!({ "execute": command }))?;
        Ok(socket)
    }

    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    pub(super) fn peer(&self) -> Option<Peer> {
        let mut cred = libc::ucred {
            pid: 0,
            uid: 0,
            gid: 0,
        };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` bytes to `cred`, a plain
        // structure of that size.
        let got = unsafe {
            libc::getsockopt(
                self.stream.get_ref().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut cred).cast(),
                &raw mut len,
            )
        };
        (got == 0).then_some(Peer {
            pid: cred.pid,
            uid: cred.uid,
            gid: cred.gid,
        })
    }

    /// Send a request and wait for its reply; events before it are dropped,
    /// since what they tell can be asked for, too.
    pub(super) fn ask(&mut self, command: &str, request: &Value) -> Result<Value, MonitorError> {
        let line = format!("{request}\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(|error| self.broken(error.to_string()))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left)? {
                Some(message) if message.get("event").is_some() => {}
                Some(reply) => return Ok(reply),
                None => return Err(self.silent(&format!("answer to {command}"), ANSWER)),
            }
        }
    }

    /// Wait for an event about the object at `path`, or until the time is over.
    pub(super) fn wait_event(
        &mut self,
        event: &str,
        path: &str,
        time: Duration,
    ) -> Result<(), MonitorError> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(left)? {
                Some(message) if message["event"] == event && message["data"]["path"] == path => {
                    return Ok(());
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// The next message. `None`: not in this time.
    fn receive(&mut self, time: Duration) -> Result<Option<Value>, MonitorError> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let set = self.stream.get_ref().set_read_timeout(Some(left));
            set.map_err(|error| self.broken(error.to_string()))?;
            let room = MAX_LINE - self.line.len();
            let mut limited = (&mut self.stream).take(room as u64);
            match limited.read_until(b'\n', &mut self.line) {
                Ok(_) if self.line.ends_with(b"\n") => {
                    let message = serde_json::from_slice(&self.line);
                    self.line.clear();
                    return message
                        .map(Some)
                        .map_err(|error| self.broken(format!("it sends no JSON: {error}")));
                }
                Ok(_) if self.line.len() >= MAX_LINE => {
                    return Err(self.broken(format!("it sends more than {MAX_LINE} bytes a line")));
                }
                Ok(_) => return Err(self.broken("QEMU has ended, or has hung up".into())),
                Err(error) if is_time_out(&error) => {}
                Err(error) => return Err(self.broken(error.to_string())),
            }
        }
    }

    fn broken(&self, why: String) -> MonitorError {
        MonitorError::Broken {
            what: self.name(),
            why,
        }
    }

    fn silent(&self, expected: &str, waited: Duration) -> MonitorError {
        MonitorError::Silent {
            what: self.name(),
            expected: expected.to_owned(),
            waited,
        }
    }
}

fn is_time_out(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// What a monitor that says `lines`, one after each line it gets, makes of
    /// a command.
    fn answers(greeting: &'static str, lines: &'static [&str]) -> Result<Value, MonitorError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            let mut requests = BufReader::new(stream.try_clone().unwrap());
            for line in lines {
                requests.read_until(b'\n', &mut Vec::new()).unwrap();
                stream.write_all(line.as_bytes()).unwrap();
            }
        });
        let mut socket = Socket::connect(&path)?;
        let reply = socket.ask("x", &json!({ "execute": "x" }));
        server.join().unwrap();
        reply
    }

    const HELLO: &str = "{\"QMP\": {}}\n";
    const OK: &str = "{\"return\": {}}\n";

    #[test]
    fn attach_monitor_replies_are_found_among_events() {
        let reply = answers(HELLO, &[OK, "{\"event\": \"A\"}\n{\"return\": 5}\n"]).unwrap();
        assert_eq!(reply["return"], 5);
    }

    #[test]
    fn attach_monitor_that_is_none_is_told_of() {
        let why = |greeting, lines| answers(greeting, lines).unwrap_err().to_string();
        assert!(why("SSH-2.0\n", &[]).contains("no JSON"));
        assert!(why("{}\n", &[]).contains("not QEMU's"));
        assert!(why(HELLO, &[OK, "{\"ret"]).contains("ended"));
    }
}
