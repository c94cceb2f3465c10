//! Ends of all kinds at random moments: what the witness says was committed is
//! in the trace.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Cpu, Witness, full_tier};

use crate::numbers::{Numbers, assert_recorded, read_numbers};
use crate::rig::{ROOMY, Rig, TIME};

const VCPUS: u32 = 2;
const WRITERS: &str = "payload=24 pace_us=1000 burst=4 irq_us=2000";

/// Runs of each kind: 10 in all in the default tier, 50 in the full one.
fn runs(default: u32) -> u32 {
    if full_tier() { 5 * default } else { default }
}

/// Lets the guest run for a random part of a second. There is no event to wait
/// for: any moment may be the last one.
fn some_time() {
    let random = RandomState::new().build_hasher().finish() % 800;
    println!("after {} ms", 200 + random);
    thread::sleep(Duration::from_millis(200 + random));
}

fn boot(name: &str) -> Result<(Rig, Witness)> {
    let rig = Rig::boot(name, VCPUS, ROOMY)?;
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    rig.run_witness(true)?;
    Ok((rig, witness))
}

/// No number is missing up to the last, which is not before what the witness
/// said at first and not behind what it said in the end.
fn assert_holds(trace: &Path, before: &[Cpu], after: &[Cpu]) -> Result<()> {
    let (summary, numbers) = read_numbers(trace)?;
    assert_eq!(summary.discarded, 0);
    assert_numbers(&numbers, before, after);
    Ok(())
}

pub fn assert_numbers(numbers: &Numbers, before: &[Cpu], after: &[Cpu]) {
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        for context in 0..before.contexts.len() {
            let (least, most) = (before.contexts[context], after.contexts[context]);
            let seen = numbers
                .get(&(index as u32, context))
                .copied()
                .unwrap_or_default();
            let place = format!("vCPU {index} context {context}: {seen:?}, {least:?}, {most:?}");
            assert_eq!(seen.count, seen.last, "a number is missing: {place}");
            assert!(seen.last >= least.last, "the last is missing: {place}");
            assert!(seen.last <= most.attempted, "never attempted: {place}");
        }
    }
    assert!(before[0].contexts[0].last > 0, "nothing was written");
}

#[test]
fn trace_survives_stop_and_cont() -> Result<()> {
    let (mut rig, witness) = boot("life-stop")?;
    for _ in 0..runs(2) {
        some_time();
        rig.guest.stop()?;
        let stopped = witness.read()?;
        // What a paused guest has written can be read at once.
        rig.serve.wait_log("stopped", TIME)?;
        rig.guest.cont()?;
        some_time();
        ensure!(witness.read()?[0].attempted() > stopped[0].attempted());
    }
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    rig.finish()?;
    assert_holds(&rig.serve.trace(), &cpus, &cpus)
}

#[test]
fn trace_survives_the_death_of_qemu() -> Result<()> {
    for _ in 0..runs(2) {
        let (mut rig, witness) = boot("life-kill")?;
        some_time();
        rig.guest.kill()?;
        let cpus = witness.read()?;
        rig.serve.terminate()?;
        assert_holds(&rig.serve.trace(), &cpus, &cpus)?;
    }
    Ok(())
}

#[test]
fn trace_survives_the_end_of_serve() -> Result<()> {
    for _ in 0..runs(2) {
        let (mut rig, witness) = boot("life-term")?;
        some_time();
        let before = witness.read()?;
        rig.serve.terminate()?;
        let after = witness.read()?;
        assert_holds(&rig.serve.trace(), &before, &after)?;
        // The guest goes on without its device.
        rig.guest.sh("rmmod vt_witness")?;
        rig.guest.sh("rmmod virtio_trace")?;
    }
    Ok(())
}

#[test]
fn trace_survives_an_unbound_driver() -> Result<()> {
    let (mut rig, witness) = boot("life-unbind")?;
    let driver = "/sys/bus/virtio/drivers/virtio_trace";
    let device = rig
        .guest
        .sh(&format!("basename $(ls -d {driver}/virtio*)"))?;
    let mut last = witness.read()?;
    for _ in 0..runs(2) {
        some_time();
        rig.guest.sh(&format!("echo {device} >{driver}/unbind"))?;
        let unbound = witness.read()?;
        ensure!(unbound[0].recorded() > last[0].recorded());
        rig.guest.sh(&format!("echo {device} >{driver}/bind"))?;
        last = witness.read()?;
    }
    some_time();
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    rig.finish()?;
    // Without a driver events are lost where no ring counts them: each
    // session has what was recorded in it.
    let (_, numbers) = read_numbers(&rig.serve.trace())?;
    assert_recorded(&numbers, &cpus);
    Ok(())
}

/// Resets the guest by `reset`, and reads the witness before the next kernel
/// gets so far.
fn across_a_reset(name: &str, reset: impl Fn(&Rig) -> Result<()>) -> Result<()> {
    let (mut rig, mut witness) = boot(name)?;
    for run in 1..=runs(1) {
        some_time();
        let before = witness.read()?;
        rig.guest.forget_events("RESET");
        reset(&rig)?;
        rig.guest.wait_event("RESET", TIME)?;
        let after = witness.read()?;
        ensure!(after[0].attempted() >= before[0].attempted(), "overwritten");
        rig.guest.wait_boot(run + 1, TIME)?;
        rig.load_driver()?;
        let session = sessions(&rig.serve.trace())?
            .into_iter()
            .nth(run as usize - 1)
            .context("no trace of the session before")?;
        assert_holds(&session, &before, &after)?;
        witness = rig.load_witness(WRITERS)?;
        rig.run_witness(true)?;
    }
    rig.finish().map(|_| ())
}

/// The traces of a VM's sessions, in order.
pub fn sessions(trace: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found: Vec<_> = fs::read_dir(trace)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

#[test]
fn trace_survives_a_reset() -> Result<()> {
    across_a_reset("life-reset", |rig| {
        rig.guest
            .qmp("system_reset", serde_json::Value::Null)
            .map(|_| ())
    })
}

#[test]
fn trace_survives_a_panic() -> Result<()> {
    across_a_reset("life-panic", |rig| {
        rig.guest.spawn("echo c >/proc/sysrq-trigger").map(|_| ())
    })
}

/// While a guest stands still after its reset, only `serve` could write its
/// memory.
#[test]
fn trace_writes_no_byte_after_a_reset() -> Result<()> {
    let (mut rig, witness) = boot("life-untouched")?;
    some_time();
    ensure!(witness.read()?[0].recorded() > 0);
    rig.guest.stop()?;
    rig.serve.wait_log("stopped", TIME)?;
    rig.guest.qmp("system_reset", serde_json::Value::Null)?;
    rig.guest.wait_event("RESET", TIME)?;
    let before = fs::read(rig.memory.path())?;
    rig.enable("sched_switch")?;
    rig.serve.vm(&["events", "--disable", "*"])?;
    rig.serve.status()?;
    rig.serve.signal(libc::SIGTERM);
    ensure!(rig.serve.wait_exit(TIME)?.success());
    let after = fs::read(rig.memory.path())?;
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert_eq!((changed, before.len()), (0, after.len()));
    Ok(())
}
