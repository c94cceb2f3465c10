//! Events that the guest wakes the host for, at once.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rig::{Rig, TIME};
use crate::watcher::Watcher;

const VM: &str = "probe-watch";
const EXIT: &str = "sched_process_exit";

/// Ends a process of this name so often, each time later than a gap.
fn victims(rig: &Rig, name: &str, count: u32) -> Result<()> {
    rig.guest.sh(&format!(
        "cp $(which workload) /tmp/{name}
         for i in $(seq {count}); do /tmp/{name} getppid 1 >/dev/null; sleep 0.05; done"
    ))?;
    Ok(())
}

fn kicks(rig: &Rig) -> Result<u64> {
    rig.serve.status()?["kicks"].as_u64().context("no kicks")
}

/// No sub-buffer of events has been completed.
fn ensure_unfinished(rig: &Rig) -> Result<()> {
    let status = rig.serve.status()?;
    let streams = status["streams"].as_array().context("no streams")?;
    for stream in streams.iter().filter(|stream| stream["channel"] == 0) {
        ensure!(stream["packets"] == 0, "{stream}");
    }
    Ok(())
}

fn enabled(rig: &Rig, count: u64) -> Result<()> {
    let what = format!("{count} enabled events");
    rig.serve.wait_status(&what, TIME, |status| {
        (status["driver"]["enabled"] == count).then_some(())
    })
}

fn start(rig: &Rig, words: &[&str]) -> Result<Watcher> {
    Watcher::start(&rig.serve, VM, words)
}

/// It ends with this status, and says this.
fn ended(mut watch: Watcher, status: i32, said: &str) -> Result<()> {
    let (ended, stderr) = watch.end()?;
    ensure!(
        ended.code() == Some(status),
        "{ended}, not {status}: {stderr}"
    );
    ensure!(stderr.contains(said), "{stderr:?}, not {said:?}");
    Ok(())
}

#[test]
fn probe_watch_wakes_the_host_at_once() -> Result<()> {
    let rig = Rig::boot(VM, 2, &[])?;
    let watch = start(&rig, &["--on", "sched_process_exit if comm == \"victim\""])?;
    // Before the driver is there.
    watch.expect("waiting")?;
    rig.load_driver()?;
    ensure!(watch.expect("armed")?["events"][0] == EXIT);
    // Behind this one the driver has done what it was asked before.
    let other = start(&rig, &["--on", "sched_process_fork if child_tid == -2"])?;
    other.expect("armed")?;

    let before = kicks(&rig)?;
    victims(&rig, "victim", 5)?;
    for _ in 0..5 {
        let event = watch.event(EXIT)?;
        ensure!(event["fields"]["comm"] == "victim", "{event}");
        ensure!(event["vm"] == VM, "{event}");
    }
    ensure!(
        kicks(&rig)? - before == 5,
        "{} kicks",
        kicks(&rig)? - before
    );
    ensure_unfinished(&rig)?;

    // Recorded for something else, too: the host tells them apart.
    rig.enable("sched_process_exit,sched_process_fork")?;
    let before = kicks(&rig)?;
    victims(&rig, "bystander", 3)?;
    ensure!(kicks(&rig)? == before, "{} kicks", kicks(&rig)? - before);
    victims(&rig, "victim", 2)?;
    for _ in 0..2 {
        watch.event(EXIT)?;
    }
    ensure!(
        kicks(&rig)? - before == 2,
        "{} kicks",
        kicks(&rig)? - before
    );
    ensure_unfinished(&rig)?;
    ensure!(other.lines_now().is_empty(), "nothing was forked so");

    // By what events do not carry.
    let by_name = "sched_process_exit if $procname == \"victim\"";
    ended(
        start(&rig, &["--on", by_name])?,
        1,
        "serve --context procname",
    )?;
    ended(
        start(&rig, &["--on", "no_such"])?,
        1,
        "no event is called no_such",
    )?;
    ended(
        start(&rig, &["--on", "lttng_statedump_*"])?,
        1,
        "part of the state dump",
    )?;
    ended(start(&rig, &["--on", "a if"])?, 1, "a if")?;

    // As they were afterwards, also when nobody says so.
    rig.serve.vm(&["events", "--disable", "*"])?;
    enabled(&rig, 2)?;
    other.signal(libc::SIGKILL);
    watch.signal(libc::SIGKILL);
    enabled(&rig, 0)?;
    let before = kicks(&rig)?;
    victims(&rig, "victim", 2)?;
    ensure!(kicks(&rig)? == before, "nobody watches");
    let watch = start(&rig, &["--on", by_name])?;
    watch.expect("armed")?;
    let refused = rig.serve.vm(&["events", "--enable", "sched_*"]);
    let refused = format!("{:#}", refused.err().context("taken")?);
    ensure!(refused.contains("a watch is in the way"), "{refused}");
    victims(&rig, "victim", 1)?;
    watch.event(EXIT)?;
    drop(watch);

    programs(&rig)?;
    storm(&rig)?;

    // Another kernel in the same VM.
    let watch = start(&rig, &["--on", "sched_process_exit if comm == \"victim\""])?;
    watch.expect("armed")?;
    rig.guest.reset()?;
    watch.expect("waiting")?;
    rig.load_driver()?;
    watch.expect("armed")?;
    victims(&rig, "victim", 1)?;
    watch.event(EXIT)?;
    let Rig {
        mut serve, guest, ..
    } = rig;
    serve.terminate()?;
    ended(watch, 1, "the serve has ended")?;
    drop(guest);
    Ok(())
}

/// What `--exec`, `--once` and `--timeout` do.
fn programs(rig: &Rig) -> Result<()> {
    let on = ["--on", "sched_process_exit if comm == \"service\""];
    let out = rig.serve.dir().join("event.json");
    let script = format!("cat >{}; exit 7", out.display());
    let mut words = [&on[..], &["--once", "--timeout", "600"]].concat();
    let exec = ["--exec", "sh", "-c", &script];
    words.extend(exec);
    let watch = start(rig, &words)?;
    watch.expect("armed")?;
    victims(rig, "service", 1)?;
    let event = watch.event(EXIT)?;
    let done = watch.expect("exec")?;
    ensure!(done["status"] == 7, "{done}");
    ended(watch, 7, "")?;
    let read: Value = serde_json::from_str(&fs::read_to_string(&out)?)?;
    ensure!(read == event, "{read}");

    let words = [&on[..], &["--once", "--timeout", "0.1"]].concat();
    ended(start(rig, &words)?, 124, "")?;

    // One that reads nothing and does not end; the rest wait for it.
    let pid_file = rig.serve.dir().join("pid");
    let script = format!(
        "echo $$ >{}.new; mv {0}.new {0}; exec sleep 1000",
        pid_file.display()
    );
    let words = [&on[..], &["--exec", "sh", "-c", &script]].concat();
    let mut watch = start(rig, &words)?;
    watch.expect("armed")?;
    victims(rig, "service", 3)?;
    for _ in 0..3 {
        watch.event(EXIT)?;
    }
    let pid: u32 = wait_file(&pid_file)?.trim().parse()?;
    ensure!(
        Path::new(&format!("/proc/{pid}")).exists(),
        "it does not run"
    );
    watch.signal(libc::SIGTERM);
    let (status, stderr) = watch.end()?;
    ensure!(
        status.code() == Some(128 + libc::SIGTERM),
        "{status} {stderr}"
    );
    ensure!(
        !Path::new(&format!("/proc/{pid}")).exists(),
        "it still runs"
    );
    // And if nobody could tell it to end.
    fs::remove_file(&pid_file)?;
    let watch = start(rig, &words)?;
    watch.expect("armed")?;
    victims(rig, "service", 1)?;
    let pid: u32 = wait_file(&pid_file)?.trim().parse()?;
    drop(watch);
    let runs = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z"));
    rig.serve
        .wait_status("the program's end", TIME, |_| (!runs()).then_some(()))?;
    enabled(rig, 0)
}

/// The content of a file that another process puts there.
fn wait_file(path: &Path) -> Result<String> {
    let deadline = std::time::Instant::now() + TIME;
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text),
            Err(error) if std::time::Instant::now() > deadline => return Err(error.into()),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
}

/// Watched events flat out, of a module: kicks are bounded, and nothing is
/// missed without a word.
fn storm(rig: &Rig) -> Result<()> {
    const COUNT: u64 = 20_000;
    let witness = rig.load_witness(&format!("count={COUNT} contexts=1"))?;
    let all = start(rig, &["--on", "vt_witness"])?;
    all.expect("armed")?;
    // The first and the last of each vCPU: the host looks at the filter.
    let on = format!("vt_witness if sequence == 1 || sequence == {COUNT}");
    let ends = start(rig, &["--on", &on])?;
    ends.expect("armed")?;
    let before = rig.serve.status()?;
    rig.run_witness(true)?;
    let (mut seen, mut missed) = (0, 0);
    let recorded = || -> Result<u64> {
        let cpus = witness.read()?;
        Ok(cpus.iter().map(|cpu| cpu.contexts[0].recorded).sum())
    };
    while seen + missed < 2 * COUNT {
        let line = all.line()?;
        if line["watch"] == "missed" {
            missed += line["unread"].as_u64().context("unread")?;
            missed += line["lost_in_guest"].as_u64().context("lost")?;
        } else {
            seen += 1;
        }
    }
    let after = rig.serve.status()?;
    let mut times = Vec::new();
    for _ in 0..4 {
        let event = ends.event("vt_witness")?;
        times.push(event["time"].as_u64().context("no time")?);
    }
    let took = times.iter().max().context("none")? - times.iter().min().context("none")?;
    println!(
        "storm: {seen} seen, {missed} missed, {} recorded",
        recorded()?
    );
    let count = |status: &Value, key: &str| -> Result<u64> {
        let streams = status["streams"].as_array().context("no streams")?;
        Ok(streams
            .iter()
            .filter_map(|stream| stream["ring"][key].as_u64())
            .sum())
    };
    let armings = count(&after, "armings")? - count(&before, "armings")?;
    let number = |status: &Value| status["kicks"].as_u64().context("no kicks");
    let kicks = number(&after)? - number(&before)?;
    let gaps = 2 * (took / 1_000_000 + 2);
    println!("storm: {kicks} kicks in {took} ns, {armings} armings");
    ensure!(
        kicks <= gaps + armings,
        "{kicks} kicks, {gaps} gaps, {armings} armings"
    );
    drop((all, ends));
    // As it was: on.
    enabled(rig, 0)?;
    let before = recorded()?;
    rig.run_witness(true)?;
    rig.serve.wait_status("the witness", TIME, |_| {
        (recorded().ok()? > before).then_some(())
    })?;
    rig.run_witness(false)
}
