//! Filters, against those of the guest's own tracer: its histograms count what
//! passes the same condition.

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Event, read_trace};

use crate::numbers::account;
use crate::rig::{Rig, TIME};

/// A number that no system call has: its event parts the checks in the trace.
const MARK: i64 = 999;

/// Nobody else asks for it.
const GETPGID: u32 = 121;

const TRACEFS: &str = "/sys/kernel/tracing/events";

/// What the check of one filter counts.
struct Check {
    /// The event, and the condition that it must meet.
    event: &'static str,
    filter: String,
    /// How many there have to be.
    expected: Expected,
    /// What makes them, and others.
    work: String,
}

enum Expected {
    /// As many as the guest's histogram of this event with this filter.
    Theirs(&'static str, String),
    /// Those for which the guest's tracer has no filter.
    Exactly(u64),
}

use Expected::{Exactly, Theirs};

fn check(event: &'static str, filter: &str, expected: Expected, work: &str) -> Check {
    Check {
        event,
        filter: filter.into(),
        expected,
        work: work.into(),
    }
}

/// With the thread that `/tmp/go` starts, and the cgroup `some`.
fn checks(tid: &str, cgroup: &str) -> Vec<Check> {
    let theirs = |event, filter: &str| Theirs(event, filter.into());
    let switches = "sh -c 'renice -n 7 -p $$ >/dev/null; exec /tmp/db_one ctxsw 100'
        /tmp/db_one ctxsw 70";
    let opens = "workload openat 30 /tmp/db.one
        workload openat 20 /tmp/other
        for i in 1 2 3; do cat /tmp/none 2>/dev/null; cat /tmp/other; done";
    vec![
        check(
            "sched_switch",
            "next_prio > 20 && next_comm == \"db*\"",
            theirs(
                "sched/sched_switch",
                "next_prio > 120 && next_comm ~ \"db*\"",
            ),
            switches,
        ),
        check(
            "sched_switch",
            "(prev_comm == \"db_one\" || next_comm == \"*_one\") && !(prev_prio < 27) && $cpu == 1",
            theirs(
                "sched/sched_switch",
                "(prev_comm == \"db_one\" || next_comm ~ \"*_one\") && prev_prio >= 127 && cpu == 1",
            ),
            &format!(
                "taskset 2 sh -c '{}'",
                switches.replace('\'', "\"").replace("$$", "\\$\\$")
            ),
        ),
        check(
            "sched_process_exec",
            "filename == \"/tmp/db*\"",
            theirs("sched/sched_process_exec", "filename ~ \"/tmp/db*\""),
            switches,
        ),
        check(
            "syscall_entry_openat",
            "filename == \"*/db.*\"",
            theirs("syscalls/sys_enter_openat", "filename.ustring ~ \"*/db.*\""),
            opens,
        ),
        check(
            "syscall_exit_openat",
            "ret < 0 && $procname == \"c?t\" || $procname == \"cat\" && ret == -2",
            theirs("syscalls/sys_exit_openat", "ret == -2 && comm == \"cat\""),
            opens,
        ),
        check(
            "syscall_entry_getppid",
            &format!("$tid == {tid}"),
            theirs(
                "syscalls/sys_enter_getppid",
                &format!("common_pid == {tid}"),
            ),
            "workload getppid 50
             echo >/tmp/go
             while test -d /proc/TID; do usleep 1000; done",
        ),
        check(
            "syscall_entry_getppid",
            "$ctx.cpu_id == 1 && $ctx.procname == \"workload\"",
            theirs(
                "syscalls/sys_enter_getppid",
                "cpu == 1 && comm == \"workload\"",
            ),
            "taskset 1 workload getppid 50
             taskset 2 workload getppid 70",
        ),
        check(
            "syscall_exit_getppid",
            &format!("$cgroup == {cgroup} && $pid != 1"),
            Exactly(120),
            "workload getppid 50
             sh -c 'echo $$ >/sys/fs/cgroup/some/cgroup.procs; exec workload getppid 120'",
        ),
        check(
            "syscall_entry_getppid",
            "$vtid == 2 && $vpid == 2 && $tid > 2",
            Exactly(40),
            "unshare -p -f sh -c 'workload getppid 40; workload getppid 30'",
        ),
        check(
            "syscall_entry_connect",
            "family == 2 && dport == 9",
            Exactly(2),
            "for port in 9 10 9; do nc -w 1 127.0.0.1 $port </dev/null 2>/dev/null; done; true",
        ),
    ]
}

/// Lets the guest do the work while both count.
fn run(rig: &Rig, check: &Check, tid: &str) -> Result<u64> {
    let Check { event, filter, .. } = check;
    rig.enable(&format!("{event} if {filter}"))?;
    let list = rig.serve.vm(&["events", "--list"])?;
    let listed = format!("* {event} if {filter}");
    ensure!(list.lines().any(|line| line == listed), "{list}");
    let counted = count(rig, check, tid)?;
    rig.serve.vm(&["events", "--disable", event])?;
    Ok(counted)
}

fn count(rig: &Rig, check: &Check, tid: &str) -> Result<u64> {
    // Whoever has done the work may not have left its vCPU yet.
    let work = format!("{}\nsleep 0.2", check.work.replace("TID", tid));
    let counted = match &check.expected {
        Exactly(count) => {
            rig.guest.sh_within(&work, TIME)?;
            *count
        }
        Theirs(event, filter) => {
            let hist = format!("hist:keys=common_cpu if {filter}");
            let trigger = format!("{TRACEFS}/{event}/trigger");
            rig.guest.sh(&format!("echo '{hist}' >{trigger}"))?;
            rig.guest.sh_within(&work, TIME)?;
            let hits = format!("sed -n 's/^ *Hits: //p' {TRACEFS}/{event}/hist");
            let hits = rig.guest.sh(&hits)?;
            rig.guest.sh(&format!("echo '!{hist}' >{trigger}"))?;
            hits.parse().with_context(|| format!("{hits:?} hits"))?
        }
    };
    rig.guest.sh(&format!("workload call {MARK} 1"))?;
    Ok(counted)
}

/// Filters that nothing passes, of hundreds of events and of one, take turns
/// while these happen.
fn replace_under_load(rig: &Rig) -> Result<()> {
    const NEVER: [&str; 4] = [
        "syscalls if $cpu > 7",
        "sched_switch if next_comm == \"nobody\" || prev_tid == -7",
        "syscalls if $procname == \"nobody\" && $cgroup == 0 || $vtid > 99999999",
        "sched_switch if prev_state & 0x8000000000",
    ];
    let work = "for i in 1 2 3; do workload ctxsw 1000; workload fork 10; done";
    let job = rig.guest.spawn(work)?;
    for round in 0..12 {
        rig.enable(NEVER[round % NEVER.len()])?;
        if round % 5 == 4 {
            rig.serve
                .vm(&["events", "--disable", "syscalls,sched_switch"])?;
        }
    }
    let output = job.wait(TIME)?;
    ensure!(output.status == 0, "{output:?}");
    rig.serve
        .vm(&["events", "--disable", "syscalls,sched_switch"])?;
    rig.enable(&format!("syscall_entry_unknown if id == {MARK}"))
}

/// A command that the guest or the host refuses, and why.
fn refused(rig: &Rig, rule: &str, why: &str) -> Result<()> {
    let args = ["events", "filter", "--enable", rule];
    let output = rig.serve.command(&args)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "{rule} was taken");
    ensure!(said.contains(why), "{rule}: {said}");
    Ok(())
}

/// Fields that each recorded event must have.
fn is_plausible(event: &Event<'_>) -> Result<()> {
    match event.name {
        "syscall_exit_openat" => ensure!(event.int("ret") == Some(-2), "{event:?}"),
        "syscall_entry_openat" => ensure!(event.fields.contains("/db."), "{event:?}"),
        "syscall_entry_connect" => ensure!(event.int("dport") == Some(9), "{event:?}"),
        "sched_switch" => ensure!(event.fields.contains("db_one"), "{event:?}"),
        "sched_waking" | "sched_wakeup" => anyhow::bail!("it has no such field: {event:?}"),
        _ => {}
    }
    Ok(())
}

#[test]
fn filter_passes_what_the_guests_own_tracer_counts() -> Result<()> {
    let mut rig = Rig::boot("filter", 2, &["--sub-size", "256K", "--num-sub", "16"])?;
    // Wanted before there is a driver; one is nothing that it can have.
    rig.enable(&format!("syscall_entry_unknown if id == {MARK}"))?;
    rig.enable("sched_waking if no_such_field == 1")?;
    rig.load_driver()?;
    let unfit = &rig.serve.wait_status("the filters", TIME, |status| {
        let driver = &status["driver"];
        (driver["enabled"] == 1).then(|| driver["unfit"].clone())
    })?;
    ensure!(
        unfit[0] == "event sched_waking has no field no_such_field",
        "{unfit}"
    );
    rig.serve.vm(&["events", "--disable", "sched_waking"])?;
    refused(
        &rig,
        "sched_wakeup if comm == 1",
        "field comm of event sched_wakeup is a text",
    )?;
    rig.load_witness("")?;
    refused(&rig, "vt_witness if $tid == 1", "it cannot have a filter")?;

    let cgroup = rig.guest.sh("ip link set lo up
         mkdir /sys/fs/cgroup/some
         cp $(which workload) /tmp/db_one
         echo >/tmp/db.one
         echo >/tmp/other
         mkfifo /tmp/pid /tmp/go
         stat -c %i /sys/fs/cgroup/some")?;
    let waiting = "echo $$ >/tmp/pid; read line </tmp/go; exec workload getppid 300";
    let job = rig.guest.spawn(&format!("sh -c '{waiting}'"))?;
    let tid = rig.guest.sh("cat /tmp/pid")?;
    let checks = checks(&tid, &cgroup);
    let mut wanted = Vec::new();
    for check in &checks {
        wanted.push(run(&rig, check, &tid).with_context(|| check.filter.clone())?);
    }
    job.wait(TIME)?;
    replace_under_load(&rig)?;

    // What is wanted outlives the driver; then a filter is taken away.
    let last = &checks[3];
    rig.enable(&format!("{} if {}", last.event, last.filter))?;
    rig.guest.sh("rmmod vt_witness virtio_trace")?;
    rig.load_driver()?;
    rig.serve.wait_status("the filters", TIME, |status| {
        (status["driver"]["enabled"] == 2).then_some(())
    })?;
    wanted.push(count(&rig, last, &tid)?);
    rig.enable("syscall_exit_getpgid if ret == -1")?;
    rig.enable("syscall_exit_getpgid")?;
    rig.serve.vm(&["events", "--disable", last.event])?;
    rig.guest.sh(&format!("workload call {GETPGID} 60"))?;
    let status = rig.finish()?;

    let mut counts = vec![0; wanted.len() + 1];
    let mut window = 0;
    let summary = read_trace(&rig.serve.trace(), |event| {
        if event.name == "syscall_entry_unknown" {
            ensure!(event.int("id") == Some(MARK), "{event:?}");
            window += 1;
        } else if !event.name.starts_with("lttng_statedump") {
            is_plausible(&event)?;
            let count = counts.get_mut(window);
            *count.with_context(|| format!("after the last mark: {event:?}"))? += 1;
        }
        Ok(())
    })?;
    let account = account(&status, 0)?;
    assert_eq!((account.lost, account.overwritten), (0, 0), "{account:?}");
    assert_eq!((summary.discarded, window), (0, wanted.len()));
    let filters = checks.iter().chain([last]);
    for ((wanted, seen), check) in wanted.iter().zip(&counts).zip(filters) {
        println!("{} if {}: {seen}", check.event, check.filter);
        assert_eq!(seen, wanted, "{} if {}", check.event, check.filter);
        assert!(*seen > 0, "{} if {}", check.event, check.filter);
    }
    assert_eq!(counts.last(), Some(&60), "without its filter");
    Ok(())
}
