//! Counts per event: the trace's, and those of whoever made the events.

use anyhow::{Context, Result, bail, ensure};

use crate::numbers::{account, stream};
use crate::rig::{Rig, TIME, TINY};
use vhost_trace_lab::{Cpu, Job, read_trace};

const GETPPID: i64 = 110;

/// The calls that a workload says it made.
fn calls(output: &str) -> Result<u64> {
    let (_, count) = output
        .rsplit_once("calls=")
        .with_context(|| format!("the workload printed {output:?}"))?;
    Ok(count.trim().parse()?)
}

/// The hits of a hist trigger: the sum that tracefs prints.
fn hits(hist: &str) -> Result<u64> {
    let line = hist
        .lines()
        .find_map(|line| line.trim().strip_prefix("Hits:"))
        .with_context(|| format!("no hits in {hist:?}"))?;
    Ok(line.trim().parse()?)
}

/// Rings that last for a second at the pace below, for a host that has much
/// else to do.
const PACED: &[&str] = &["--sub-size", "32K", "--num-sub", "4"];
const PACED_RING: u64 = 4 * 32 * 1024;

/// Workloads that wait for a byte each: who looks at their name from here on
/// sees no other.
fn waiting(rig: &Rig, workloads: &[String]) -> Result<Vec<Job>> {
    let start = |(index, workload): (usize, &String)| {
        let go = format!("/tmp/go{index}");
        rig.guest
            .spawn(&format!("mkfifo {go} && exec {workload} 0<>{go}"))
    };
    let jobs = workloads.iter().enumerate().map(start);
    let jobs = jobs.collect::<Result<_>>()?;
    // In the call of number 0, read.
    let wait = format!(
        "until test $(for p in $(pidof workload); do cat /proc/$p/syscall; done | grep -c '^0 ') \
         = {}; do usleep 10000; done",
        workloads.len()
    );
    rig.guest.sh(&wait)?;
    Ok(jobs)
}

/// Several workloads at a pace that the rings bear; the guest's own tracer
/// counts beside.
fn paced(vcpus: u32) -> Result<()> {
    let mut rig = Rig::boot(&format!("exact-{vcpus}"), vcpus, PACED)?;
    rig.load_driver()?;
    let paced = |vcpu| format!("taskset {:x} workload --wait paced 2000 10000", 1 << vcpu);
    let mut workloads: Vec<String> = (0..vcpus).map(paced).collect();
    for words in ["openat 2000 /etc/no/such/place", "ctxsw 500", "fork 100"] {
        workloads.push(format!("workload --wait {words}"));
    }
    let jobs = waiting(&rig, &workloads)?;
    // The guest's shell makes this call now and then, too.
    let witness = rig.load_witness(&format!("syscalls={GETPPID}"))?;
    let before = witness.read()?;
    rig.enable("sched_*,syscalls")?;
    let sched = "/sys/kernel/tracing/events/sched";
    let filters = [
        ("sched_switch", "prev_comm == \"workload\""),
        ("sched_waking", "comm == \"workload\""),
        ("sched_wakeup", "comm == \"workload\""),
        ("sched_process_fork", "parent_comm == \"workload\""),
        ("sched_process_exit", "comm == \"workload\""),
    ];
    for (event, filter) in filters {
        rig.guest.sh(&format!(
            "echo 'hist:keys=common_pid if {filter}' >{sched}/{event}/trigger"
        ))?;
    }
    let go = |index| rig.guest.sh(&format!("echo >/tmp/go{index}"));
    // On each vCPU at once, until each ring has come round several times; then
    // the others, one by one.
    for index in 0..vcpus as usize {
        go(index)?;
    }
    let mut made = Vec::new();
    for (index, job) in jobs.into_iter().enumerate() {
        if index >= vcpus as usize {
            go(index)?;
        }
        made.push(calls(&job.wait(TIME)?.text())?);
    }
    let (getppid, others) = made.split_at(vcpus as usize);
    let getppid: u64 = getppid.iter().sum();
    let [openat, switches, forks] = others[..] else {
        bail!("{made:?}");
    };
    ensure!(getppid >= 10_000 * u64::from(vcpus) && openat == 2000 && forks == 100 && switches > 0);
    let mut expected = Vec::new();
    for (event, _) in filters {
        let hist = rig.guest.sh(&format!("cat {sched}/{event}/hist"))?;
        expected.push((event, hits(&hist)?));
        rig.guest.sh(&format!(
            "echo '!hist:keys=common_pid' >{sched}/{event}/trigger"
        ))?;
    }
    let after = witness.read()?;
    let sum =
        |cpus: &[Cpu], counter: usize| -> u64 { cpus.iter().map(|cpu| cpu.counted[counter]).sum() };
    let counted = |counter| sum(&after, counter) - sum(&before, counter);
    let status = rig.finish()?;

    let mut places = 0;
    let mut by_task = std::collections::BTreeMap::<String, u64>::new();
    let summary = read_trace(&rig.serve.trace(), |event| {
        let mine = |field: &str| event.text(field) == Some("\"workload\"");
        let counted = match event.name {
            "sched_switch" => mine("prev_comm"),
            "sched_waking" | "sched_wakeup" | "sched_process_exit" => mine("comm"),
            "sched_process_fork" => mine("parent_comm"),
            "syscall_entry_openat" => {
                places += u64::from(event.text("filename") == Some("\"/etc/no/such/place\""));
                false
            }
            _ => false,
        };
        if counted {
            *by_task.entry(event.name.to_string()).or_default() += 1;
        }
        Ok(())
    })?;
    for vcpu in 0..vcpus {
        let account = account(&status, vcpu)?;
        assert_eq!((account.lost, account.overwritten), (0, 0), "{account:?}");
        let bytes = stream(&status, vcpu)?["bytes"].as_u64();
        println!("vCPU {vcpu}: {account:?}, {bytes:?} bytes");
        ensure!(bytes >= Some(3 * PACED_RING), "the ring hardly came round");
    }
    assert_eq!(summary.discarded, 0);
    assert!(counted(8) >= getppid);
    assert_eq!(summary.count("syscall_entry_getppid"), counted(8));
    assert_eq!(summary.count("syscall_exit_getppid"), counted(12));
    assert_eq!(places, openat);
    assert!(summary.count("syscall_exit_openat") >= openat);
    for (event, count) in expected {
        assert_eq!(by_task.get(event).copied().unwrap_or(0), count, "{event}");
    }
    Ok(())
}

#[test]
fn trace_paced_counts_are_exact_with_1_vcpu() -> Result<()> {
    paced(1)
}

#[test]
fn trace_paced_counts_are_exact_with_2_vcpus() -> Result<()> {
    paced(2)
}

#[test]
fn trace_paced_counts_are_exact_with_4_vcpus() -> Result<()> {
    paced(4)
}

/// Flat out through rings too small for it, with an independent module that
/// counts the calls on each vCPU.
#[test]
fn trace_flat_out_events_and_losses_are_all_attempts() -> Result<()> {
    const VCPUS: u32 = 2;
    let mut rig = Rig::boot("exact-flat-out", VCPUS, TINY)?;
    rig.load_driver()?;
    let witness = rig.load_witness(&format!("syscalls={GETPPID}"))?;
    let before = witness.read()?;
    rig.enable("syscall_entry_getppid,syscall_exit_getppid")?;
    let jobs: Vec<_> = (0..VCPUS)
        .map(|vcpu| {
            rig.guest
                .spawn(&format!("taskset {:x} workload getppid 300000", 1 << vcpu))
        })
        .collect::<Result<_>>()?;
    let mut made = 0;
    for job in jobs {
        made += calls(&job.wait(TIME)?.text())?;
    }
    let after = witness.read()?;
    let status = rig.finish()?;
    let summary = read_trace(&rig.serve.trace(), |_| Ok(()))?;

    let (mut attempted, mut lost) = (0, 0);
    for (vcpu, (before, after)) in before.iter().zip(&after).enumerate() {
        let vcpu = vcpu as u32;
        let account = account(&status, vcpu)?;
        let counted = [8, 12].map(|counter| after.counted[counter] - before.counted[counter]);
        let counted: u64 = counted.iter().sum();
        println!("vCPU {vcpu}: {counted} attempted, {account:?}");
        assert_eq!(counted, account.events + account.lost, "vCPU {vcpu}");
        attempted += counted;
        lost += account.lost;
    }
    assert!(attempted >= 2 * made);
    assert!(lost > 0, "these rings lose");
    assert_eq!(summary.discarded, lost, "babeltrace2's sum of the loss");
    assert_eq!(summary.events() + lost, attempted + state_events(&summary));
    Ok(())
}

/// Events of the process state dump.
fn state_events(summary: &vhost_trace_lab::Summary) -> u64 {
    summary
        .names
        .iter()
        .filter(|(name, _)| name.starts_with("lttng_statedump"))
        .map(|(_, count)| count)
        .sum()
}
