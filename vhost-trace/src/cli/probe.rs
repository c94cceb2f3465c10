//! `probe`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::Target;
use super::probe_definition::{self, AddArgs, DelArgs};
use super::probe_module::{self, BuildArgs, LoadArgs, UnloadArgs};

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    #[command(subcommand)]
    command: ProbeCommand,
}

#[derive(Debug, Subcommand)]
enum ProbeCommand {
    /// Add probe definitions to a guest's kernel, all or none.
    Add(AddArgs),
    /// Delete probe definitions.
    Del(DelArgs),
    /// Load a probe module into a guest's kernel.
    Load(LoadArgs),
    /// Unload such a module.
    Unload(UnloadArgs),
    /// List probe definitions, what each has counted, and modules.
    List(ListArgs),
    /// Build a probe module for one kernel.
    Build(BuildArgs),
}

/// Arguments of `probe list`.
#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    target: Target,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl ProbeArgs {
    /// Do it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        match self.command {
            ProbeCommand::Add(args) => args.run(),
            ProbeCommand::Del(args) => args.run(),
            ProbeCommand::Load(args) => args.run(),
            ProbeCommand::Unload(args) => args.run(),
            ProbeCommand::List(args) => args.run(),
            ProbeCommand::Build(args) => args.run(),
        }
    }
}

impl ListArgs {
    fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let definitions = probe_definition::list(&self.target)?;
        let modules = probe_module::list(&self.target)?;
        if self.json {
            let all = json!({ "definitions": definitions, "modules": modules });
            println!("{all:#}");
            return Ok(());
        }
        definitions.iter().for_each(probe_definition::print);
        for name in modules {
            println!("module {name}");
        }
        Ok(())
    }
}
