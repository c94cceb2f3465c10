//! The other end of a control socket: what the commands use.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::message::{Envelope, MAX_REPLY, MAX_REQUEST, Reply, Request, VERSION};
use crate::config::{RunDir, VmName};

/// What a VM loses when its `serve` goes away.
pub const DEAD_SERVE: &str = "without its serve a running VM goes on, but its trace device is dead: \
     the guest's driver gives it up, and it stays dead until the VM is started again or the device \
     is unplugged and plugged in";

/// A connection to a VM's `serve`.
#[derive(Debug)]
pub struct Client {
    vm: VmName,
    stream: BufReader<UnixStream>,
}

/// A `serve` that cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error(
        "VM {vm} is not served: there is no socket {path}; start it with `vhost-trace serve --vm \
         {vm} --sink ctf:DIR`, or set VHOST_TRACE_RUN_DIR to where its serve has its sockets"
    )]
    NotServed {
        /// The VM.
        vm: VmName,
        /// Where its socket would be.
        path: PathBuf,
    },
    /// It is gone.
    #[error("the serve of VM {vm} is gone without having ended properly: {DEAD_SERVE}")]
    Dead {
        /// The VM.
        vm: VmName,
    },
    /// The system says no.
    #[error("VM {vm}: control socket: {source}")]
    Io {
        /// The VM.
        vm: VmName,
        /// What the system says.
        source: io::Error,
    },
    /// It is more than a serve takes.
    #[error(
        "VM {vm}: a request of {bytes} bytes, at most {MAX_REQUEST} are possible: ask in parts"
    )]
    Large {
        /// The VM.
        vm: VmName,
        /// Of the request.
        bytes: usize,
    },
    /// It says something else than what was asked.
    #[error("VM {vm}: the serve answers something unexpected; is it of another version?")]
    Unexpected {
        /// The VM.
        vm: VmName,
    },
    /// It cannot do it.
    #[error("VM {vm}: {message}")]
    Refused {
        /// The VM.
        vm: VmName,
        /// Why.
        message: String,
    },
}

impl Client {
    /// Connect to the VM's `serve`.
    pub fn connect(run_dir: &RunDir, vm: &VmName) -> Result<Client, ClientError> {
        let path = run_dir.control(vm);
        let vm = vm.clone();
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Client {
                vm,
                stream: BufReader::new(stream),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(ClientError::NotServed { vm, path })
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(ClientError::Dead { vm })
            }
            Err(source) => Err(ClientError::Io { vm, source }),
        }
    }

    /// Ask, and wait for the answer.
    pub fn ask(&mut self, request: Request) -> Result<Reply, ClientError> {
        self.send(request)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Reply, ClientError> {
        self.receive()?.ok_or_else(|| ClientError::Dead {
            vm: self.vm.clone(),
        })
    }

    /// The same, about a file.
    pub fn ask_with(&mut self, request: Request, file: &File) -> Result<Reply, ClientError> {
        let line = self.line(request)?;
        let sent = self
            .stream
            .get_ref()
            .send_with_fd(&line[..], file.as_raw_fd());
        let sent = sent.map_err(|error| self.io(error.into()))?;
        let rest = self.stream.get_mut().write_all(&line[sent..]);
        rest.map_err(|error| self.io(error))?;
        self.answer()
    }

    /// Ask for something that has many answers.
    pub fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let line = self.line(request)?;
        let sent = self.stream.get_mut().write_all(&line);
        sent.map_err(|error| self.io(error))
    }

    fn line(&self, request: Request) -> Result<Vec<u8>, ClientError> {
        let envelope = Envelope {
            version: VERSION,
            request,
        };
        let mut line = serde_json::to_vec(&envelope).map_err(|error| self.io(error.into()))?;
        if line.len() > MAX_REQUEST {
            return Err(ClientError::Large {
                vm: self.vm.clone(),
                bytes: line.len(),
            });
        }
        line.push(b'\n');
        Ok(line)
    }

    /// The next answer. `None`: there are no more.
    pub fn receive(&mut self) -> Result<Option<Reply>, ClientError> {
        let mut line = Vec::new();
        let mut limited = (&mut self.stream).take(MAX_REPLY as u64);
        let got = limited.read_until(b'\n', &mut line);
        if got.map_err(|error| self.io(error))? == 0 {
            return Ok(None);
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Error { message }) => Err(ClientError::Refused {
                vm: self.vm.clone(),
                message,
            }),
            Ok(reply) => Ok(Some(reply)),
            Err(_) => Err(self.unexpected()),
        }
    }

    /// What was received makes no sense.
    pub fn unexpected(&self) -> ClientError {
        ClientError::Unexpected {
            vm: self.vm.clone(),
        }
    }

    fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io {
            vm: self.vm.clone(),
            source,
        }
    }
}
