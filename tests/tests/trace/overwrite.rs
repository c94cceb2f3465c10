//! Rings in overwrite mode: read while the guest writes flat out, while it is
//! paused, and after it was killed.

use std::collections::HashSet;
use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use vhost_trace_lab::{Cpu, Guest, Summary, Witness, full_tier};

use crate::numbers::{Numbers, account, visit_numbers};
use crate::rig::{Rig, SMALL, TIME, TINY};
use crate::rings::{Content, Hole, Ring, find_rings, read_rings};

const VCPUS: u32 = 2;
/// Mostly inside a reservation, and often interrupted.
const WRITERS: &str = "payload=24 irq_us=100";
/// Times that a guest is frozen until it is found inside a reservation.
const MOMENTS: u32 = 500;

fn boot(name: &str, geometry: &[&str]) -> Result<(Rig, Witness, Vec<Ring>)> {
    let rig = Rig::boot(name, VCPUS, &[geometry, &["--mode", "overwrite"]].concat())?;
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    let rings = find_rings(rig.memory.path())?;
    ensure!(rings.len() == VCPUS as usize, "{rings:?}");
    rig.run_witness(true)?;
    Ok((rig, witness, rings))
}

/// What a trace holds of numbered events.
struct Trace {
    summary: Summary,
    numbers: Numbers,
    all: HashSet<(u32, usize, u64)>,
}

/// Reads a trace; its events are whole, and their numbers ascend.
fn read(rig: &Rig) -> Result<Trace> {
    let mut all = HashSet::new();
    let (summary, numbers) = visit_numbers(&rig.serve.trace(), |vcpu, context, sequence| {
        all.insert((vcpu, context, sequence));
    })?;
    Ok(Trace {
        summary,
        numbers,
        all,
    })
}

impl Trace {
    /// Every whole event of a ring up to position `end` is in it.
    fn assert_holds(&self, ring: &Content, end: u64) {
        let vcpu = ring.vcpu;
        for event in ring.events.iter().filter(|event| event.position < end) {
            let key = (vcpu, event.context, event.sequence);
            assert!(self.all.contains(&key), "vCPU {vcpu}: {event:?} is missing");
        }
    }

    /// Events of a vCPU.
    fn count(&self, vcpu: u32) -> u64 {
        let numbers = self.numbers.range((vcpu, 0)..(vcpu + 1, 0));
        numbers.map(|(_, seen)| seen.count).sum()
    }

    /// All that was attempted is in the trace, or lost, or was overwritten;
    /// trace and status agree.
    fn assert_accounts(&self, status: &Value, cpus: &[Cpu]) -> Result<()> {
        let mut missing = 0;
        for (vcpu, cpu) in (0..).zip(cpus) {
            let account = account(status, vcpu)?;
            println!(
                "vCPU {vcpu}: {} in the trace, {account:?}",
                self.count(vcpu)
            );
            assert_eq!(
                cpu.attempted(),
                account.events + account.lost + account.overwritten,
                "vCPU {vcpu}: attempted, and what became of it"
            );
            assert_eq!(
                self.count(vcpu),
                account.events,
                "vCPU {vcpu}: trace, status"
            );
            missing += account.lost + account.overwritten;
        }
        assert_eq!(self.summary.discarded, missing, "babeltrace2's sum");
        Ok(())
    }
}

/// What a ring holds is the newest there is: its numbers have no gap, and they
/// end where the witness says.
fn assert_newest(ring: &Content, cpu: &Cpu) {
    let vcpu = ring.vcpu;
    assert!(!ring.events.is_empty(), "vCPU {vcpu}: no event");
    for (context, counts) in cpu.contexts.iter().enumerate() {
        let numbers = ring.events.iter().filter(|event| event.context == context);
        let numbers: Vec<u64> = numbers.map(|event| event.sequence).collect();
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
            // Others wrote a ring full since it was last there.
            continue;
        };
        let place = format!("vCPU {vcpu} context {context}: {first} to {last}, {counts:?}");
        let gaps = last - first + 1 - numbers.len() as u64;
        assert!(gaps <= ring.lost, "{gaps} missing: {place}");
        assert!(*last >= counts.last, "the last is missing: {place}");
        assert!(*last <= counts.attempted, "never attempted: {place}");
    }
}

/// A hole as the log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Logged {
    vcpu: u32,
    level: usize,
    begin: u64,
    bytes: u64,
}

/// The holes in serve's log.
fn logged_holes(rig: &Rig) -> Result<Vec<Logged>> {
    let log = fs::read_to_string(rig.serve.dir().join("serve.log"))?;
    log.lines()
        .filter(|line| line.contains("not committed"))
        .map(|line| logged(line).with_context(|| format!("{line:?}")))
        .collect()
}

/// `.. vCPU 1: channel 0: ring 1: level 0: 40 bytes at 0x1234 are reserved ..`
fn logged(line: &str) -> Result<Logged> {
    let word = |before: &str| {
        let rest = line
            .split_once(before)
            .with_context(|| format!("no {before:?}"))?
            .1;
        rest.split([' ', ':']).next().context("nothing follows")
    };
    let bytes = line.split_once(" bytes").context("no bytes")?.0;
    Ok(Logged {
        vcpu: word("vCPU ")?.parse()?,
        level: word("level ")?.parse()?,
        begin: u64::from_str_radix(word(" at 0x")?, 16)?,
        bytes: bytes.rsplit(' ').next().context("no number")?.parse()?,
    })
}

/// Every ring with something missing has its holes in the log, and no other:
/// the rings as they were at each of the moments when they were read.
fn assert_reported(rig: &Rig, moments: &[&[Content]]) -> Result<()> {
    let logged = logged_holes(rig)?;
    let rings = || moments.iter().copied().flatten();
    for ring in rings().filter(|ring| ring.missing > 0) {
        let told = |hole: &&Hole| logged.contains(&as_logged(ring.vcpu, hole));
        let told: Vec<_> = ring.holes.iter().filter(told).collect();
        let bytes: u64 = told.iter().map(|hole| hole.end - hole.begin).sum();
        println!(
            "vCPU {}: {} bytes missing, told: {told:?}",
            ring.vcpu, ring.missing
        );
        assert!(bytes >= ring.missing, "{ring:?} is not in {logged:?}");
    }
    for hole in &logged {
        let real = rings().any(|ring| ring.holes.iter().any(|h| as_logged(ring.vcpu, h) == *hole));
        assert!(real, "{hole:?} is none of the rings'");
    }
    Ok(())
}

/// A hole in the terms of the log: padding of a sub-buffer that is left is
/// not told.
fn as_logged(vcpu: u32, hole: &Hole) -> Logged {
    let begin = hole.begin + hole.padding;
    Logged {
        vcpu,
        level: hole.level,
        begin,
        bytes: hole.end - begin,
    }
}

/// Waits until the sinks have written all that they were given.
fn wait_written(rig: &Rig) -> Result<()> {
    rig.serve.wait_status("the sinks", TIME, |status| {
        let sinks = status["sinks"].as_array()?;
        sinks
            .iter()
            .all(|sink| sink["in_flight"] == 0)
            .then_some(())
    })
}

#[test]
fn trace_overwrite_is_read_while_the_guest_writes() -> Result<()> {
    const READS: u32 = 100;
    let (mut rig, witness, rings) = boot("overwrite-flat-out", TINY)?;
    for _ in 0..READS {
        // Whoever asks has the rings read.
        rig.serve.status()?;
    }
    // A guest that overwrites all the time is faster than some of the reads.
    let status = rig
        .serve
        .wait_status("packets of each vCPU", TIME, |status| {
            let read = |vcpu| {
                let stream = crate::numbers::stream(status, vcpu).ok()?;
                let packets = stream["packets"].as_u64()?;
                println!("vCPU {vcpu}: {packets} packets while it wrote");
                (packets > 0).then_some(())
            };
            (0..VCPUS)
                .all(|vcpu| read(vcpu).is_some())
                .then(|| status.clone())
        })?;
    for vcpu in 0..VCPUS {
        assert!(account(&status, vcpu)?.overwritten > 0);
    }
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let contents = read_rings(rig.memory.path(), &rings)?;
    let status = rig.finish()?;
    let trace = read(&rig)?;
    for (ring, cpu) in contents.iter().zip(&cpus) {
        assert_newest(ring, cpu);
        trace.assert_holds(ring, ring.pos);
    }
    trace.assert_accounts(&status, &cpus)?;
    assert_reported(&rig, &[])
}

/// Paused at moments of all kinds, one of them inside a reservation.
#[test]
fn trace_overwrite_is_read_while_the_guest_is_paused() -> Result<()> {
    const PAUSES: u32 = 3;
    let (mut rig, witness, rings) = boot("overwrite-paused", SMALL)?;
    let mut moments = Vec::new();
    loop {
        rig.guest.stop()?;
        let contents = read_rings(rig.memory.path(), &rings)?;
        let cpus = witness.read()?;
        wait_written(&rig)?;
        let trace = read(&rig)?;
        for (ring, cpu) in contents.iter().zip(&cpus) {
            assert_newest(ring, cpu);
            // What is behind a hole waits for what is in it.
            let end = ring.holes.first().map_or(ring.pos, |hole| hole.begin);
            trace.assert_holds(ring, end);
        }
        let inside = contents.iter().any(|ring| ring.missing > 0);
        moments.push(contents);
        let pauses = moments.len() as u32;
        rig.guest.cont()?;
        if inside && pauses >= PAUSES {
            println!("paused {pauses} times");
            break;
        }
        ensure!(pauses < MOMENTS, "never paused inside a reservation");
        moment();
    }
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let contents = read_rings(rig.memory.path(), &rings)?;
    let status = rig.finish()?;
    let trace = read(&rig)?;
    for (ring, cpu) in contents.iter().zip(&cpus) {
        assert_newest(ring, cpu);
        trace.assert_holds(ring, ring.pos);
    }
    trace.assert_accounts(&status, &cpus)?;
    let moments: Vec<&[Content]> = moments.iter().map(Vec::as_slice).collect();
    assert_reported(&rig, &moments)
}

/// Killed as it runs, and a moment after a pause: then its driver may not have
/// said yet that it goes on.
#[test]
fn trace_overwrite_is_read_after_qemu_was_killed() -> Result<()> {
    for run in 0..if full_tier() { 10 } else { 2 } {
        let (rig, witness, rings) = boot("overwrite-killed", SMALL)?;
        let mut moments = Vec::new();
        if run % 2 == 1 {
            rig.guest.stop()?;
            moments = read_rings(rig.memory.path(), &rings)?;
            rig.guest.cont()?;
        }
        moment();
        rig.guest.kill()?;
        dead(rig, &witness, &rings, &moments)?;
    }
    Ok(())
}

/// The same, at a moment when something is missing in a ring.
#[test]
fn trace_overwrite_is_read_after_a_kill_inside_a_reservation() -> Result<()> {
    let (rig, witness, rings) = boot("overwrite-killed-inside", SMALL)?;
    for moments in 1..=MOMENTS {
        moment();
        freeze(&rig.guest)?;
        let contents = read_rings(rig.memory.path(), &rings)?;
        if contents.iter().any(|ring| ring.missing > 0) {
            println!("after {moments} moments");
            rig.guest.kill()?;
            let inside = dead(rig, &witness, &rings, &[])?;
            assert!(inside, "something was missing");
            return Ok(());
        }
        signal(&rig.guest, libc::SIGCONT)?;
    }
    bail!("never inside a reservation in {MOMENTS} moments")
}

/// What is left of a guest that was killed is in its trace; `before` is what
/// its rings were when it was paused. Returns whether something was missing.
fn dead(mut rig: Rig, witness: &Witness, rings: &[Ring], before: &[Content]) -> Result<bool> {
    let contents = read_rings(rig.memory.path(), rings)?;
    let cpus = witness.read()?;
    rig.serve.wait_log("the front end", TIME)?;
    rig.serve.terminate()?;
    let trace = read(&rig)?;
    for (ring, cpu) in contents.iter().zip(&cpus) {
        println!(
            "vCPU {}: {} events in the ring",
            ring.vcpu,
            ring.events.len()
        );
        assert_newest(ring, cpu);
        trace.assert_holds(ring, ring.pos);
    }
    assert_reported(&rig, &[before, &contents])?;
    Ok(contents.iter().any(|ring| ring.missing > 0))
}

/// Lets the guest run for a short while. There is no event to wait for: any
/// moment may be the one.
fn moment() {
    use std::hash::{BuildHasher, Hasher};
    let random = std::hash::RandomState::new().build_hasher().finish();
    thread::sleep(Duration::from_micros(2000 + random % 20_000));
}

fn signal(guest: &Guest, signal: i32) -> Result<i32> {
    let pid = guest.pid().context("QEMU has ended")? as i32;
    // SAFETY: kill has no memory preconditions.
    ensure!(unsafe { libc::kill(pid, signal) } == 0, "signal {signal}");
    Ok(pid)
}

/// Stops QEMU's threads wherever they are; QEMU does not notice.
fn freeze(guest: &Guest) -> Result<()> {
    let pid = signal(guest, libc::SIGSTOP)? as libc::id_t;
    // SAFETY: an all-zero siginfo_t is a valid value for waitid to fill.
    let mut info = unsafe { std::mem::zeroed() };
    // SAFETY: info outlives the call. All threads stand still when it returns.
    let done = unsafe { libc::waitid(libc::P_PID, pid, &mut info, libc::WSTOPPED) };
    ensure!(done == 0, "QEMU was not stopped");
    Ok(())
}
