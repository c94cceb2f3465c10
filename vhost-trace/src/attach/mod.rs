//! The device of a VM that runs: plugged in, and unplugged.

pub mod device;
pub mod machine;
mod obstacle;
mod slot;

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::control::{Client, ClientError, Reply, Request, Status};
use crate::monitor::{Monitor, MonitorError};

pub use obstacle::{Judgement, Obstacle};
pub use slot::find_slot;

/// How often `serve` is asked for what it cannot tell by itself.
const POLL: Duration = Duration::from_millis(100);

/// How long `serve` may take to read and write what a front end has left.
const DRAIN: Duration = Duration::from_secs(10);

/// Why a device did not come or go.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// QEMU cannot be asked, or says no.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// `serve` cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Something has to be changed first.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// There is one already.
    #[error(
        "the device is attached already ({0}): `vhost-trace check` says how it is, `vhost-trace \
         detach` takes it away"
    )]
    Attached(String),
    /// There is none.
    #[error(
        "no trace device is attached to this VM (neither device nor chardev `{}`)",
        device::ID
    )]
    NotAttached,
    /// The serve has another front end.
    #[error(
        "another QEMU is connected to the serve of this VM: give each VM a serve of its own, or \
         detach it there first"
    )]
    ServesAnother,
    /// The device is there, and dead.
    #[error(
        "the device has no backend any more ({0}); QEMU 11.1 aborts, and the VM with it, when a \
         driver is loaded or bound to such a device. One whose driver was loaded when its serve \
         ended can be unplugged with --force, in some ten seconds; else leave it alone until the \
         VM is started again"
    )]
    BackendGone(String),
    /// It is where no device can leave.
    #[error(
        "{0}: the device was given to QEMU at its start on a bus without hot plug, and stays until \
         the VM ends; `vhost-trace stop` ends tracing, not the VM"
    )]
    Fixed(MonitorError),
    /// The guest has not let go.
    #[error(
        "the guest has not let go of the device in {} s: it may still boot, hang, be dead, or know \
         no PCI hot plug; it was asked and may yet do it: run `vhost-trace detach` again then \
         (resetting the VM also takes the device away)",
        .0.as_secs()
    )]
    GuestSilent(Duration),
}

/// What is attached, and where.
#[derive(Debug)]
pub struct Attached {
    /// The bus.
    pub bus: String,
    /// The guest's driver, if it has said hello in time.
    pub driver: Option<crate::control::DriverStatus>,
}

/// Give a VM that runs its device, on this bus or one that has room, and wait
/// for its driver so long.
pub fn attach(
    monitor: &mut Monitor,
    client: &mut Client,
    bus: Option<&str>,
    wait: Duration,
) -> Result<Attached, AttachError> {
    machine::judge_type(monitor)??;
    if let Some(path) = machine::find_device(monitor)? {
        return Err(AttachError::Attached(path));
    }
    machine::judge_memory(monitor)??;
    machine::judge_state(monitor)??;
    let status = status(client)?;
    if status.front_end {
        return Err(AttachError::ServesAnother);
    }
    machine::judge_id(status.virtio_id)?;
    let bus = match bus {
        Some(bus) => bus.to_owned(),
        None => find_slot(monitor)??,
    };
    if machine::has_chardev(monitor)? {
        // Of an attachment that was not completed.
        remove_chardev(monitor)?;
    }
    monitor.ask("chardev-add", device::chardev_arguments(&status.socket))?;
    let arguments = device::device_arguments(status.virtio_id, &bus);
    if let Err(error) = monitor.ask("device_add", arguments) {
        // Fails if QEMU has ended, which `error` tells better.
        let _ = remove_chardev(monitor);
        return Err(error.into());
    }
    let driver = wait_for(client, wait, |status| status.driver)?;
    Ok(Attached { bus, driver })
}

/// Take the device from a VM that runs, and wait so long for its guest to let
/// it go. Without a client nobody is known to serve the device.
pub fn detach(
    monitor: &mut Monitor,
    client: Result<Client, ClientError>,
    force: bool,
    wait: Duration,
) -> Result<(), AttachError> {
    let Some(path) = machine::find_device(monitor)? else {
        if machine::has_chardev(monitor)? {
            return Ok(remove_chardev(monitor)?);
        }
        return Err(AttachError::NotAttached);
    };
    machine::judge_state(monitor)??;
    let mut client = match serving(client) {
        Ok(client) => Some(client),
        Err(_) if force => None,
        Err(why) => return Err(AttachError::BackendGone(why)),
    };
    match monitor.ask("device_del", json!({ "id": path })) {
        Ok(_) => {}
        Err(MonitorError::Refused { description, .. })
            if description.contains("in the process of unplug") => {}
        Err(error @ MonitorError::Refused { .. }) => return Err(AttachError::Fixed(error)),
        Err(error) => return Err(error.into()),
    }
    if !monitor.wait_deleted(&path, wait)? {
        return Err(AttachError::GuestSilent(wait));
    }
    remove_chardev(monitor)?;
    if let Some(client) = &mut client {
        // Then all that the guest wrote is in its sinks.
        wait_for(client, DRAIN, |status| (!status.front_end).then_some(()))?;
    }
    Ok(())
}

/// The client of a serve that QEMU is connected to; else why there is none.
fn serving(client: Result<Client, ClientError>) -> Result<Client, String> {
    let mut client = client.map_err(|error| error.to_string())?;
    match status(&mut client) {
        Ok(status) if status.front_end => Ok(client),
        Ok(_) => Err("QEMU is not connected to the serve of this VM any more".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn remove_chardev(monitor: &mut Monitor) -> Result<(), MonitorError> {
    monitor
        .ask("chardev-remove", json!({ "id": device::ID }))
        .map(|_| ())
}

fn status(client: &mut Client) -> Result<Status, ClientError> {
    match client.ask(Request::Status)? {
        Reply::Status(status) => Ok(*status),
        _ => Err(client.unexpected()),
    }
}

/// Ask `serve` until something is so. `None`: it is not in this time.
fn wait_for<T>(
    client: &mut Client,
    time: Duration,
    mut until: impl FnMut(Status) -> Option<T>,
) -> Result<Option<T>, ClientError> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(found) = until(status(client)?) {
            return Ok(Some(found));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        sleep(POLL.min(left));
    }
}
