//! QEMU's monitor (QMP): over its socket, or through libvirt.

mod socket;
mod virsh;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use host_sink::escape::printable;
use serde_json::{Value, json};

pub use socket::Peer;
use socket::Socket;
use virsh::Virsh;

/// How often QEMU is asked where it cannot tell.
const POLL: Duration = Duration::from_millis(200);

/// Which monitor: one of them, or none.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "monitor", multiple = false)]
pub struct MonitorArgs {
    /// QMP socket of the VM's QEMU (-qmp unix:SOCKET,server=on,wait=off).
    #[arg(long, value_name = "SOCKET")]
    pub qmp: Option<PathBuf>,
    /// Domain of libvirt, which is asked with `virsh qemu-monitor-command`.
    #[arg(long, value_name = "DOMAIN")]
    pub libvirt: Option<String>,
}

/// A QEMU that can be asked.
#[derive(Debug)]
pub struct Monitor(Transport);

#[derive(Debug)]
enum Transport {
    Socket(Socket),
    Virsh(Virsh),
}

/// A QEMU that cannot be asked, or that says no.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// None was named.
    #[error("say which QEMU: --qmp SOCKET or --libvirt DOMAIN")]
    Unnamed,
    /// Nobody is there.
    #[error(
        "QMP socket {}: {source}; is it the socket of a QEMU that runs, and may you use it?",
        path.display()
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It stays silent.
    #[error(
        "{what}: no {expected} in {} s; does another program use this monitor? (QEMU serves one \
         client of a QMP socket at a time; a VM of libvirt is reached with --libvirt DOMAIN)",
        waited.as_secs()
    )]
    Silent {
        /// The monitor.
        what: String,
        /// What it should have said.
        expected: String,
        /// How long it had.
        waited: Duration,
    },
    /// It is no QEMU, or it ended.
    #[error("{what}: {why}")]
    Broken {
        /// The monitor.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// It refuses a command.
    #[error("QEMU refuses {command}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's class of the error.
        class: String,
        /// What QEMU says, escaped.
        description: String,
    },
}

impl MonitorArgs {
    /// Whether one was named.
    pub fn is_some(&self) -> bool {
        self.qmp.is_some() || self.libvirt.is_some()
    }
}

impl Monitor {
    /// Connect to the monitor that the user names.
    pub fn connect(args: &MonitorArgs) -> Result<Monitor, MonitorError> {
        Ok(Monitor(match (&args.qmp, &args.libvirt) {
            (Some(path), _) => Transport::Socket(Socket::connect(path)?),
            (None, Some(domain)) => Transport::Virsh(Virsh::new(domain)?),
            (None, None) => return Err(MonitorError::Unnamed),
        }))
    }

    /// Who is at the other end, if it can be known.
    pub fn peer(&self) -> Option<Peer> {
        match &self.0 {
            Transport::Socket(socket) => socket.peer(),
            Transport::Virsh(_) => None,
        }
    }

    /// Have a command executed; what it returns.
    pub fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, MonitorError> {
        let request = json!({ "execute": command, "arguments": arguments });
        let (what, mut reply) = match &mut self.0 {
            Transport::Socket(socket) => (socket.name(), socket.ask(command, &request)?),
            Transport::Virsh(virsh) => (virsh.name(), virsh.ask(&request)?),
        };
        if let Some(error) = reply.get("error") {
            let text = |key: &str| printable(error[key].as_str().unwrap_or("?").as_bytes());
            return Err(MonitorError::Refused {
                command: command.to_owned(),
                class: text("class"),
                description: text("desc"),
            });
        }
        match reply.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(MonitorError::Broken {
                what,
                why: format!("answers {command} with neither `return` nor `error`"),
            }),
        }
    }

    /// A property of an object of QEMU's. `None`: there is no such object or
    /// property.
    pub fn property(&mut self, path: &str, name: &str) -> Result<Option<Value>, MonitorError> {
        match self.ask("qom-get", json!({ "path": path, "property": name })) {
            Ok(value) => Ok(Some(value)),
            Err(MonitorError::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The children of an object: name and type. None of an object that is not
    /// there.
    pub fn children(&mut self, path: &str) -> Result<Vec<(String, String)>, MonitorError> {
        let list = match self.ask("qom-list", json!({ "path": path })) {
            Ok(list) => list,
            Err(MonitorError::Refused { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let child = |entry: &Value| {
            let kind = entry["type"].as_str()?.strip_prefix("child<")?;
            Some((
                entry["name"].as_str()?.to_owned(),
                kind.strip_suffix('>')?.to_owned(),
            ))
        };
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(entries.iter().filter_map(child).collect())
    }

    /// Wait until the device at `path`, which was asked to go, is gone.
    /// `false`: it is not by then.
    pub fn wait_deleted(&mut self, path: &str, time: Duration) -> Result<bool, MonitorError> {
        let deadline = Instant::now() + time;
        loop {
            // Its event may have come before this wait, or to nobody.
            if self.property(path, "type")?.is_none() {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(false);
            }
            match &mut self.0 {
                Transport::Socket(socket) => {
                    socket.wait_event("DEVICE_DELETED", path, deadline - now)?;
                }
                Transport::Virsh(_) => std::thread::sleep(POLL.min(deadline - now)),
            }
        }
    }
}
