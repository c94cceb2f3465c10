//! What events say of the thread that runs and of its vCPU, against what the
//! workload, the events themselves and the guest know of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Event, read_trace};

use crate::numbers::{account, assert_complete, read_numbers};
use crate::rig::{Rig, TIME};

const ALL: &str = "tid,pid,vtid,vpid,procname,cgroup,steal,preemptible,need_reschedule,\
                   interruptible,perf:cpu:cycles,perf:cpu:instructions,perf:cpu:cache-misses,\
                   perf:cpu:page-fault,perf:cpu:context-switches";

/// What a guest without a PMU does not count.
const OF_PMU: [&str; 3] = [
    "perf_cpu_cycles",
    "perf_cpu_instructions",
    "perf_cpu_cache_misses",
];

const EVENTS: &str = "syscall_entry_getppid,syscall_exit_getppid,sched_switch,irq_handler_entry,\
                      irq_softirq_entry,x86_exceptions_page_fault_*";

/// Both halves of the address space are this large.
const USER_END: u64 = 1 << 47;

/// What the guest was asked to do, and what it said.
struct Work {
    cgroup: i64,
    threaded: i64,
    steal: BTreeMap<u32, i64>,
}

fn work(rig: &Rig) -> Result<Work> {
    let cgroup = rig.guest.sh("mkdir /sys/fs/cgroup/some
         sh -c 'echo $$ >/sys/fs/cgroup/some/cgroup.procs; exec workload getppid 120' >/dev/null
         unshare -p -f sh -c 'workload getppid 40; workload getppid 30; true' >/dev/null
         stat -c %i /sys/fs/cgroup/some")?;
    let threaded = rig
        .guest
        .sh("sh -c 'echo $$; exec workload --thread getppid 60 >/dev/null'")?;
    // Two that must share a vCPU: the tick asks one to give way.
    rig.guest.sh_within(
        "taskset 2 timeout 1 sh -c 'while :; do :; done' &
         taskset 2 timeout 1 sh -c 'while :; do :; done'; wait",
        TIME,
    )?;
    let steal = rig
        .guest
        .sh("grep '^cpu[0-9]' /proc/stat | cut -c 4- | cut -d ' ' -f 1,9")?;
    let steal = steal.lines().map(|line| {
        let (cpu, ticks) = line.split_once(' ').context("two words")?;
        Ok((cpu.parse()?, ticks.parse()?))
    });
    Ok(Work {
        cgroup: cgroup.parse()?,
        threaded: threaded.parse()?,
        steal: steal.collect::<Result<_>>()?,
    })
}

/// A counter of each vCPU, whose switches it counts.
#[derive(Default)]
struct Switches(BTreeMap<u32, i64>);

impl Switches {
    fn step(&mut self, event: &Event<'_>) -> Result<()> {
        let now = int(event, "perf_cpu_context_switches")?;
        if let Some(before) = self.0.insert(event.cpu, now) {
            ensure!(now == before + 1, "{before} before {event:?}");
        }
        Ok(())
    }
}

/// Page faults, and what each vCPU had counted at its first and last one. A
/// fault is counted a moment later, perhaps on another vCPU; one of the kernel's
/// own perhaps not at all.
#[derive(Default)]
struct Faults {
    user: i64,
    kernel: i64,
    counted: BTreeMap<u32, (i64, i64)>,
}

impl Faults {
    fn fault(&mut self, event: &Event<'_>) -> Result<()> {
        let address = event.int("address").context("no address")? as u64;
        if address >= USER_END {
            return Ok(());
        }
        if event.name.ends_with("_user") {
            self.user += 1;
        } else {
            self.kernel += 1;
        }
        let now = int(event, "perf_cpu_page_fault")?;
        let (_, last) = self.counted.entry(event.cpu).or_insert((now, now));
        ensure!(now >= *last, "{last} before {event:?}");
        *last = now;
        Ok(())
    }

    fn check(&self) {
        let counted: i64 = self
            .counted
            .values()
            .map(|(first, last)| last - first)
            .sum();
        // The last one of each vCPU, and one that has moved to it.
        let slack = 2 * self.counted.len() as i64;
        let all = self.user + self.kernel;
        assert!(self.user > 100, "{} faults", self.user);
        assert!(
            (self.user - slack..=all + slack).contains(&counted),
            "{counted} of {} and {}",
            self.user,
            self.kernel
        );
    }
}

fn int(event: &Event<'_>, name: &str) -> Result<i64> {
    let value = event.context_int(name);
    value.with_context(|| format!("no context {name}: {event:?}"))
}

/// What the trace has of each kind of call.
#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    in_cgroup: u64,
    second: u64,
    third: u64,
    threaded: u64,
}

impl Calls {
    fn count(&mut self, event: &Event<'_>, work: &Work) -> Result<()> {
        let [tid, pid, vtid, vpid] = ["tid", "pid", "vtid", "vpid"].map(|name| int(event, name));
        let (tid, pid, vtid, vpid) = (tid?, pid?, vtid?, vpid?);
        // Shells make this call, too.
        if event.context_text("procname") != Some("\"workload\"") {
            return Ok(());
        }
        if int(event, "cgroup_id")? == work.cgroup {
            ensure!(tid == pid && vtid == tid && vpid == pid, "{event:?}");
            self.in_cgroup += 1;
        } else if pid == work.threaded {
            ensure!(tid > pid && vtid == tid && vpid == pid, "{event:?}");
            self.threaded += 1;
        } else if vtid != tid {
            ensure!(tid == pid && vtid == vpid && tid > 3, "{event:?}");
            match vtid {
                2 => self.second += 1,
                3 => self.third += 1,
                _ => anyhow::bail!("{event:?}"),
            }
        }
        Ok(())
    }
}

/// Where a thread may be interrupted and preempted.
fn check_state(event: &Event<'_>) -> Result<()> {
    let state = (int(event, "interruptible")?, int(event, "preemptible")?);
    let expected = match event.name {
        "irq_handler_entry" => (0, 0),
        "irq_softirq_entry" => (1, 0),
        name if name.starts_with("syscall_") => (1, 1),
        _ => return Ok(()),
    };
    ensure!(state == expected, "{event:?}");
    Ok(())
}

#[test]
fn events_carry_contexts() -> Result<()> {
    let args = ["--sub-size", "512K", "--num-sub", "16", "--context", ALL];
    let mut rig = Rig::boot("contexts", 2, &args)?;
    rig.load_driver()?;
    let has_pmu = rig.guest.sh("ls /sys/bus/event_source/devices")?;
    let has_pmu = has_pmu.lines().any(|name| name.starts_with("cpu"));
    let status = rig.serve.status()?;
    let missing = &status["driver"]["contexts_missing"];
    let expected = if has_pmu { &OF_PMU[..0] } else { &OF_PMU[..] };
    assert_eq!(*missing, serde_json::json!(expected));
    let witness = rig.load_witness("payload=24 pace_us=2000 burst=4 irq_us=3000")?;
    rig.enable(EVENTS)?;
    rig.run_witness(true)?;
    let work = work(&rig)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;

    let (mut switches, mut faults) = (Switches::default(), Faults::default());
    let (mut entries, mut exits) = (Calls::default(), Calls::default());
    let mut reschedule = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    let summary = read_trace(&rig.serve.trace(), |event| {
        if event.name.starts_with("lttng_statedump") {
            ensure!(event.contexts.is_empty(), "{event:?}");
            return Ok(());
        }
        kinds.insert(event.name.to_owned());
        check_state(&event)?;
        reschedule.insert((
            event.name == "sched_switch",
            int(&event, "need_reschedule")?,
        ));
        let steal = int(&event, "steal")? / 10_000_000;
        ensure!(steal <= work.steal[&event.cpu], "{steal} ticks: {event:?}");
        if has_pmu {
            ensure!(int(&event, OF_PMU[0])? > 0, "{event:?}");
        }
        match event.name {
            "sched_switch" => {
                ensure!(
                    event.int("prev_tid") == Some(int(&event, "tid")?),
                    "{event:?}"
                );
                ensure!(
                    event.text("prev_comm") == event.context_text("procname"),
                    "{event:?}"
                );
                switches.step(&event)?;
            }
            name if name.starts_with("x86_exceptions_page_fault") => faults.fault(&event)?,
            "syscall_entry_getppid" => entries.count(&event, &work)?,
            "syscall_exit_getppid" => exits.count(&event, &work)?,
            _ => {}
        }
        Ok(())
    })?;
    faults.check();
    let account = account(&status, 0)?;
    assert_eq!((account.lost, summary.discarded), (0, 0), "{account:?}");
    let calls = Calls {
        in_cgroup: 120,
        second: 40,
        third: 30,
        threaded: 60,
    };
    assert_eq!((&entries, &exits), (&calls, &calls));
    // A task that is being switched has done what it was asked for.
    assert_eq!(reschedule, [(false, 0), (false, 1), (true, 0)].into());
    assert!(kinds.len() >= 7, "{kinds:?}");
    let (_, numbers) = read_numbers(&rig.serve.trace())?;
    assert_complete(&numbers, &cpus);
    Ok(())
}
