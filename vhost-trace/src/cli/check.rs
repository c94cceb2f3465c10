//! `check`.

use std::io::Write;

use super::Place;
use crate::check::{Report, State};
use crate::config::VmName;
use crate::monitor::{Monitor, MonitorArgs};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Name of the VM.
    #[arg(value_name = "VM", required_unless_present = "monitor")]
    vm: Option<VmName>,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    monitor: MonitorArgs,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// Print the checks; an error if something is in the way.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let monitor = self
            .monitor
            .is_some()
            .then(|| Monitor::connect(&self.monitor));
        let report = Report::new(self.place.find(), self.vm.as_ref(), monitor);
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        } else {
            print(&mut out, &report)?;
        }
        if report.failed() {
            return Err("this VM cannot be traced as it is".into());
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, report: &Report) -> std::io::Result<()> {
    for check in &report.checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Fail => "FAIL",
            State::Unknown => "unknown",
        };
        writeln!(out, "{state:8}{:10}{}", check.check, check.finding)?;
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:18}-> {remedy}", "")?;
        }
    }
    Ok(())
}
