//! What is on the host: the run directory, `serve`, its socket.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::Report;
use super::identity::Identity;
use super::qemu::Qemu;
use crate::attach::{Judgement, Obstacle, machine};
use crate::config::{RunDir, RunDirError, VmName};
use crate::control::{Client, ClientError, Reply, Request, Status};

/// The run directory, `serve` and the id of its device.
pub(super) fn check_serve(
    report: &mut Report,
    run_dir: Result<RunDir, RunDirError>,
    vm: Option<&VmName>,
) -> Option<Status> {
    let Some(vm) = vm else {
        report.unknown(
            "serve",
            Obstacle::new("no VM was named", "say which: `vhost-trace check VM`"),
        );
        return None;
    };
    let run_dir = match run_dir {
        Ok(run_dir) => run_dir,
        Err(error) => {
            report.fail(
                "run-dir",
                Obstacle::new(error.to_string(), "the same as for `serve`"),
            );
            return None;
        }
    };
    report.judge("run-dir", Ok(judge_run_dir(run_dir.path())));
    match ask(&run_dir, vm) {
        Ok(status) => {
            report.ok("serve", format!("process {} serves VM {vm}", status.pid));
            report.judge("virtio-id", Ok(machine::judge_id(status.virtio_id)));
            Some(status)
        }
        Err(error) => {
            let remedy = match &error {
                ClientError::Dead { .. } => {
                    "unplug the device (`vhost-trace detach` says how that can be done), start \
                     `vhost-trace serve` again, then `vhost-trace attach`"
                }
                ClientError::NotServed { .. } => "start `vhost-trace serve` for it",
                _ => "`vhost-trace serve` has to run as you, and be of the same release",
            };
            report.fail("serve", Obstacle::new(error.to_string(), remedy));
            None
        }
    }
}

fn ask(run_dir: &RunDir, vm: &VmName) -> Result<Status, ClientError> {
    let mut client = Client::connect(run_dir, vm)?;
    match client.ask(Request::Status)? {
        Reply::Status(status) => Ok(*status),
        _ => Err(client.unexpected()),
    }
}

fn judge_run_dir(path: &Path) -> Judgement {
    let here = path.display();
    match fs::metadata(path) {
        Ok(meta) if !meta.is_dir() => Err(Obstacle::new(
            format!("run directory {here} is not a folder"),
            "remove it, or name another with --run-dir",
        )),
        Ok(meta) if meta.mode() & 0o077 != 0 => Err(Obstacle::new(
            format!(
                "run directory {here} has mode {:o}: others could put sockets there",
                meta.mode() & 0o777
            ),
            format!("chmod 700 {here}"),
        )),
        Ok(_) => Ok(format!("run directory {here}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Obstacle::new(
            format!("there is no run directory {here}"),
            "start `vhost-trace serve`, or say where it has its sockets: --run-dir, \
             VHOST_TRACE_RUN_DIR",
        )),
        Err(error) => Err(Obstacle::new(
            format!("run directory {here}: {error}"),
            "be the user who runs `vhost-trace serve`, or root",
        )),
    }
}

/// Whether QEMU may connect to `serve`.
pub(super) fn check_socket(report: &mut Report, status: Option<&Status>, qemu: &Qemu) {
    const CHECK: &str = "socket";
    let Some(status) = status else { return };
    if status.front_end {
        return report.ok(CHECK, format!("a QEMU is connected to {}", status.socket));
    }
    let identity = qemu.peer.map(Identity::of);
    report.judge(
        CHECK,
        Ok(judge_socket(Path::new(&status.socket), identity.as_ref())),
    );
}

/// Whether this process may connect to the socket at `path`.
fn judge_socket(path: &Path, identity: Option<&Identity>) -> Judgement {
    let here = path.display();
    let missing = |what: String| Obstacle::new(what, "start `vhost-trace serve` again");
    match fs::symlink_metadata(path) {
        Err(error) => return Err(missing(format!("socket {here}: {error}"))),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(missing(format!("{here} is not a socket")));
        }
        Ok(_) => {}
    }
    let Some(identity) = identity else {
        return Ok(format!(
            "socket {here} is there; whether QEMU's user may use it is not known"
        ));
    };
    let refused = path
        .ancestors()
        .filter(|part| !part.as_os_str().is_empty())
        .find(|part| {
            fs::metadata(part).is_ok_and(|meta| {
                if *part == path {
                    !identity.may_write(&meta)
                } else {
                    !identity.may_enter(&meta)
                }
            })
        });
    match refused {
        Some(part) => Err(Obstacle::new(
            format!(
                "QEMU's user ({}) may not connect to socket {here}: the mode of {} forbids it",
                identity.uid,
                part.display()
            ),
            "serve with a socket where that user may go: `vhost-trace serve --socket-path PATH \
             --socket-group GROUP` (qemu-configs/README.md has an example for libvirt)",
        )),
        None => Ok(format!(
            "QEMU's user ({}) may connect to socket {here}, unless AppArmor or SELinux forbids it",
            identity.uid
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn attach_check_run_dirs_and_sockets_are_judged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
        assert!(judge_run_dir(path).is_ok());
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        let why = |judgement: Judgement| judgement.unwrap_err().to_string();
        assert!(why(judge_run_dir(path)).contains("chmod 700"));
        assert!(why(judge_run_dir(&path.join("no"))).contains("there is no"));
        fs::write(path.join("file"), "").unwrap();
        assert!(why(judge_run_dir(&path.join("file"))).contains("not a folder"));

        assert!(why(judge_socket(&path.join("no"), None)).contains("No such file"));
        assert!(why(judge_socket(&path.join("file"), None)).contains("not a socket"));
    }
}
