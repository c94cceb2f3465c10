//! What a QEMU has, and what it bears.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its name before QEMU 11, when users could not create it.
const OLD_DEVICE: &str = "vhost-user-device-pci";

/// Whether a virtio id can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdState {
    /// QEMU takes it, and Linux has no driver that would take the device.
    Free,
    /// Linux has a driver of its own for it.
    Taken,
    /// QEMU aborts.
    Aborts,
}

/// Accepted by QEMU 11.1, and without a driver in Linux 6.12 and 7.3.
pub const FREE_IDS: [u32; 12] = [6, 10, 13, 21, 22, 28, 30, 31, 35, 37, 38, 39];

/// Whether `id` can be used: QEMU 11.1 aborts on ids that it has no name for.
pub fn id_state(id: u32) -> IdState {
    match id {
        _ if FREE_IDS.contains(&id) => IdState::Free,
        0 | 14 | 15 | 42..=44 | 46.. => IdState::Aborts,
        _ => IdState::Taken,
    }
}

/// A QEMU that cannot have the device.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It does not run.
    #[error("{}: {source}; say which QEMU it is with --qemu PATH", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It says that it cannot list its devices.
    #[error("{} -device help: {status}: {stderr}", path.display())]
    Failed {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// It has none.
    #[error(
        "{} has no {device}: QEMU 11.1 or later is needed{}", path.display(),
        if *.old { ", in this one users cannot create its predecessor" } else { "" }
    )]
    NoDevice {
        /// The program.
        path: PathBuf,
        /// The device.
        device: &'static str,
        /// Whether it has the device's predecessor.
        old: bool,
    },
    /// It would abort.
    #[error("virtio id {id}: {why}; use one of {FREE_IDS:?} on both sides")]
    Id {
        /// The id.
        id: u32,
        /// Why not.
        why: &'static str,
    },
}

/// Check that the QEMU at `path` has `device`.
pub fn check_device(path: &Path, device: &'static str) -> Result<(), QemuError> {
    let output = Command::new(path)
        .args(["-device", "help"])
        .output()
        .map_err(|source| QemuError::Run {
            path: path.to_owned(),
            source,
        })?;
    let help = String::from_utf8_lossy(&output.stdout);
    if help.contains(&format!("\"{device}\"")) {
        return Ok(());
    }
    if !output.status.success() {
        return Err(QemuError::Failed {
            path: path.to_owned(),
            status: output.status,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        });
    }
    Err(QemuError::NoDevice {
        path: path.to_owned(),
        device,
        old: help.contains(&format!("\"{OLD_DEVICE}\"")),
    })
}

/// Check that QEMU and Linux leave this id to us.
pub fn check_id(id: u32) -> Result<(), QemuError> {
    let why = match id_state(id) {
        IdState::Free => return Ok(()),
        IdState::Taken => "Linux has a driver of its own for it",
        IdState::Aborts => "QEMU has no name for it and aborts",
    };
    Err(QemuError::Id { id, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attach::device::DEVICE;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn cli_ids_are_judged() {
        assert_eq!(id_state(37), IdState::Free);
        for id in [14, 15, 42, 43, 44, 46, 63, 64] {
            assert_eq!(id_state(id), IdState::Aborts, "{id}");
        }
        for id in [1, 2, 26, 40, 41, 45] {
            assert_eq!(id_state(id), IdState::Taken, "{id}");
        }
        assert!(check_id(1).unwrap_err().to_string().contains("driver"));
        assert!(check_id(63).unwrap_err().to_string().contains("aborts"));
    }

    fn fake_qemu(script: &str) -> Result<(), QemuError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        check_device(&path, DEVICE)
    }

    #[test]
    fn cli_qemu_without_the_device_is_refused() {
        assert!(fake_qemu("echo 'name \"vhost-user-test-device-pci\", bus PCI'").is_ok());
        let old = fake_qemu("echo 'name \"vhost-user-device-pci\", bus PCI'").unwrap_err();
        assert!(old.to_string().contains("predecessor"), "{old}");
        let none = fake_qemu("echo 'name \"virtio-net-pci\"'").unwrap_err();
        assert!(none.to_string().contains("11.1"), "{none}");
        assert!(matches!(
            fake_qemu("echo broken >&2; exit 1"),
            Err(QemuError::Failed { .. })
        ));
        assert!(matches!(
            check_device(Path::new("/nonexistent/qemu"), DEVICE),
            Err(QemuError::Run { .. })
        ));
    }
}
