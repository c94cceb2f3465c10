//! A client's connection, which never makes anybody wait.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::message::{MAX_REPLY, MAX_REQUEST, Reply};

/// A connection and what is on its way.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    // The last one that came with a request.
    file: Option<File>,
    eof: bool,
}

impl Connection {
    /// A connection whose calls return at once.
    pub fn new(stream: UnixStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            file: None,
            eof: false,
        })
    }

    /// Read what is there; returns the complete lines of it.
    pub fn read_lines(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut lines = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            let got = match self
                .stream
                .recv_with_fd(&mut chunk)
                .map_err(io::Error::from)
            {
                Ok((0, _)) => {
                    self.eof = true;
                    break;
                }
                Ok((got, file)) => {
                    self.file = file.or(self.file.take());
                    got
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for byte in &chunk[..got] {
                match byte {
                    b'\n' => lines.push(std::mem::take(&mut self.input)),
                    _ if self.input.len() == MAX_REQUEST => {
                        return Err(io::Error::other("a request of too many bytes"));
                    }
                    byte => self.input.push(*byte),
                }
            }
        }
        Ok(lines)
    }

    /// The file that came with a request.
    pub fn take_file(&mut self) -> Option<File> {
        self.file.take()
    }

    /// Whether the client will say no more.
    pub fn is_at_end(&self) -> bool {
        self.eof
    }

    /// Send a reply, as far as that is possible now.
    pub fn send(&mut self, reply: &Reply) -> io::Result<()> {
        let line = serde_json::to_vec(reply)?;
        if self.output.len() + line.len() >= MAX_REPLY {
            return Err(io::Error::other("a client that reads too slowly"));
        }
        self.output.extend(line);
        self.output.push(b'\n');
        self.flush()
    }

    /// Send more of what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => drop(self.output.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes that wait.
    pub fn waiting(&self) -> usize {
        self.output.len()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_connections_are_bounded() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(ours).unwrap();
        assert!(connection.read_lines().unwrap().is_empty());
        theirs.write_all(b"one\ntw").unwrap();
        assert_eq!(connection.read_lines().unwrap(), [b"one"]);
        theirs.write_all(b"o\n").unwrap();
        assert_eq!(connection.read_lines().unwrap(), [b"two"]);

        let reply = Reply::Lines {
            lines: vec!["x".repeat(1 << 20)],
            missed: 0,
            lost: 0,
        };
        let sent = (0..10)
            .take_while(|_| connection.send(&reply).is_ok())
            .count();
        assert!((3..6).contains(&sent), "{sent}");

        theirs.set_nonblocking(true).unwrap();
        let flood = std::thread::spawn(move || {
            theirs.set_nonblocking(false).unwrap();
            let _ = theirs.write_all(&[b'x'; MAX_REQUEST + 1]);
        });
        let error = loop {
            match connection.read_lines() {
                Ok(lines) => assert!(lines.is_empty()),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("too many bytes"));
        drop(connection);
        flood.join().unwrap();
    }
}
