//! One run of the workload in a guest that counts.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::Guest;

use crate::insn_count::{Section, sections};

/// System calls of a run.
pub const CALLS: u64 = 100_000;

/// What a run has cost.
#[derive(Debug)]
pub struct Run {
    /// What was traced.
    pub name: &'static str,
    /// Events of each system call.
    pub events_per_call: u64,
    /// Instructions.
    pub counted: Section,
    /// Interrupts that the device has sent.
    pub device_interrupts: u64,
    /// Interrupts that the guest has sent itself (irq_work).
    pub own_interrupts: u64,
}

impl Run {
    /// Instructions of a system call.
    pub fn per_call(&self) -> f64 {
        self.counted.total() as f64 / CALLS as f64
    }

    /// Events that it should have made.
    pub fn events(&self) -> u64 {
        self.events_per_call * CALLS
    }

    /// Instructions of an event, over those of a run without any.
    pub fn over(&self, none: &Run) -> f64 {
        (self.counted.total() as f64 - none.counted.total() as f64) / self.events() as f64
    }
}

/// A guest that runs under the plugin.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The guest.
    pub guest: &'a Guest,
    /// The plugin's output.
    pub out: PathBuf,
    /// The device's virtio id, as sysfs shows it.
    pub device: String,
}

impl Bench<'_> {
    /// Runs the workload.
    pub fn run(&self, name: &'static str, events_per_call: u64) -> Result<Run> {
        let before = (self.device_interrupts()?, self.own_interrupts()?);
        let runs = sections(&self.out)?.len();
        let said = self.guest.sh(&format!("workload --mark getppid {CALLS}"))?;
        ensure!(
            said == format!("workload getppid calls={CALLS}"),
            "the workload said {said:?}"
        );
        let mut sections = sections(&self.out)?;
        ensure!(sections.len() == runs + 1, "the marks were not seen");
        Ok(Run {
            name,
            events_per_call,
            counted: sections.pop().context("no section")?,
            device_interrupts: self.device_interrupts()? - before.0,
            own_interrupts: self.own_interrupts()? - before.1,
        })
    }

    /// Of the line that the trace device shares with no other of the lab's.
    fn device_interrupts(&self) -> Result<u64> {
        let names = self.guest.sh(&format!(
            "grep -l {} /sys/bus/virtio/devices/*/device",
            self.device
        ))?;
        let name = names
            .strip_prefix("/sys/bus/virtio/devices/")
            .and_then(|rest| rest.strip_suffix("/device"))
            .with_context(|| format!("not one trace device: {names:?}"))?;
        let driver = format!("test -e /sys/bus/virtio/devices/{name}/driver");
        if self.guest.run(&driver)?.status != 0 {
            return Ok(0);
        }
        self.interrupts(name)
    }

    fn own_interrupts(&self) -> Result<u64> {
        self.interrupts("IRQ work interrupts")
    }

    /// The sum over vCPUs of the lines of /proc/interrupts that say `what`.
    fn interrupts(&self, what: &str) -> Result<u64> {
        let text = self.guest.sh("cat /proc/interrupts")?;
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| {
                line.split(|c: char| c == ',' || c == '-' || c.is_whitespace())
                    .any(|word| word == what)
                    || line.ends_with(what)
            })
            .collect();
        ensure!(!lines.is_empty(), "no interrupts of {what}:\n{text}");
        let sum_of = |line: &&str| -> u64 {
            line.split_whitespace()
                .skip(1)
                .map_while(|word| word.parse::<u64>().ok())
                .sum()
        };
        Ok(lines.iter().map(sum_of).sum())
    }
}
