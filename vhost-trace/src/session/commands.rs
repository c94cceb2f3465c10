//! Commands to the driver: numbered, bounded in number, answered in time or
//! given up.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use vm_memory::ByteValued;

use crate::filter::Program;
use crate::wire;

/// Most commands that the driver has at a time.
pub const MAX_IN_FLIGHT: usize = 100;
/// Most commands that wait for the driver's buffers.
const MAX_WAITING: usize = 1024;
/// Most commands without an answer, beyond which no user's is taken. What the
/// device itself has to say, it may still say.
pub const MAX_UNANSWERED: usize = 100;
/// How long a command may take, its waiting included.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The same for one that loads or unloads a module, whose own code is executed.
pub const MODULE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a file that one command has room for.
pub const PIECE: usize = wire::CMD_BYTES - size_of::<wire::Cmd>() - size_of::<wire::Upload>();

/// Ids that one command has room for.
const IDS: usize = (wire::CMD_BYTES - size_of::<wire::Cmd>()) / size_of::<u16>();

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Acknowledge this epoch.
    Epoch(u64),
    /// Enable these events.
    Enable(Vec<u16>),
    /// Disable these events.
    Disable(Vec<u16>),
    /// Enable these events, as far as they pass.
    Filter(Program, Vec<u16>),
    /// Dump the state of all processes.
    StateDump,
    /// Send the schema again.
    Schema,
    /// Keep a piece of a file, at most [`PIECE`] bytes.
    Upload {
        /// Which one.
        head: wire::Upload,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Forget this file.
    UploadCancel(u32),
    /// Load a module.
    ModuleLoad {
        /// The file.
        blob: u32,
        /// The module's parameters.
        parameters: String,
    },
    /// Unload the module of this name.
    ModuleUnload(String),
    /// Say which modules are loaded, from this number on.
    ModuleList(u32),
    /// Add the probe definition of this payload.
    ProbeAdd(Vec<u8>),
    /// Delete the probe definition of this name.
    ProbeDel(String),
    /// Say what the probe definition of this name has counted.
    ProbeCounts(String),
}

impl Command {
    /// As many commands as are needed for any number of ids.
    pub fn enable(ids: &[u16]) -> impl Iterator<Item = Command> {
        ids.chunks(IDS).map(|ids| Command::Enable(ids.to_vec()))
    }

    /// As many commands as are needed for any number of ids.
    pub fn disable(ids: &[u16]) -> impl Iterator<Item = Command> {
        ids.chunks(IDS).map(|ids| Command::Disable(ids.to_vec()))
    }

    /// As many commands as are needed for any number of ids.
    pub fn filter(program: &Program, ids: &[u16]) -> impl Iterator<Item = Command> {
        ids.chunks(program.max_ids())
            .map(|ids| Command::Filter(program.clone(), ids.to_vec()))
    }

    /// How long it may take, its waiting included.
    pub fn timeout(&self) -> Duration {
        match self {
            Command::ModuleLoad { .. } | Command::ModuleUnload(_) => MODULE_TIMEOUT,
            _ => TIMEOUT,
        }
    }

    /// The events that it is of.
    pub fn ids(&self) -> &[u16] {
        match self {
            Command::Enable(ids) | Command::Disable(ids) | Command::Filter(_, ids) => ids,
            _ => &[],
        }
    }

    /// What the driver gets.
    fn bytes(&self, seq: u32) -> Vec<u8> {
        let ids = |ids: &[u16]| ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        let (kind, payload): (u32, Vec<u8>) = match self {
            Command::Epoch(epoch) => (wire::cmd::EPOCH, epoch.to_le_bytes().to_vec()),
            Command::Enable(list) => (wire::cmd::ENABLE, ids(list)),
            Command::Disable(list) => (wire::cmd::DISABLE, ids(list)),
            Command::Filter(program, list) => (wire::cmd::FILTER, program.payload(list)),
            Command::StateDump => (wire::cmd::STATEDUMP, Vec::new()),
            Command::Schema => (wire::cmd::SCHEMA, Vec::new()),
            Command::Upload { head, bytes } => {
                (wire::cmd::UPLOAD, [head.as_slice(), bytes].concat())
            }
            Command::UploadCancel(blob) => (wire::cmd::UPLOAD_CANCEL, of_blob(*blob, b"")),
            Command::ModuleLoad { blob, parameters } => (
                wire::cmd::MODULE_LOAD,
                of_blob(*blob, parameters.as_bytes()),
            ),
            Command::ModuleUnload(name) => (wire::cmd::MODULE_UNLOAD, name.as_bytes().to_vec()),
            Command::ModuleList(first) => {
                let list = wire::ModuleList {
                    first: *first,
                    reserved: 0,
                };
                (wire::cmd::MODULE_LIST, list.as_slice().to_vec())
            }
            Command::ProbeAdd(payload) => (wire::cmd::PROBE_ADD, payload.clone()),
            Command::ProbeDel(name) => (wire::cmd::PROBE_DEL, name.clone().into()),
            Command::ProbeCounts(name) => (wire::cmd::PROBE_COUNTS, name.clone().into()),
        };
        let head = wire::Cmd {
            kind,
            seq,
            len: payload.len() as u32,
            reserved: 0,
        };
        [head.as_slice(), &payload].concat()
    }
}

fn of_blob(blob: u32, more: &[u8]) -> Vec<u8> {
    let head = wire::Blob { blob, reserved: 0 };
    [head.as_slice(), more].concat()
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The driver did it.
    Done,
    /// The driver could not: its errno, its text.
    Failed(u32, String),
    /// No answer in time.
    TimedOut,
    /// The driver went away.
    Gone,
}

/// The result of one command.
#[derive(Clone, Debug)]
pub struct CommandResult {
    /// Which one.
    pub seq: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// What the driver said of it when it was done: its lines, escaped.
    pub said: Vec<String>,
}

/// Too many commands wait already.
#[derive(Debug, thiserror::Error)]
#[error("busy: too many commands already wait for the guest's driver; try again")]
pub struct Busy;

#[derive(Debug)]
struct Waiting {
    seq: u32,
    command: Command,
    deadline: Instant,
}

/// All commands that have no result yet.
#[derive(Debug, Default)]
pub struct Commands {
    last_seq: u32,
    waiting: VecDeque<Waiting>,
    sent: BTreeMap<u32, Instant>,
}

impl Commands {
    /// Whether one more of a user's may be queued.
    pub fn admit(&self) -> Result<(), Busy> {
        if self.waiting.len() + self.sent.len() >= MAX_UNANSWERED {
            return Err(Busy);
        }
        Ok(())
    }

    /// Queue a command; returns its number.
    pub fn push(&mut self, command: Command) -> Result<u32, Busy> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(Busy);
        }
        // 0 is never a command's number.
        self.last_seq = self.last_seq.checked_add(1).unwrap_or(1);
        self.waiting.push_back(Waiting {
            seq: self.last_seq,
            deadline: Instant::now() + command.timeout(),
            command,
        });
        Ok(self.last_seq)
    }

    /// The next command that may be sent, as bytes; [`Commands::sent`] says
    /// that it was.
    pub fn next(&self) -> Option<Vec<u8>> {
        let next = self.waiting.front()?;
        (self.sent.len() < MAX_IN_FLIGHT).then(|| next.command.bytes(next.seq))
    }

    /// The command that [`Commands::next`] returned is with the driver.
    pub fn sent(&mut self) {
        if let Some(next) = self.waiting.pop_front() {
            self.sent.insert(next.seq, next.deadline);
        }
    }

    /// The driver has answered; `false`: there is no such command.
    pub fn done(&mut self, seq: u32) -> bool {
        self.sent.remove(&seq).is_some()
    }

    /// Give up what is due.
    pub fn expire(&mut self, now: Instant) -> Vec<u32> {
        let mut due: Vec<_> = self
            .sent
            .extract_if(.., |_, deadline| *deadline <= now)
            .map(|(seq, _)| seq)
            .collect();
        self.waiting.retain(|waiting| {
            let stays = waiting.deadline > now;
            if !stays {
                due.push(waiting.seq);
            }
            stays
        });
        due
    }

    /// Give up all.
    pub fn clear(&mut self) -> Vec<u32> {
        let sent = std::mem::take(&mut self.sent).into_keys();
        sent.chain(self.waiting.drain(..).map(|waiting| waiting.seq))
            .collect()
    }

    /// Whether none is without a result.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_commands_are_numbered_and_bounded() {
        let mut commands = Commands::default();
        for expected in 1..=MAX_WAITING as u32 {
            assert_eq!(commands.push(Command::StateDump).unwrap(), expected);
        }
        assert!(commands.push(Command::StateDump).is_err());
        let mut sent = 0;
        while commands.next().is_some() {
            commands.sent();
            sent += 1;
        }
        assert_eq!(sent, MAX_IN_FLIGHT);
        assert!(commands.done(1));
        assert!(!commands.done(1));
        assert!(!commands.done(5000));
        assert!(commands.next().is_some());
        assert_eq!(commands.clear().len(), MAX_WAITING - 1);
        assert!(commands.is_empty());
    }

    #[test]
    fn serve_commands_time_out() {
        let mut commands = Commands::default();
        commands.push(Command::Enable(vec![1])).unwrap();
        commands.sent();
        commands.push(Command::StateDump).unwrap();
        assert!(commands.expire(Instant::now()).is_empty());
        assert_eq!(commands.expire(Instant::now() + TIMEOUT), [1, 2]);
        assert!(commands.is_empty());
    }

    #[test]
    fn probe_module_commands_have_deadlines_of_their_own() {
        let mut commands = Commands::default();
        commands.push(Command::ModuleUnload("a".into())).unwrap();
        commands.push(Command::StateDump).unwrap();
        commands.push(Command::ModuleUnload("b".into())).unwrap();
        commands.sent();
        let now = Instant::now();
        assert_eq!(commands.expire(now + TIMEOUT), [2]);
        assert_eq!(commands.expire(now + MODULE_TIMEOUT), [1, 3]);
    }

    #[test]
    fn probe_module_users_are_told_that_the_guest_is_busy() {
        let mut commands = Commands::default();
        for _ in 0..MAX_UNANSWERED {
            commands.admit().unwrap();
            commands.push(Command::StateDump).unwrap();
            commands.sent();
        }
        let error = commands.admit().unwrap_err();
        assert!(error.to_string().contains("busy"));
        // The device's own.
        commands.push(Command::Epoch(2)).unwrap();
        assert!(commands.done(1) && commands.done(2));
        commands.admit().unwrap();
    }

    #[test]
    fn probe_module_pieces_fit_their_buffers() {
        let piece = Command::Upload {
            head: wire::Upload {
                blob: 1,
                offset: 2,
                total: 3,
                reserved: 0,
            },
            bytes: vec![7; PIECE],
        };
        let bytes = piece.bytes(9);
        assert_eq!(bytes.len(), wire::CMD_BYTES);
        assert_eq!(
            bytes[16..33],
            [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7]
        );
        let load = Command::ModuleLoad {
            blob: 5,
            parameters: "x=1".into(),
        };
        assert_eq!(load.bytes(1)[16..], *b"\x05\0\0\0\0\0\0\0x=1");
    }

    #[test]
    fn serve_commands_fit_their_buffers() {
        let ids: Vec<u16> = (0..8192).collect();
        let mut seen = 0;
        for command in Command::enable(&ids) {
            assert!(command.bytes(1).len() <= wire::CMD_BYTES);
            if let Command::Enable(ids) = command {
                seen += ids.len();
            }
        }
        assert_eq!(seen, ids.len());
        assert_eq!(
            Command::Disable(vec![0x0102, 3]).bytes(7),
            [3, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3, 0]
        );
        assert_eq!(Command::enable(&[]).count(), 0);
    }
}
