//! The monitor of a VM of libvirt, which keeps QEMU's own to itself: each
//! command is a `virsh`.

use std::process::{Command, Stdio};

use host_sink::escape::printable;
use serde_json::Value;

use super::MonitorError;

/// A domain of libvirt.
#[derive(Debug)]
pub(super) struct Virsh {
    program: String,
    domain: String,
}

impl Virsh {
    pub(super) fn new(domain: &str) -> Result<Virsh, MonitorError> {
        let virsh = Virsh {
            program: "virsh".into(),
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
        let output = Command::new(&self.program)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    /// What a `virsh` that does this makes of a command.
    fn virsh(script: &str) -> Result<Value, MonitorError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("virsh");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let mut virsh = Virsh::new("web1")?;
        virsh.program = path.to_str().unwrap().into();
        virsh.ask(&json!({ "execute": "x" }))
    }

    #[test]
    fn attach_monitor_of_libvirt_answers_or_says_why_not() {
        let reply = virsh(r#"printf '{"return": "%s"}' "$2 $3""#).unwrap();
        assert_eq!(reply["return"], "qemu-monitor-command web1");
        let why = virsh(r"printf 'error: \033[2J no domain' >&2; exit 1").unwrap_err();
        assert!(why.to_string().contains(r"\x1b[2J no domain"), "{why}");
        assert!(Virsh::new("--help").is_err());
    }
}
