//! What tracing costs a guest, in its own instructions, and an idle host.

mod insn_count;
mod measure;
mod module_code;
mod report;
mod steps;

use std::fs;
use std::io::Write;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vhost_trace_lab::{
    Lab, Serve, build_module, driver_module, module_dir, read_trace, static_program, target_dir,
    workspace_dir,
};

use insn_count::{arguments, plugin, sections};
use measure::{Bench, CALLS, Run};
use module_code::ModuleCode;
use report::EventCost;

/// Where Linux maps modules on x86-64, with and without KASLR.
const MODULE_SPACE: Range<u64> = 0xffff_ffff_a000_0000..0xffff_ffff_ff00_0000;

/// The driver's own instructions that a small event may cost. A bare writer
/// takes 65: a count of fewer has not found the driver.
const OWN: RangeInclusive<f64> = 65.0..=100.0;

/// The event of a thread that the workload is not.
const FILTERED: &str = "syscall_entry_getppid, filtered out";

/// By how much two runs of the same instructions differ: the timer's.
const NOISE: f64 = 0.02;

/// Rewrites the tables of `docs/cost.md`.
const UPDATE: &str = "VHOST_TRACE_UPDATE_DOCS";

#[test]
fn cost_instrument_counts_exactly() -> Result<()> {
    let lab = Lab::prepare()?;
    let out = target_dir().join("lab/cost-instrument.count");
    let program_text = 0x40_0000..0x80_0000;
    let guest = lab
        .guest("cost-instrument")
        .plugin(&plugin()?, &arguments(&out, &[program_text]))
        .program(static_program("marks")?)
        .boot()?;
    let said = guest.sh("marks")?;
    let (_, start) = said.split_once("rounds=").context("no address")?;
    let start = u64::from_str_radix(start, 16)?;
    let function = start..start + 256;
    let sections = sections(&out)?;
    ensure!(sections.len() == 4, "{} sections", sections.len());
    for (round, section) in sections.iter().enumerate() {
        let wanted = 2 + 5 * 1000 * round as u64;
        let counted = section.within(function.clone());
        ensure!(
            counted == wanted,
            "section {round}: {counted} instructions, not {wanted}"
        );
        // An interrupt may have come between the marks.
        ensure!(section.total() >= counted, "section {round}: {section:?}");
    }
    ensure!(
        sections
            .iter()
            .any(|section| section.total() == section.within(function.clone())),
        "the total is never that of the function: {sections:?}"
    );
    Ok(())
}

#[test]
fn cost_of_an_event() -> Result<()> {
    let lab = Lab::prepare()?;
    let out = target_dir().join("lab/cost.count");
    let driver = driver_module(&lab.kernel)?;
    let empty_probe = build_module(
        &lab.kernel,
        &workspace_dir().join("tests/guest/empty_probe"),
        &module_dir(&lab.kernel, "empty_probe"),
    )?;
    let mut serve = Serve::start("cost", &[])?;
    let guest = lab
        .guest("cost")
        .plugin(&plugin()?, &arguments(&out, &[MODULE_SPACE]))
        .device_args(serve.device_args(lab)?)
        .program(static_program("workload")?)
        .module(&driver)
        .module(&empty_probe)
        .boot()?;
    let bench = Bench {
        guest: &guest,
        out,
        device: "0x0025".into(),
    };
    let absent = bench.run("nothing, no driver", 0)?;
    guest.sh("insmod /modules/virtio_trace.ko")?;
    let code = ModuleCode::locate(&guest, "virtio_trace", &driver)?;
    let traced = |name, events: &str, per_call| -> Result<Run> {
        serve.vm(&["events", "--enable", events])?;
        let run = bench.run(name, per_call)?;
        serve.vm(&["events", "--disable", "*"])?;
        Ok(run)
    };

    let nothing = bench.run("nothing", 0)?;
    let driven = code.sources(nothing.counted.watched.keys().copied())?;
    ensure!(driven.is_empty(), "nothing is traced, by {driven:?}");
    let ratio = nothing.per_call() / absent.per_call();
    ensure!(
        (ratio - 1.0).abs() < NOISE,
        "a driver that traces nothing costs {ratio}"
    );
    let mut runs = vec![absent, nothing];
    guest.sh("insmod /modules/empty_probe.ko")?;
    runs.push(bench.run("empty probes on both", 2)?);
    guest.sh("rmmod empty_probe")?;
    let entry = traced("syscall_entry_getppid", "syscall_entry_getppid", 1)?;
    let exit = traced("syscall_exit_getppid", "syscall_exit_getppid", 1)?;
    let filtered = traced(FILTERED, "syscall_entry_getppid if $tid == 1", 1)?;
    let calls = [filtered.per_call(), entry.per_call()];
    let events = [
        EventCost::new(entry.name, &entry, &code)?,
        EventCost::new(exit.name, &exit, &code)?,
    ];
    let dropped = EventCost::new(filtered.name, &filtered, &code)?;
    runs.extend([entry, exit, filtered]);
    runs.push(traced("both", "syscall_*_getppid", 2)?);
    let kicks = Kicks::of(&serve.status()?)?;

    let tables = format!(
        "{}\nKicks: {}, armings: {}.\n\n{}",
        report::runs(&runs),
        kicks.received,
        kicks.armings,
        report::by_step(&[&events[0], &events[1], &dropped])
    );
    // Past the capture of tests' output: this is what the test is for.
    writeln!(std::io::stdout(), "{tables}")?;
    if std::env::var_os(UPDATE).is_some() {
        report::document(&format!(
            "{tables}\n```text\n{}```\n",
            report::by_line(&events[0])
        ))?;
    }

    ensure!(
        (1.0..events[0].total()).contains(&dropped.total()),
        "{:.2} instructions in the driver's text to filter an event out, {:.2} to record it",
        dropped.total(),
        events[0].total()
    );
    ensure!(
        calls[0] < calls[1],
        "{:.2} instructions of a call whose event is filtered out, {:.2} where it is recorded",
        calls[0],
        calls[1]
    );
    for event in &events {
        ensure!(
            OWN.contains(&event.total()),
            "{}: {:.2} instructions in the driver's text",
            event.name,
            event.total()
        );
    }
    ensure!(
        kicks.received <= kicks.armings,
        "more kicks than asked for: {kicks:?}"
    );

    // What was counted were events that arrived, not ones that were dropped.
    guest.quit()?;
    serve.terminate()?;
    let trace = read_trace(&serve.trace(), |_| Ok(()))?;
    ensure!(trace.discarded == 0, "{} discarded", trace.discarded);
    for event in &events {
        let (has, made) = (trace.count(event.name), 2 * CALLS);
        ensure!(has >= made, "{has} {} of {made}", event.name);
    }
    Ok(())
}

/// How often the guest has kicked, and been asked to.
#[derive(Debug)]
struct Kicks {
    received: u64,
    armings: u64,
}

impl Kicks {
    fn of(status: &Value) -> Result<Self> {
        let streams = status["streams"].as_array().context("no streams")?;
        let armings = |stream: &Value| stream["ring"]["armings"].as_u64().context("no armings");
        Ok(Self {
            received: status["kicks"].as_u64().context("no kicks")?,
            armings: streams.iter().map(armings).sum::<Result<u64>>()?,
        })
    }
}

#[test]
fn cost_of_an_idle_guest() -> Result<()> {
    const WINDOW: Duration = Duration::from_secs(10);
    let lab = Lab::prepare()?;
    let driver = driver_module(&lab.kernel)?;
    let serve = Serve::start("cost-idle", &[])?;
    let guest = lab
        .guest("cost-idle")
        .smp(2)
        .device_args(serve.device_args(lab)?)
        .module(&driver)
        .boot()?;
    guest.sh("insmod /modules/virtio_trace.ko")?;
    serve.vm(&["events", "--enable", "sched_*,syscalls"])?;
    let enabled = &serve.status()?["driver"]["enabled"];
    ensure!(enabled.as_u64() > Some(0), "{enabled} events are enabled");
    // What the last command has left to do is done in this time.
    std::thread::sleep(Duration::from_secs(2));
    let before = wakeups(serve.pid())?;
    std::thread::sleep(WINDOW);
    let wakeups = wakeups(serve.pid())? - before;
    writeln!(
        std::io::stdout(),
        "serve of an idle traced guest: {wakeups} wake-ups in {WINDOW:?}"
    )?;
    ensure!(wakeups <= 1, "{wakeups} wake-ups in {WINDOW:?}");
    Ok(())
}

/// How often the threads of a process have gone to sleep.
fn wakeups(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let count = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .context("no voluntary_ctxt_switches")?;
        sum += count.trim().parse::<u64>()?;
    }
    Ok(sum)
}
