//! `attach` and `detach`.

use std::time::Duration;

use super::Target;
use crate::attach::{attach, detach};
use crate::control::Client;
use crate::monitor::{Monitor, MonitorArgs};

/// Arguments of `attach`.
#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    monitor: MonitorArgs,
    /// PCI bus to plug the device into [default: one that has room].
    #[arg(long, value_name = "BUS")]
    bus: Option<String>,
    /// How long to wait for the guest's driver, if it is loaded.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u64,
}

/// Arguments of `detach`.
#[derive(Debug, clap::Args)]
pub struct DetachArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    monitor: MonitorArgs,
    /// How long to wait for the guest to let go of the device.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    /// Also where its serve is gone: safe only if the guest's driver was loaded then.
    #[arg(long)]
    force: bool,
}

impl AttachArgs {
    /// Plug it in.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let vm = &self.target.vm;
        let mut client = self.target.connect()?;
        let mut monitor = Monitor::connect(&self.monitor)?;
        let wait = Duration::from_secs(self.wait);
        let attached = attach(&mut monitor, &mut client, self.bus.as_deref(), wait)
            .map_err(|error| format!("VM {vm}: {error}"))?;
        println!("VM {vm}: attached on bus {}", attached.bus);
        match attached.driver {
            Some(driver) => println!(
                "driver: version {}, kernel {}, epoch {}",
                driver.version, driver.kernel, driver.epoch
            ),
            None => println!(
                "driver: has not said hello in {} s; in the guest: modprobe virtio_trace (the \
                 device stays attached). Do not end the serve before that, or detach first: QEMU \
                 11.1 aborts, with the VM, when the backend of a device that no driver uses goes \
                 away",
                self.wait
            ),
        }
        Ok(())
    }
}

impl DetachArgs {
    /// Unplug it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let vm = &self.target.vm;
        let mut monitor = Monitor::connect(&self.monitor)?;
        let client = Client::connect(&self.target.place.find()?, vm);
        let wait = Duration::from_secs(self.wait);
        detach(&mut monitor, client, self.force, wait)
            .map_err(|error| format!("VM {vm}: {error}"))?;
        println!("VM {vm}: detached");
        Ok(())
    }
}
