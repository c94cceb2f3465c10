//! One client that watches.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use crate::control::{Connection, Reply};

/// Bytes that may wait for a client; what comes then is missed.
const MAX_WAITING: usize = 2 << 20;
/// Lines of one message.
const PER_MESSAGE: usize = 1000;

/// An event as it is shown.
#[derive(Debug, Default)]
pub struct Line {
    /// As text.
    pub text: String,
    /// As JSON, if somebody wants that.
    pub json: String,
}

/// A client and what it has missed.
#[derive(Debug)]
pub struct Watcher {
    connection: Connection,
    json: bool,
    missed: u64,
    lost: u64,
    told: (u64, u64),
}

impl Watcher {
    /// A client that has just come.
    pub fn new(connection: Connection, json: bool) -> Watcher {
        Watcher {
            connection,
            json,
            missed: 0,
            lost: 0,
            told: (0, 0),
        }
    }

    /// Show it these lines, and tell it of what it cannot see.
    pub fn show(&mut self, lines: &[Line], missed: u64, lost: u64) -> io::Result<()> {
        self.missed += missed;
        self.lost += lost;
        for lines in lines.chunks(PER_MESSAGE) {
            if self.connection.waiting() > MAX_WAITING {
                self.missed += lines.len() as u64;
                continue;
            }
            let of = |line: &Line| {
                let text = if self.json { &line.json } else { &line.text };
                text.clone()
            };
            let lines = lines.iter().map(of).collect();
            self.send(lines)?;
        }
        self.tell()
    }

    /// Tell it of what it cannot see, if it does not know.
    fn tell(&mut self) -> io::Result<()> {
        if self.told != (self.missed, self.lost) && self.connection.waiting() <= MAX_WAITING {
            self.send(Vec::new())?;
        }
        Ok(())
    }

    fn send(&mut self, lines: Vec<String>) -> io::Result<()> {
        self.told = (self.missed, self.lost);
        self.connection.send(&Reply::Lines {
            lines,
            missed: self.missed,
            lost: self.lost,
        })
    }

    /// Send more of what waits; `false`: the client has gone.
    pub fn proceed(&mut self) -> io::Result<bool> {
        self.connection.flush()?;
        self.tell()?;
        // It has nothing to say any more.
        self.connection.read_lines()?;
        Ok(!self.connection.is_at_end())
    }

    /// Whether something waits to be sent.
    pub fn is_behind(&self) -> bool {
        self.connection.waiting() > 0
    }

    /// Whether it wants JSON.
    pub fn wants_json(&self) -> bool {
        self.json
    }
}

impl AsRawFd for Watcher {
    fn as_raw_fd(&self) -> RawFd {
        self.connection.as_raw_fd()
    }
}
