//! `probe`.

use clap::{Args, Subcommand};

use super::probe_module::{BuildArgs, ListArgs, LoadArgs, UnloadArgs};

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    #[command(subcommand)]
    command: ProbeCommand,
}

#[derive(Debug, Subcommand)]
enum ProbeCommand {
    /// Load a probe module into a guest's kernel.
    Load(LoadArgs),
    /// List the modules that were loaded into a guest's kernel.
    List(ListArgs),
    /// Unload such a module.
    Unload(UnloadArgs),
    /// Build a probe module for one kernel.
    Build(BuildArgs),
}

impl ProbeArgs {
    /// Do it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        match self.command {
            ProbeCommand::Load(args) => args.run(),
            ProbeCommand::List(args) => args.run(),
            ProbeCommand::Unload(args) => args.run(),
            ProbeCommand::Build(args) => args.run(),
        }
    }
}
