//! What can be known of the guest: its driver, which says hello or does not.

use super::Report;
use super::qemu::Qemu;
use crate::attach::Obstacle;
use crate::control::Status;

const DRIVER: &str = "driver";
const LOCKDOWN: &str = "lockdown";

/// The driver, and what may keep it from being loaded.
pub(super) fn check_guest(report: &mut Report, status: Option<&Status>, qemu: &Qemu) {
    let driver = status.and_then(|status| status.driver.as_ref());
    match (status, driver) {
        (_, Some(driver)) => report.ok(
            DRIVER,
            format!(
                "version {} in kernel {} said hello (epoch {}, {}); {} of {} events are enabled",
                driver.version,
                driver.kernel,
                driver.epoch,
                driver.phase,
                driver.enabled,
                driver.events
            ),
        ),
        (Some(status), None) if status.front_end => report.fail(DRIVER, silent(status, qemu)),
        _ => report.unknown(
            DRIVER,
            Obstacle::new(
                "the VM has no device over which a driver could say hello",
                "attach it first",
            ),
        ),
    }
    if driver.is_some() {
        report.ok(LOCKDOWN, "the guest's kernel has taken the driver");
    } else {
        report.unknown(
            LOCKDOWN,
            Obstacle::new(
                "whether the guest's kernel takes a module that is not signed cannot be seen from \
                 outside",
                "in the guest: `cat /sys/kernel/security/lockdown` and `mokutil --sb-state`; with \
                 [integrity] or [confidentiality] or Secure Boot sign the driver \
                 (docs/guest-driver.md)",
            ),
        );
    }
}

/// A device without a driver.
fn silent(status: &Status, qemu: &Qemu) -> Obstacle {
    if let Some(halted) = &qemu.halted {
        return Obstacle::new(
            format!("no driver has said hello, and {}", halted.finding),
            halted.remedy.clone(),
        );
    }
    let complaints = match status.complaints {
        0 => String::new(),
        n => format!(" ({n} complaints about what it did are in the log of serve)"),
    };
    let option = match status.virtio_id {
        crate::config::DEFAULT_VIRTIO_ID => String::new(),
        id => format!(" virtio_id={id}"),
    };
    Obstacle::new(
        format!("no driver has said hello{complaints}"),
        format!(
            "in the guest: `modprobe virtio_trace{option}`, and see `dmesg` if that fails; until \
             then do not end the serve, detach first: QEMU 11.1 aborts, with the VM, when the \
             backend of a device that no driver uses goes away"
        ),
    )
}
