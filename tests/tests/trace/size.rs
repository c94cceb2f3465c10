//! Guests that are large, or grow while they are traced.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::{Guest, Lab, Witness, read_trace};

use crate::numbers::{account, assert_complete, read_numbers};
use crate::rig::{ROOMY, Rig, TIME};

/// Writers that no ring loses.
const PACED: &str = "payload=24 pace_us=1000 burst=4 irq_us=2000";

/// A counter that each vCPU gets when it comes online.
const COUNTER: &str = "perf_cpu_context_switches";

/// The end of what 32 bits address.
const GIB_4: u64 = 4 << 30;

/// Ends guest and `serve`: no number of any vCPU is missing.
fn finish_complete(rig: &mut Rig, witness: &Witness, vcpus: u32) -> Result<()> {
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;
    let (summary, numbers) = read_numbers(&rig.serve.trace())?;
    assert_complete(&numbers, &cpus);
    assert_eq!(summary.discarded, 0);
    for vcpu in 0..vcpus {
        ensure!(cpus[vcpu as usize].recorded() > 0, "vCPU {vcpu}: nothing");
        let account = account(&status, vcpu)?;
        assert_eq!((account.lost, account.overwritten), (0, 0), "vCPU {vcpu}");
    }
    Ok(())
}

/// Plugs a vCPU in and brings it online.
fn plug_vcpu(guest: &Guest, number: u32) -> Result<()> {
    plug_in(guest, number)?;
    bring_online(guest, number)
}

fn bring_online(guest: &Guest, number: u32) -> Result<()> {
    let online = format!("/sys/devices/system/cpu/cpu{number}/online");
    // The guest is told by an interrupt; udev would do this.
    let wait = format!("until test -e {online}; do usleep 10000; done; echo 1 >{online}");
    guest.sh_within(&wait, TIME).map(|_| ())
}

fn plug_in(guest: &Guest, number: u32) -> Result<()> {
    let places = guest.qmp("query-hotpluggable-cpus", Value::Null)?;
    let place = places
        .as_array()
        .context("no places of vCPUs")?
        .iter()
        .rev()
        .find(|place| place.get("qom-path").is_none())
        .context("no place for a vCPU is free")?;
    let mut device = place["props"].clone();
    device["driver"] = place["type"].clone();
    device["id"] = json!(format!("vcpu{number}"));
    guest.qmp("device_add", device).map(|_| ())
}

/// Plugs memory in, which the guest takes at once.
fn plug_memory(guest: &Guest, mib: u32) -> Result<()> {
    let total = "awk '/MemTotal/ { print $2 }' /proc/meminfo";
    let before: u64 = guest.sh(total)?.parse()?;
    guest.qmp(
        "object-add",
        json!({
            "qom-type": "memory-backend-memfd",
            "id": "more",
            "size": u64::from(mib) << 20,
            "share": true,
        }),
    )?;
    guest.qmp(
        "device_add",
        json!({ "driver": "pc-dimm", "id": "dimm", "memdev": "more" }),
    )?;
    // The last part of it comes online some time after the first.
    let wanted = before + u64::from(mib) * 1024 * 9 / 10;
    guest.sh_within(
        &format!("until [ $({total}) -ge {wanted} ]; do usleep 10000; done"),
        TIME,
    )?;
    Ok(())
}

/// The highest address of a ring's first sub-buffer.
fn highest_address(rig: &Rig) -> Result<u64> {
    let status = rig.serve.status()?;
    let streams = status["streams"].as_array().context("no streams")?;
    streams
        .iter()
        .filter_map(|stream| stream["ring"]["address"].as_u64())
        .max()
        .with_context(|| format!("no ring has an address in {status:#}"))
}

/// vCPUs and memory come while all vCPUs write, and a vCPU goes and comes
/// again.
#[test]
fn size_grows_under_load() -> Result<()> {
    const VCPUS: u32 = 4;
    let args = [ROOMY, &["--context", COUNTER]].concat();
    // Since 6.9 Linux takes new vCPUs only where it knows the hypervisor, which
    // translation is none for it: there they are present, and come up late.
    let plugged = Lab::prepare()?.kernel.release.starts_with("6.1.");
    let mut rig = Rig::boot_with("size-grows", &args, |guest| {
        match plugged {
            true => guest.smp(2).max_vcpus(VCPUS),
            false => guest.smp(VCPUS).append("maxcpus=2"),
        }
        .max_memory_mib(8192)
        .append("memhp_default_state=online_kernel")
    })?;
    rig.load_driver()?;
    let witness = rig.load_witness(PACED)?;
    rig.run_witness(true)?;
    ensure!(highest_address(&rig)? < GIB_4);

    for vcpu in 2..VCPUS {
        match plugged {
            true => plug_vcpu(&rig.guest, vcpu)?,
            false => bring_online(&rig.guest, vcpu)?,
        }
    }
    plug_memory(&rig.guest, 1024)?;
    // Its writers start on all vCPUs that there are.
    rig.run_witness(true)?;
    let online = "/sys/devices/system/cpu/cpu3/online";
    rig.guest
        .sh(&format!("echo 0 >{online} && echo 1 >{online}"))?;

    // New rings are in the new memory, which the guest prefers.
    rig.run_witness(false)?;
    let device = "/sys/bus/virtio/drivers/virtio_trace";
    let name = rig
        .guest
        .sh(&format!("basename $(ls -d {device}/virtio*)"))?;
    rig.guest.sh(&format!("echo {name} >{device}/unbind"))?;
    rig.guest.sh(&format!("echo {name} >{device}/bind"))?;
    ensure!(highest_address(&rig)? >= GIB_4);
    rig.run_witness(true)?;
    rig.guest.sh("sleep 1")?;
    finish_complete(&mut rig, &witness, VCPUS)?;
    let mut counts = BTreeMap::new();
    read_trace(&rig.serve.trace(), |event| {
        if let Some(count) = event.context_int(COUNTER) {
            counts.insert(event.cpu, count);
        }
        Ok(())
    })?;
    assert_eq!(counts.len(), VCPUS as usize);
    assert!(counts.values().all(|count| *count > 0), "{counts:?}");
    Ok(())
}

/// A ring that the guest has no memory for is missed, and its events are
/// counted; the others are traced.
#[test]
fn size_of_rings_beyond_memory_is_survived() -> Result<()> {
    let args = &["--sub-size", "4M", "--num-sub", "32"];
    let mut rig = Rig::boot_with("size-beyond", args, |guest| guest.smp(2).memory_mib(256))?;
    let from = rig.guest.console().len();
    rig.load_driver()?;
    rig.guest
        .wait_console(from, "no memory for vCPU 1's ring of channel 0", TIME)?;
    let witness = rig.load_witness(PACED)?;
    rig.run_witness(true)?;
    rig.guest.sh("sleep 1")?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let missed = &rig.serve.status()?["driver"]["lost_no_ring"];
    assert_eq!(missed.as_u64(), Some(cpus[1].attempted()));
    let status = rig.finish()?;
    let (_, numbers) = read_numbers(&rig.serve.trace())?;
    ensure!(cpus[0].recorded() > 0 && cpus[0].attempted() == cpus[0].recorded());
    ensure!(cpus[1].recorded() == 0 && cpus[1].attempted() > 0);
    assert_complete(&numbers, &cpus);
    ensure!(account(&status, 0)?.lost == 0);
    Ok(())
}

/// More vCPUs than a virtio device has queues for.
#[test]
#[ignore = "full tier"]
fn size_of_80_vcpus() -> Result<()> {
    const VCPUS: u32 = 80;
    let mut rig = Rig::boot_with("size-80", ROOMY, |guest| {
        guest
            .smp(VCPUS)
            .memory_mib(2048)
            .boot_deadline(Duration::from_secs(600))
    })?;
    rig.load_driver()?;
    let witness = rig.load_witness("payload=24 pace_us=100000 burst=4 contexts=1")?;
    rig.run_witness(true)?;
    rig.guest.sh_within("sleep 5", TIME)?;
    finish_complete(&mut rig, &witness, VCPUS)
}

/// Memory in two regions, with the rings above the hole below 4 GiB.
#[test]
#[ignore = "full tier"]
fn size_of_5_gib() -> Result<()> {
    let mut rig = Rig::boot_with("size-5g", ROOMY, |guest| guest.smp(2).memory_mib(5120))?;
    rig.load_driver()?;
    ensure!(highest_address(&rig)? >= GIB_4);
    let witness = rig.load_witness(PACED)?;
    rig.run_witness(true)?;
    rig.guest.sh("sleep 1")?;
    finish_complete(&mut rig, &witness, 2)
}
