//! `probe add` and `del`.

use std::path::PathBuf;

use clap::Args;

use super::Target;
use crate::control::{NewProbe, Probe, ProbeAction, Reply, Request};
use crate::probe::{DEFAULT_RATE, ProbeSet};

/// Arguments of `probe add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    target: Target,
    /// Definitions in the syntax of kprobe_events, with a filter behind ` if `:
    /// 'p:opens do_sys_openat2 path=+0($arg2):ustring if $tid > 1'; p: is a
    /// function, r: its return, t: a tracepoint. The word `stack` records the
    /// kernel's call stack.
    #[arg(value_name = "DEFINITION", required_unless_present = "file")]
    definitions: Vec<String>,
    /// A file (TOML) with a named set of definitions.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["definitions", "rate"])]
    file: Option<PathBuf>,
    /// Events in a second that each vCPU may have of one; 0: any number.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_RATE)]
    rate: u32,
}

/// Arguments of `probe del`.
#[derive(Debug, Args)]
pub struct DelArgs {
    #[command(flatten)]
    target: Target,
    /// Names of definitions.
    #[arg(value_name = "NAME", required_unless_present = "set")]
    names: Vec<String>,
    /// All definitions of this set.
    #[arg(long, value_name = "SET", conflicts_with = "names")]
    set: Option<String>,
}

impl AddArgs {
    /// Do it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let new = match &self.file {
            Some(path) => {
                let set = ProbeSet::read(path)?;
                let name = set.set;
                let probes = set.probes.into_iter().map(|probe| NewProbe {
                    define: probe.define,
                    rate: probe.rate.unwrap_or(DEFAULT_RATE),
                    set: Some(name.clone()),
                });
                probes.collect()
            }
            None => {
                let probes = self.definitions.iter().map(|define| NewProbe {
                    define: define.clone(),
                    rate: self.rate,
                    set: None,
                });
                probes.collect()
            }
        };
        let vm = &self.target.vm;
        let (probes, remembered) = ask(&self.target, ProbeAction::Add(new))?;
        for probe in probes {
            if remembered {
                println!(
                    "VM {vm}: {} is remembered; it is added when the guest's driver starts",
                    probe.name
                );
            } else {
                println!("VM {vm}: {} is added", probe.name);
            }
        }
        Ok(())
    }
}

impl DelArgs {
    /// Do it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let action = match self.set {
            Some(set) => ProbeAction::DeleteSet(set),
            None => ProbeAction::Delete(self.names),
        };
        let (probes, _) = ask(&self.target, action)?;
        for probe in probes {
            let vm = &self.target.vm;
            match probe.counts.as_str() {
                "" => println!("VM {vm}: {} is deleted", probe.name),
                counts => println!("VM {vm}: {} is deleted: {counts}", probe.name),
            }
        }
        Ok(())
    }
}

/// All definitions of a VM, and what each has counted.
pub fn list(target: &Target) -> Result<Vec<Probe>, Box<dyn std::error::Error>> {
    Ok(ask(target, ProbeAction::List)?.0)
}

/// Prints a definition and what it has counted.
pub fn print(probe: &Probe) {
    println!("{}", probe.define);
    let set = probe.set.as_ref();
    let set = set.map_or(String::new(), |set| format!(", set {set}"));
    let rate = match probe.rate {
        0 => "any rate".to_owned(),
        rate => format!("at most {rate}/s"),
    };
    let counts = match probe.counts.as_str() {
        "" => String::new(),
        counts => format!(": {counts}"),
    };
    println!("    {}, {rate}{set}{counts}", probe.state);
}

/// What the serve says, unless that is an error.
fn ask(
    target: &Target,
    action: ProbeAction,
) -> Result<(Vec<Probe>, bool), Box<dyn std::error::Error>> {
    let mut client = target.connect()?;
    let Reply::Probes {
        probes,
        remembered,
        errors,
    } = client.ask(Request::Probe { action })?
    else {
        return Err(client.unexpected().into());
    };
    if !errors.is_empty() {
        return Err(format!("VM {}: {}", target.vm, errors.join("; ")).into());
    }
    Ok((probes, remembered))
}
