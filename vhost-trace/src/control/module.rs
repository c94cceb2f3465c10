//! A client's wish for a module of the guest's kernel, on its way through the
//! guest.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::message::Reply;
use super::pending::Pending;
use crate::session::commands::{Command, CommandResult, Outcome, PIECE};
use crate::session::uploads::NoUpload;
use crate::vm::Vm;
use crate::wire;

/// Pieces that are on their way at a time: others' commands get through, and the
/// driver always has one more.
const AT_ONCE: usize = 4;
/// What one command has room for, with its head.
const MAX_PARAMETERS: usize = PIECE;

/// Names that a guest may tell of: no driver keeps as many.
const MAX_NAMES: usize = 4096;

/// What is wanted of modules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum ModuleWish {
    /// Load the module in the file that comes with the request: one in memory,
    /// sealed, so that reading it waits for no disk and for no other process.
    Load {
        /// Its parameters, as in `modprobe`.
        parameters: String,
    },
    /// Unload a module.
    Unload {
        /// Its name.
        name: String,
    },
    /// Say which ones are loaded.
    List,
}

/// A wish whose commands have not all been answered.
#[derive(Debug)]
pub struct Wish {
    open: BTreeSet<u32>,
    stage: Stage,
    // What came of it, when it is known.
    end: Option<Result<Vec<String>, Failure>>,
}

#[derive(Debug)]
enum Stage {
    /// A file is on its way.
    Sending(Sending),
    /// The guest does it.
    Loading { blob: u32 },
    /// The guest does it.
    Unloading,
    /// The guest has told these names.
    Listing(Vec<String>),
}

#[derive(Debug)]
struct Sending {
    file: File,
    blob: u32,
    total: u32,
    next: u32,
    parameters: String,
}

#[derive(Clone, Debug)]
enum Failure {
    Guest(u32, String),
    Host(String),
    TimedOut,
    Gone,
}

impl Wish {
    /// Begin with it; `file` is what came with the request.
    pub fn start(vm: &Vm, wish: ModuleWish, file: Option<File>) -> Result<Wish, String> {
        let (stage, first) = match wish {
            ModuleWish::Load { parameters } => {
                if parameters.len() > MAX_PARAMETERS || parameters.contains('\0') {
                    return Err(format!(
                        "parameters of {} bytes: there may be {MAX_PARAMETERS}, and no NUL",
                        parameters.len()
                    ));
                }
                let file = file.ok_or("no file came with the request")?;
                (Stage::Sending(Sending::start(vm, file, parameters)?), None)
            }
            ModuleWish::Unload { name } => {
                let good = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
                if !(1..56).contains(&name.len()) || !name.chars().all(good) {
                    return Err("that is no module's name".into());
                }
                // As the kernel has it.
                let name = name.replace('-', "_");
                (Stage::Unloading, Some(Command::ModuleUnload(name)))
            }
            ModuleWish::List => (Stage::Listing(Vec::new()), Some(Command::ModuleList(0))),
        };
        let mut wish = Wish {
            open: BTreeSet::new(),
            stage,
            end: None,
        };
        if let Some(command) = first {
            vm.with_session(|session| {
                let able = session.can_load_modules();
                able.map_err(|error| error.to_string())?;
                let admitted = session.commands().admit();
                admitted.map_err(|busy| busy.to_string())
            })?;
            wish.send(vm, command);
        }
        Ok(wish)
    }

    fn send(&mut self, vm: &Vm, command: Command) {
        match vm.with_session(|session| session.commands().push(command)) {
            Ok(seq) => {
                self.open.insert(seq);
            }
            Err(busy) => self.fail(Failure::Host(busy.to_string())),
        }
        vm.queues().wake();
    }

    fn fail(&mut self, failure: Failure) {
        // The first one says why.
        if self.end.is_none() {
            self.end = Some(Err(failure));
        }
    }

    /// What can be done now.
    fn go_on(&mut self, vm: &Vm) {
        while self.end.is_none() && self.open.len() < AT_ONCE {
            let Stage::Sending(sending) = &mut self.stage else {
                return;
            };
            let blob = sending.blob;
            let command = match sending.piece() {
                Ok(Some(piece)) => piece,
                Ok(None) if !self.open.is_empty() => return,
                Ok(None) => {
                    let parameters = std::mem::take(&mut sending.parameters);
                    self.stage = Stage::Loading { blob };
                    Command::ModuleLoad { blob, parameters }
                }
                Err(error) => {
                    self.fail(Failure::Host(format!("reading the file: {error}")));
                    return;
                }
            };
            self.send(vm, command);
        }
    }

    fn blob(&self) -> Option<u32> {
        match &self.stage {
            Stage::Sending(sending) => Some(sending.blob),
            Stage::Loading { blob } => Some(*blob),
            Stage::Unloading | Stage::Listing(_) => None,
        }
    }

    /// Let others send their files. The driver, if it is `there`, may still
    /// wait for the rest of this one.
    fn release(&self, vm: &Vm, there: bool) {
        let Some(blob) = self.blob() else {
            return;
        };
        let give_up = there && matches!(self.stage, Stage::Sending(_));
        vm.with_session(|session| session.end_upload(blob, give_up));
        vm.queues().wake();
    }
}

impl Pending for Wish {
    fn note(&mut self, result: &CommandResult) {
        if !self.open.remove(&result.seq) {
            return;
        }
        match &result.outcome {
            Outcome::Failed(errno, text) => self.fail(Failure::Guest(*errno, text.clone())),
            Outcome::TimedOut => self.fail(Failure::TimedOut),
            Outcome::Gone => self.fail(Failure::Gone),
            Outcome::Done => match &mut self.stage {
                Stage::Sending(_) => {}
                Stage::Loading { .. } | Stage::Unloading => {
                    self.end = Some(Ok(result.said.clone()))
                }
                Stage::Listing(names) if result.said.is_empty() || names.len() > MAX_NAMES => {
                    self.end = Some(Ok(std::mem::take(names)));
                }
                Stage::Listing(names) => names.extend(result.said.iter().cloned()),
            },
        }
    }

    fn reply(&mut self, vm: &Vm) -> Option<Reply> {
        if let Stage::Listing(names) = &self.stage
            && self.open.is_empty()
            && self.end.is_none()
        {
            let next = Command::ModuleList(names.len() as u32);
            self.send(vm, next);
        }
        self.go_on(vm);
        let end = self.end.take()?;
        // Another driver than that one may be there by now.
        self.release(vm, !matches!(end, Err(Failure::Gone)));
        Some(match end {
            Ok(names) => Reply::Modules { names },
            Err(failure) => Reply::Error {
                message: self.explain(vm, &failure),
            },
        })
    }

    fn cancel(&mut self, vm: &Vm) {
        self.release(vm, true);
    }
}

impl Sending {
    fn start(vm: &Vm, file: File, parameters: String) -> Result<Sending, String> {
        // SAFETY: the call reads the file's seals and touches no memory.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        let wanted = libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE;
        if seals < 0 || seals & wanted != wanted {
            return Err("the file that came with the request is not sealed memory".into());
        }
        let bytes = file.metadata().map_err(|error| error.to_string())?.len();
        let blob = vm.with_session(|session| {
            let admitted = session.commands().admit();
            admitted.map_err(|busy| busy.to_string())?;
            let blob = session.begin_upload(bytes);
            blob.map_err(|error: NoUpload| error.to_string())
        })?;
        Ok(Sending {
            file,
            blob,
            // A file that a guest takes is far smaller.
            total: bytes as u32,
            next: 0,
            parameters,
        })
    }

    fn piece(&mut self) -> std::io::Result<Option<Command>> {
        if self.next == self.total {
            return Ok(None);
        }
        let mut bytes = vec![0; PIECE.min((self.total - self.next) as usize)];
        self.file.read_exact_at(&mut bytes, u64::from(self.next))?;
        let head = wire::Upload {
            blob: self.blob,
            offset: self.next,
            total: self.total,
            reserved: 0,
        };
        self.next += bytes.len() as u32;
        Ok(Some(Command::Upload { head, bytes }))
    }
}

impl Wish {
    /// What went wrong, and what to do.
    fn explain(&self, vm: &Vm, failure: &Failure) -> String {
        match failure {
            Failure::Host(what) => what.clone(),
            Failure::Gone => "the guest's driver has gone away: did the guest crash or restart? \
                              `vhost-trace status` shows whether it is back"
                .into(),
            Failure::TimedOut => "the guest's driver has not answered in time: is the guest \
                                  paused, did it crash, or does code of the module hang? Others \
                                  are refused until that has ended"
                .into(),
            Failure::Guest(errno, text) => {
                let advice = self.advice(vm, *errno, text);
                let what = if text.is_empty() {
                    "it says no more"
                } else {
                    text
                };
                format!("the guest refuses: {what} (errno {errno}){advice}")
            }
        }
    }

    fn advice(&self, vm: &Vm, errno: u32, text: &str) -> String {
        let release = vm.with_session(|session| session.driver_status().map(|it| it.kernel));
        let release = release.unwrap_or_default();
        let loading = self.blob().is_some();
        let what = match errno as i32 {
            libc::EINVAL if text.contains("for parameter") => {
                "`modinfo` shows its parameters".into()
            }
            libc::ENOEXEC | libc::ENOENT | libc::EINVAL if loading => format!(
                "build it for this guest: vhost-trace probe build --headers \
                 /lib/modules/{release}/build SOURCE"
            ),
            libc::ENOENT => "`vhost-trace probe list` shows what can be unloaded".into(),
            libc::EKEYREJECTED | libc::ENOKEY => {
                "sign it with a key that the guest knows (docs/guest-driver.md)".into()
            }
            libc::EPERM => "the guest's administrator decides (docs/probes.md)".into(),
            libc::EEXIST => "unload it first: vhost-trace probe unload".into(),
            libc::EBUSY | libc::EAGAIN => "try again when that has ended".into(),
            _ => return String::new(),
        };
        format!("; {what}")
    }
}
