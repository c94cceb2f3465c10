//! What travels over a control socket: a JSON object a line, requests one way
//! and replies the other.

use serde::{Deserialize, Serialize};

use super::module::ModuleWish;
use super::status::Status;

/// Of the protocol; both sides must have the same.
pub const VERSION: u32 = 1;

/// Bytes of a request's line, at most.
pub const MAX_REQUEST: usize = 64 << 10;

/// Bytes of a reply's line, at most: the status of a few hundred vCPUs.
pub const MAX_REPLY: usize = 4 << 20;

/// A request with the version of who sends it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`].
    pub version: u32,
    /// What is wanted.
    #[serde(flatten)]
    pub request: Request,
}

/// What a client wants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// How the VM and its sinks are doing.
    Status,
    /// Which events there are.
    Events,
    /// Other events than until now; first the ones to disable.
    Change {
        /// Patterns of events, each with ` if ` and a filter, or without.
        enable: Vec<String>,
        /// Patterns of events.
        disable: Vec<String>,
    },
    /// Something about probe definitions.
    Probe {
        /// What.
        action: ProbeAction,
    },
    /// Events as they come, until the client leaves.
    Live {
        /// As JSON objects instead of text.
        json: bool,
    },
    /// A module of the guest's kernel.
    Module(ModuleWish),
    /// Some events, as soon as they come, until the client leaves.
    Watch {
        /// Patterns of events, each with ` if ` and a filter, or without.
        on: Vec<String>,
    },
    /// End, after everything is read and written.
    Stop,
}

/// What a client gets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// It cannot be done.
    Error {
        /// What was wrong, and what to do.
        message: String,
    },
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Events`].
    Events {
        /// What the user wants: `+pattern`, `+pattern if filter` and
        /// `-pattern`, the last counts.
        rules: Vec<String>,
        /// All events that the guest has told of.
        events: Vec<Event>,
    },
    /// To [`Request::Change`].
    Changed {
        /// Events that are enabled now.
        enabled: usize,
        /// Patterns that are no event's.
        unmatched: Vec<String>,
        /// There is no driver: it will be asked when it starts.
        remembered: bool,
        /// What the driver could not do.
        errors: Vec<String>,
    },
    /// To [`Request::Probe`].
    Probes {
        /// Those that it was about.
        probes: Vec<Probe>,
        /// There is no driver: it will be told when it starts.
        remembered: bool,
        /// What the driver could not do.
        errors: Vec<String>,
    },
    /// To [`Request::Live`]: more lines, again and again.
    /// To [`Request::Watch`], whenever that changes.
    Watch {
        /// Events at which the guest wakes us; none: it is not there, or does
        /// not have them yet.
        events: Vec<String>,
    },
    /// To [`Request::Live`]: more lines, again and again. To [`Request::Watch`]:
    /// JSON objects.
    Lines {
        /// Events, a line each.
        lines: Vec<String>,
        /// Events that this client, or the serve, was too slow for; until now.
        missed: u64,
        /// Events that the guest itself has lost since the client came.
        lost: u64,
    },
    /// To [`Request::Module`].
    Modules {
        /// The one that was loaded or unloaded; all that there are.
        names: Vec<String>,
    },
    /// To [`Request::Stop`].
    Stopping,
}

/// What is to be done about probe definitions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeAction {
    /// Add these, all or none.
    Add(Vec<NewProbe>),
    /// Delete those of these names.
    Delete(Vec<String>),
    /// Delete those of this set.
    DeleteSet(String),
    /// Say which there are, and what they have counted.
    List,
}

/// A definition that is to be added.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewProbe {
    /// Its text.
    pub define: String,
    /// Events in a second and of a vCPU; 0: any number.
    pub rate: u32,
    /// The set that it is of.
    pub set: Option<String>,
}

/// A definition that there is, or was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// Its text.
    pub define: String,
    /// Events in a second and of a vCPU; 0: any number.
    pub rate: u32,
    /// The set that it is of.
    pub set: Option<String>,
    /// Whether it is in the guest, and if not, why not; escaped.
    pub state: String,
    /// What the guest's driver has counted, escaped; nothing: it was not asked.
    pub counts: String,
}

/// An event of a guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Whether the driver was asked to enable it.
    pub enabled: bool,
    /// Which of them are recorded, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_messages_are_json() {
        let envelope = Envelope {
            version: VERSION,
            request: Request::Change {
                enable: vec!["sched_*".into()],
                disable: vec![],
            },
        };
        let text = serde_json::to_string(&envelope).unwrap();
        assert_eq!(
            text,
            r#"{"version":1,"request":"change","enable":["sched_*"],"disable":[]}"#
        );
        assert!(serde_json::from_str::<Envelope>(&text).is_ok());
        assert!(serde_json::from_str::<Envelope>(r#"{"version":1,"request":"fly"}"#).is_err());
    }
}
