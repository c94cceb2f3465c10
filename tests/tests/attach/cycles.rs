//! One guest under load gets its device and loses it, again and again, and moves
//! to another QEMU halfway: nothing is lost while it has the device, and nothing
//! stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vhost_trace_lab::{Guest, Serve};

use crate::migration::Destination;
use crate::numbers::{Numbers, assert_complete, visit_numbers};
use crate::rig::{RINGS, TIME, Vm, serve};

const CYCLES: usize = 20;
/// Numbers that each session shall have at least.
const EVENTS: u64 = 1000;
/// How long QEMU and `serve` may take to close what a command had open.
const SETTLE: Duration = Duration::from_secs(10);

/// Waits until the drain has read so many events since the device came.
pub fn wait_events(serve: &Serve, events: u64) -> Result<()> {
    let sum = |status: &Value| -> u64 {
        let streams = status["streams"].as_array().into_iter().flatten();
        streams.filter_map(|s| s["events"].as_u64()).sum()
    };
    let before = sum(&serve.status()?);
    serve.wait_status("events", TIME, |status| {
        (sum(status) >= before + events).then_some(())
    })
}

/// The traces of a VM's sessions, in order.
pub fn sessions(trace: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<_> = fs::read_dir(trace)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Reads one session: in each context no number is missing between the first
/// and the last. Adds what it has to `all`.
pub fn read_session(session: &Path, all: &mut Numbers) -> Result<()> {
    let mut last = std::collections::BTreeMap::new();
    let mut gap = None;
    let (summary, numbers) = visit_numbers(session, |cpu, context, number| {
        if let Some(before) = last.insert((cpu, context), number)
            && number != before + 1
        {
            gap = gap.or(Some((cpu, context, before, number)));
        }
    })?;
    ensure!(
        gap.is_none() && summary.discarded == 0,
        "{session:?}: a gap (vCPU, context, numbers): {gap:?}, {} lost",
        summary.discarded
    );
    ensure!(!numbers.is_empty(), "{session:?} has no numbers");
    for (place, seen) in numbers {
        let sum = all.entry(place).or_default();
        sum.count += seen.count;
        sum.last = sum.last.max(seen.last);
    }
    Ok(())
}

/// What must be the same before the device came and after it went.
#[derive(Debug)]
struct Footprint {
    /// Open files, threads and mappings of the guest's memory, of QEMU and of
    /// `serve`: not to grow.
    open: [usize; 6],
    /// Modules of the guest with sizes and references, PCI and virtio devices.
    guest: String,
}

impl Footprint {
    fn of(vm: &Vm, serve: &Serve) -> Result<Self> {
        let guest = &vm.guest;
        let memory = vm.memory()?;
        let maps = |pid: u32| -> Result<usize> {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
            Ok(maps.lines().filter(|line| line.contains(memory)).count())
        };
        let count = |pid: u32, what: &str| -> Result<usize> {
            Ok(fs::read_dir(format!("/proc/{pid}/{what}"))?.count())
        };
        let qemu = guest.pid().context("QEMU has ended")?;
        let serve = serve.pid();
        Ok(Self {
            open: [
                count(qemu, "fd")?,
                count(qemu, "task")?,
                maps(qemu)?,
                count(serve, "fd")?,
                count(serve, "task")?,
                maps(serve)?,
            ],
            guest: guest.sh(
                "cut -d' ' -f1-4 /proc/modules; ls /sys/bus/pci/devices /sys/bus/virtio/devices",
            )?,
        })
    }

    /// Waits until it is the same again: QEMU and `serve` close the sockets of
    /// a command when that has ended.
    fn wait(&self, vm: &Vm, serve: &Serve) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let now = Self::of(vm, serve)?;
            let grown = now
                .open
                .iter()
                .zip(&self.open)
                .any(|(now, then)| now > then);
            if !grown && now.guest == self.guest {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "before {self:?}, now {now:?}");
        }
    }
}

/// KiB of free memory that the guest may lose in 15 attachments, twice what it
/// differs by itself between two looks; the rings of a single one are 1.5 MiB.
const LEAK: i64 = 2048;

/// The guest's free memory in KiB, with its caches dropped.
fn free_memory(guest: &Guest) -> Result<i64> {
    let free = "echo 3 >/proc/sys/vm/drop_caches; awk '/MemFree/ {print $2}' /proc/meminfo";
    Ok(guest.sh(free)?.parse()?)
}

/// Attaches, traces and detaches; the guest's free memory after each.
fn cycles(vm: &Vm, serve: &Serve, count: usize) -> Result<Vec<i64>> {
    let footprint = Footprint::of(vm, serve)?;
    let cycle = |number| {
        vm.attach(serve)?;
        wait_events(serve, EVENTS)?;
        vm.detach(serve)?;
        footprint
            .wait(vm, serve)
            .with_context(|| format!("after cycle {number}"))?;
        free_memory(&vm.guest)
    };
    (1..=count).map(cycle).collect()
}

#[test]
fn attach_twenty_times_leaves_nothing_behind() -> Result<()> {
    const NAME: &str = "attach-cycles";
    let mut here = serve(RINGS)?;
    let mut there = serve(RINGS)?;
    let source = Vm::boot(NAME)?;
    let destination = Destination::start(NAME)?;
    source.load_driver()?;
    source.load_witness()?;
    for serve in [&here, &there] {
        serve.vm(&["events", "--enable", "sched_switch"])?;
    }
    let mut free = cycles(&source, &here, CYCLES / 2)?;
    ensure!(source.guest.boots() == 1, "the guest has restarted");
    let vm = destination.receive(source, &here)?;
    free.extend(cycles(&vm, &there, CYCLES / 2)?);
    println!("the guest's free memory after each cycle, KiB: {free:?}");
    let least = |cycles: &[i64]| cycles.iter().min().copied();
    ensure!(
        least(&free[..5]) <= least(&free[CYCLES - 5..]).map(|free| free + LEAK),
        "the guest's free memory goes: {free:?}"
    );
    vm.run_witness(false)?;
    let cpus = vm.witness()?.read()?;
    let boots = vm.guest.console().matches("Run /init").count();
    ensure!(boots == 0, "the guest has restarted");
    vm.guest.quit()?;
    here.terminate()?;
    there.terminate()?;

    let mut all = Numbers::new();
    for serve in [here, there] {
        let sessions = sessions(&serve.trace())?;
        assert_eq!(sessions.len(), CYCLES / 2);
        for session in &sessions {
            read_session(session, &mut all)?;
        }
    }
    assert_complete(&all, &cpus);
    Ok(())
}
