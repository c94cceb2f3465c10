//! The command line.

mod attach;
mod check;
mod driver;
mod events;
mod list;
mod live;
mod probe;
mod probe_definition;
mod probe_module;
mod qemu;
mod qemu_args;
mod status;
mod stop;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{RunDir, RunDirError, ServeArgs, ServeConfig, VmName};

pub use qemu::{IdState, QemuError, check_id, id_state};

/// Kernel traces of virtual machines, read from memory that they share.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Be the device of a VM and write its trace.
    Serve(Box<ServeArgs>),
    /// Print the arguments that give a VM in QEMU its device.
    QemuArgs(qemu_args::QemuArgs),
    /// Give a VM that runs its device.
    Attach(attach::AttachArgs),
    /// Take the device from a VM that runs.
    Detach(attach::DetachArgs),
    /// Say what keeps a VM from being traced, and what to do about it.
    Check(check::CheckArgs),
    /// Bring the driver into a guest.
    Driver(driver::DriverArgs),
    /// List the VMs that are served.
    List(list::ListArgs),
    /// List, enable or disable events of a VM.
    Events(events::EventsArgs),
    /// Probe a guest's kernel from the host.
    Probe(probe::ProbeArgs),
    /// Say how a VM and its sinks are doing.
    Status(status::StatusArgs),
    /// Show events of a VM as they come.
    Live(live::LiveArgs),
    /// Wait for events of a VM, and have a program act on them at once.
    Watch(watch::WatchArgs),
    /// End the serve of a VM, after everything is read and written.
    Stop(stop::StopArgs),
}

/// Where sockets are.
#[derive(Clone, Debug, Args)]
struct Place {
    /// Folder of control sockets [default: $XDG_RUNTIME_DIR/vhost-trace].
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
}

impl Place {
    fn find(&self) -> Result<RunDir, RunDirError> {
        RunDir::find(self.run_dir.as_deref())
    }
}

/// A VM that is served.
#[derive(Clone, Debug, Args)]
struct Target {
    /// Name of the VM.
    #[arg(value_name = "VM")]
    vm: VmName,
    #[command(flatten)]
    place: Place,
}

impl Target {
    fn connect(&self) -> Result<crate::control::Client, Box<dyn std::error::Error>> {
        let run_dir = self.place.find()?;
        Ok(crate::control::Client::connect(&run_dir, &self.vm)?)
    }
}

impl Cli {
    /// Do it; the status that this process is to end with.
    pub fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        match self.command {
            Command::Serve(args) => crate::serve::serve(&ServeConfig::try_from(*args)?)?,
            Command::QemuArgs(args) => args.run()?,
            Command::Attach(args) => args.run()?,
            Command::Detach(args) => args.run()?,
            Command::Check(args) => args.run()?,
            Command::Driver(args) => args.run()?,
            Command::List(args) => args.run()?,
            Command::Events(args) => args.run()?,
            Command::Status(args) => args.run()?,
            Command::Live(args) => args.run()?,
            Command::Watch(args) => return args.run(),
            Command::Probe(args) => args.run()?,
            Command::Stop(args) => args.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
