//! A guest that sleeps, or starts another kernel without a reset of its
//! machine.

use std::fs;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{DEFAULT_CMDLINE, Lab, Witness, static_program};

use crate::life::{assert_numbers, sessions};
use crate::numbers::{assert_recorded, read_numbers};
use crate::rig::{ROOMY, Rig, TIME};

const WRITERS: &str = "payload=24 pace_us=1000 burst=4 irq_us=2000";

/// Writes until something has been recorded for some time.
fn write_on(rig: &Rig, witness: &Witness) -> Result<()> {
    let before = witness.read()?[0].recorded();
    rig.guest.sh("sleep 1")?;
    ensure!(witness.read()?[0].recorded() > before, "nothing is written");
    Ok(())
}

/// Events of the time without a device are nobody's; each session has what was
/// recorded in it.
#[test]
fn life_goes_on_after_suspend_to_memory() -> Result<()> {
    let mut rig = Rig::boot_with("life-suspend", ROOMY, |guest| {
        guest.smp(2).append("suspend.pm_test_delay=1")
    })?;
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    rig.run_witness(true)?;
    // All of it but the firmware's part, from which a guest whose kernel QEMU
    // has loaded by itself does not come back.
    rig.guest.sh("echo core >/sys/power/pm_test")?;
    for _ in 0..2 {
        write_on(&rig, &witness)?;
        rig.guest.sh_within("echo mem >/sys/power/state", TIME)?;
    }
    write_on(&rig, &witness)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    rig.finish()?;
    ensure!(sessions(&rig.serve.trace())?.len() == 3);
    let (summary, numbers) = read_numbers(&rig.serve.trace())?;
    assert_eq!(summary.discarded, 0);
    assert_recorded(&numbers, &cpus);
    Ok(())
}

/// A guest that has the lab's kernel and initramfs at hand, as its next ones.
fn boot_with_next_kernel(name: &str, how: &str) -> Result<(Rig, Witness)> {
    let rig = Rig::boot_with(name, ROOMY, |guest| {
        guest
            .smp(2)
            .memory_mib(1024)
            .program(static_program("kexec").unwrap_or_default())
            .append("crashkernel=256M")
    })?;
    let next = [
        (&Lab::prepare()?.kernel.bz_image, "/tmp/kernel"),
        (&rig.guest.dir().join("initramfs"), "/tmp/initramfs"),
    ];
    for (file, place) in next {
        rig.guest.push(&fs::read(file)?, place)?;
    }
    // The devices of a crashed kernel still send interrupts.
    let cmdline = format!("{DEFAULT_CMDLINE} loglevel=7 irqpoll reset_devices");
    rig.guest.sh(&format!(
        "kexec {how} /tmp/kernel /tmp/initramfs '{cmdline}'"
    ))?;
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    rig.run_witness(true)?;
    write_on(&rig, &witness)?;
    Ok((rig, witness))
}

/// The session before, and that the next kernel can be traced.
fn next_session(rig: &mut Rig) -> Result<std::path::PathBuf> {
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    rig.run_witness(true)?;
    write_on(rig, &witness)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;
    assert_eq!(status["complaints"], 0);
    let sessions = sessions(&rig.serve.trace())?;
    ensure!(sessions.len() == 2, "{sessions:?}");
    let (_, numbers) = read_numbers(&sessions[1])?;
    assert_numbers(&numbers, &cpus, &cpus);
    sessions.into_iter().next().context("no session")
}

/// The driver gives everything back before the next kernel starts, which has
/// no reset of the machine to protect it.
#[test]
fn life_ends_before_kexec() -> Result<()> {
    let (mut rig, witness) = boot_with_next_kernel("life-kexec", "load")?;
    let before = witness.read()?;
    let job = rig.guest.spawn("kexec exec")?;
    rig.serve.wait_log("the guest's driver has left", TIME)?;
    rig.guest.wait_boot(2, TIME)?;
    drop(job);
    let first = next_session(&mut rig)?;
    let (summary, numbers) = read_numbers(&first)?;
    assert_eq!(summary.discarded, 0);
    for (index, cpu) in before.iter().enumerate() {
        for (context, counts) in cpu.contexts.iter().enumerate() {
            let seen = numbers.get(&(index as u32, context)).copied();
            let seen = seen.unwrap_or_default();
            let place = format!("vCPU {index} context {context}: {seen:?}, {counts:?}");
            assert_eq!(seen.count, seen.last, "a number is missing: {place}");
            assert!(seen.last >= counts.last, "the last is missing: {place}");
        }
    }
    Ok(())
}

/// A kernel that panics into its crash kernel leaves rings that are read to
/// their end, and stay as they were.
#[test]
fn life_of_a_crash_kernel_leaves_the_rings() -> Result<()> {
    let (mut rig, witness) = boot_with_next_kernel("life-kdump", "crash")?;
    let before = witness.read()?;
    let _panics = rig.guest.spawn("echo c >/proc/sysrq-trigger")?;
    rig.guest.wait_boot(2, TIME)?;
    // The crash kernel lives elsewhere.
    let after = witness.read()?;
    ensure!(after[0].recorded() >= before[0].recorded());
    let first = next_session(&mut rig)?;
    let (summary, numbers) = read_numbers(&first)?;
    assert_eq!(summary.discarded, 0);
    assert_numbers(&numbers, &before, &after);
    Ok(())
}
