//! How a VM is doing, for people and for programs.

use serde::{Deserialize, Serialize};

use crate::drain::DrainStatus;
use crate::wire;

/// All there is to say about a VM.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Name of the VM.
    pub vm: String,
    /// The process that serves it.
    pub pid: u32,
    /// Since when, in seconds.
    pub uptime: u64,
    /// Socket that the front end connects to.
    pub socket: String,
    /// Virtio id of the device.
    pub virtio_id: u32,
    /// Whether a front end is connected.
    pub front_end: bool,
    /// The guest's driver, if it is there.
    pub driver: Option<DriverStatus>,
    /// Rules of enabled events: `+pattern`, `+pattern if filter`, `-pattern`.
    pub rules: Vec<String>,
    /// Doorbell kicks that were received.
    pub kicks: u64,
    /// Requests that were refused, and other things a driver does wrong.
    pub complaints: u64,
    /// Streams and sinks.
    #[serde(flatten)]
    pub drain: DrainStatus,
}

/// A guest's driver.
#[derive(Debug, Serialize, Deserialize)]
pub struct DriverStatus {
    /// `live`, `stopped`, or `asked`: to acknowledge a new epoch.
    pub phase: String,
    /// Its epoch.
    pub epoch: u64,
    /// Version of the driver.
    pub version: u32,
    /// The guest's kernel, escaped.
    pub kernel: String,
    /// The guest's name of itself, escaped.
    pub nodename: String,
    /// vCPUs that the guest may have.
    pub vcpus: u32,
    /// Events in its schema.
    pub events: usize,
    /// How many of them it was asked to enable.
    pub enabled: usize,
    /// Events of vCPUs that have no ring, as the guest counts them.
    pub lost_no_ring: u64,
    /// Why events stay off that have a filter which they cannot have.
    pub unfit: Vec<String>,
    /// Contexts that events were to carry and the guest does not have.
    pub contexts_missing: Vec<String>,
    /// What its administrator allows this host, if it has said so.
    pub policy: Option<Policy>,
}

/// What a guest's administrator allows its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Classes of commands: `native`, `probes`, `modules`.
    pub allow: Vec<String>,
    /// Bytes that a file may have which is sent to the guest.
    pub upload_limit: u64,
}

impl Policy {
    /// What a driver says; classes that nobody knows are none.
    pub fn new(policy: &wire::Policy) -> Policy {
        let classes = [
            (wire::allow::NATIVE, "native"),
            (wire::allow::PROBES, "probes"),
            (wire::allow::MODULES, "modules"),
        ];
        let allow = classes.iter().filter(|(bit, _)| policy.allow & bit != 0);
        Policy {
            allow: allow.map(|(_, name)| (*name).to_owned()).collect(),
            upload_limit: policy.upload_limit,
        }
    }
}
