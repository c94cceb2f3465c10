//! Numbered events from task, softirq, hard interrupt and NMI context at once.

use anyhow::Result;
use vhost_trace_lab::{Lab, Witness};

use crate::numbers::{account, assert_complete, read_numbers};
use crate::rig::{ROOMY, Rig, SMALL, TIME};

const NMIS: u64 = 1000;
const NMIS_IN_RESERVATION: u64 = 50;
/// NMIs sent before the counters are looked at again.
const BATCH: u32 = 100;
const VCPUS: u32 = 2;
/// `inject-nmi` then reaches all vCPUs.
const NMI_EVERYWHERE: &str = "apic_extnmi=all";

/// Writes flat out, with NMIs from outside, until enough of them have hit a
/// reservation.
fn storm(rig: &Rig, witness: &Witness) -> Result<()> {
    rig.run_witness(true)?;
    loop {
        for _ in 0..BATCH {
            rig.guest.inject_nmi()?;
        }
        let cpus = witness.read()?;
        let nmis: u64 = cpus.iter().map(|cpu| cpu.nmis).sum();
        let inside: u64 = cpus.iter().map(|cpu| cpu.nmis_in_reservation).sum();
        if nmis >= NMIS && inside >= NMIS_IN_RESERVATION {
            println!("{nmis} NMIs, {inside} of them inside a reservation");
            return rig.run_witness(false);
        }
    }
}

fn stress(name: &str, mode: &str) -> Result<()> {
    Lab::prepare()?;
    let args = [SMALL, &["--mode", mode]].concat();
    let mut rig = Rig::boot_with(name, &args, |guest| guest.smp(VCPUS).append(NMI_EVERYWHERE))?;
    rig.load_driver()?;
    let witness = rig.load_witness("payload=24")?;
    storm(&rig, &witness)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;
    let (summary, numbers) = read_numbers(&rig.serve.trace())?;

    let mut missing = 0;
    for (index, cpu) in cpus.iter().enumerate() {
        let index = index as u32;
        let account = account(&status, index)?;
        let seen: u64 = numbers
            .range((index, 0)..(index + 1, 0))
            .map(|(_, seen)| seen.count)
            .sum();
        println!("vCPU {index}: {seen} in the trace, {account:?}, {cpu:?}");
        assert_eq!(seen, account.events, "vCPU {index}: trace and status");
        assert_eq!(
            cpu.attempted(),
            account.events + account.lost + account.overwritten,
            "vCPU {index}: attempted, and what became of it"
        );
        assert_eq!(cpu.recorded(), account.events + account.overwritten);
        let laps = cpu.recorded() * 20 / (4 * 16384);
        assert!(laps >= 3, "vCPU {index}: the ring came round {laps} times");
        missing += account.lost + account.overwritten;
    }
    assert_eq!(summary.discarded, missing, "babeltrace2's sum of the loss");
    Ok(())
}

#[test]
fn trace_numbers_in_discard_mode_are_there_or_counted() -> Result<()> {
    stress("stress-discard", "discard")
}

#[test]
fn trace_numbers_in_overwrite_mode_are_there_or_counted() -> Result<()> {
    stress("stress-overwrite", "overwrite")
}

#[test]
fn trace_paced_numbers_are_all_there() -> Result<()> {
    let mut rig = Rig::boot("stress-paced", VCPUS, ROOMY)?;
    rig.load_driver()?;
    let witness = rig.load_witness("payload=24 pace_us=1000 burst=8 count=40000 irq_us=1000")?;
    let console = rig.guest.console().len();
    rig.run_witness(true)?;
    rig.guest.wait_console(console, "vt_witness: done", TIME)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;
    let (summary, numbers) = read_numbers(&rig.serve.trace())?;
    assert_complete(&numbers, &cpus);
    for (index, cpu) in cpus.iter().enumerate() {
        assert!(cpu.contexts[0].recorded >= 40_000, "{cpu:?}");
        assert_eq!(cpu.attempted(), cpu.recorded(), "{cpu:?}");
        let account = account(&status, index as u32)?;
        assert_eq!((account.lost, account.overwritten), (0, 0), "{account:?}");
    }
    assert_eq!(summary.discarded, 0);
    Ok(())
}
