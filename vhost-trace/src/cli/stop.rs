//! `stop`.

use super::Target;
use crate::control::{Reply, Request, Status};

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    target: Target,
    /// Also where this may end the VM.
    #[arg(long)]
    force: bool,
}

impl StopArgs {
    /// Ask, and wait until the serve has ended.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        match client.ask(Request::Status)? {
            Reply::Status(status) if !self.force && is_dangerous(&status) => {
                return Err(format!(
                    "VM {}: QEMU is connected, but the guest's driver does not run (not loaded, \
                     or the VM is paused or restarts): QEMU 11.1 would abort, and the VM with \
                     it. Take the device away first (`vhost-trace detach`), let the driver run, \
                     or use --force",
                    self.target.vm
                )
                .into());
            }
            Reply::Status(_) => {}
            _ => return Err(client.unexpected().into()),
        }
        match client.ask(Request::Stop)? {
            Reply::Stopping => {}
            _ => return Err(client.unexpected().into()),
        }
        // Its end of the socket goes with it.
        while client.receive()?.is_some() {}
        Ok(())
    }
}

/// Whether QEMU would not survive the end of its backend: it stops the device's
/// queues then, and aborts if they do not run.
fn is_dangerous(status: &Status) -> bool {
    let runs = |phase: &str| phase != "stopped";
    status.front_end && !status.driver.as_ref().is_some_and(|d| runs(&d.phase))
}
