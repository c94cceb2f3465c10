//! What QEMU says of itself and of its machine.

use host_sink::escape::printable;

use super::Report;
use crate::attach::{Obstacle, find_slot, machine};
use crate::control::{DEAD_SERVE, Status};
use crate::monitor::{Monitor, MonitorError, Peer};

/// What QEMU has told that other checks need.
#[derive(Debug, Default)]
pub(super) struct Qemu {
    /// Its process.
    pub(super) peer: Option<Peer>,
    /// Why the VM does not run, if it does not.
    pub(super) halted: Option<Obstacle>,
}

/// The monitor, what the VM was started with, and its device.
pub(super) fn check_qemu(
    report: &mut Report,
    monitor: Option<Result<Monitor, MonitorError>>,
    status: Option<&Status>,
) -> Qemu {
    const CHECK: &str = "monitor";
    let mut monitor = match monitor {
        None => {
            report.unknown(
                CHECK,
                Obstacle::new(
                    "QEMU was not asked: its device, its memory and its slots are not known",
                    "add --qmp SOCKET or --libvirt DOMAIN",
                ),
            );
            return Qemu::default();
        }
        Some(Err(error)) => {
            report.fail(
                CHECK,
                Obstacle::new(
                    error.to_string(),
                    "start QEMU with `-qmp unix:SOCKET,server=on,wait=off`, and be its user or \
                     root",
                ),
            );
            return Qemu::default();
        }
        Some(Ok(monitor)) => monitor,
    };
    let peer = monitor.peer();
    match peer {
        Some(peer) => report.ok(CHECK, format!("QEMU is process {}", peer.pid)),
        None => report.ok(CHECK, "QEMU answers"),
    }
    report.judge("qemu", machine::judge_type(&mut monitor));
    report.judge("memory", machine::judge_memory(&mut monitor));
    let state = machine::judge_state(&mut monitor);
    let halted = match &state {
        Ok(Err(obstacle)) => Some(obstacle.clone()),
        _ => None,
    };
    report.judge("running", state);
    check_device(report, &mut monitor, status);
    Qemu { peer, halted }
}

/// Whether the VM has its device, and if not, whether it has room for it.
fn check_device(report: &mut Report, monitor: &mut Monitor, status: Option<&Status>) {
    const CHECK: &str = "device";
    let path = match machine::find_device(monitor) {
        Ok(path) => path.map(|path| printable(path.as_bytes())),
        Err(error) => return report.judge(CHECK, Err(error)),
    };
    match (path, status.map(|status| status.front_end)) {
        (Some(path), Some(false)) => report.fail(
            CHECK,
            Obstacle::new(
                format!("{path} is there, but QEMU is not connected to this serve"),
                format!(
                    "if it was connected to a serve that has ended: {DEAD_SERVE}; if the serve of \
                     another VM has it: name that VM"
                ),
            ),
        ),
        (Some(path), _) => report.ok(CHECK, format!("attached: {path}")),
        (None, front_end) => {
            if front_end == Some(true) {
                report.fail(
                    CHECK,
                    Obstacle::new(
                        "this QEMU has no trace device; another one is connected to the serve of \
                         this VM",
                        "name the VM that belongs to this QEMU, or the QEMU that belongs to this \
                         VM",
                    ),
                );
            } else {
                report.fail(CHECK, Obstacle::new("not attached", "`vhost-trace attach`"));
            }
            let slot = find_slot(monitor);
            let slot = slot.map(|slot| slot.map(|bus| format!("bus {bus} has room")));
            report.judge("slot", slot);
        }
    }
}
