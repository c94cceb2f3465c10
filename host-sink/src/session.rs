//! What one run of a guest's driver is called, and what its clock means.

use std::time::SystemTime;

/// The guest behind the packets that follow, from one HELLO to the next.
///
/// Strings are as the guest gave them: bounded by the request that carried
/// them, not yet escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Name of the VM on this host; validated by the command line.
    pub vm: String,
    /// The guest kernel's boot id; the identity of its clock.
    pub boot_id: [u8; 16],
    /// The epoch that this session's HELLO began.
    pub epoch: u64,
    /// `utsname.release` of the guest.
    pub release: String,
    /// `utsname.version` of the guest.
    pub version: String,
    /// `utsname.nodename` of the guest.
    pub nodename: String,
    /// `CLOCK_REALTIME` minus the trace clock, nanoseconds.
    pub clock_offset: u64,
    /// Wall clock of this host when the session began; names its directory.
    pub started: SystemTime,
    /// Further facts for the trace's environment, such as the clock's error
    /// bound; names must be identifiers of the host's own choice.
    pub env: Vec<(String, EnvValue)>,
}

/// Value of an environment field of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// A signed integer.
    Integer(i64),
    /// A string, escaped when it is written.
    Text(String),
}
