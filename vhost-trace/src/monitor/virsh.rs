//! The monitor of a VM of libvirt, which keeps QEMU's own to itself: each
//! command is a `virsh`.

use std::process::{Command, Stdio};

use host_sink::escape::printable;
use serde_json::Value;

use super::MonitorError;

/// A domain of libvirt.
#[derive(Debug)]
pub(super) struct Virsh {
    program: &'static str,
    domain: String,
}

impl Virsh {
    pub(super) fn new(domain: &str) -> Result<Virsh, MonitorError> {
        let virsh = Virsh {
            program: "virsh",
            domain: domain.to_owned(),
        };
        // virsh would take it for an option.
        if domain.is_empty() || domain.starts_with('-') {
            return Err(virsh.broken("no domain has such a name".into()));
        }
        Ok(virsh)
    }

    pub(super) fn name(&self) -> String {
        format!("libvirt domain {}", printable(self.domain.as_bytes()))
    }

    /// Have libvirt ask, and return QEMU's whole answer.
    pub(super) fn ask(&self, request: &Value) -> Result<Value, MonitorError> {
        let output = Command::new(self.program)
            .args(["--quiet", "qemu-monitor-command", &self.domain])
            .arg(request.to_string())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.broken(format!("cannot run {}: {error}", self.program)))?;
        if let Ok(reply) = serde_json::from_slice(&output.stdout) {
            return Ok(reply);
        }
        Err(self.broken(format!(
            "virsh: {}: {}",
            output.status,
            printable(output.stderr.trim_ascii())
        )))
    }

    fn broken(&self, why: String) -> MonitorError {
        MonitorError::Broken {
            what: self.name(),
            why,
        }
    }
}
