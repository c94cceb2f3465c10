//! The lab itself: a guest boots, obeys, and its end is noticed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;
use vhost_trace_lab::{Lab, static_program};

#[test]
fn lab_guest_runs_commands() -> Result<()> {
    let lab = Lab::prepare()?;
    let start = Instant::now();
    let guest = lab
        .guest("lab-commands")
        .smp(2)
        .program(static_program("workload")?)
        .boot()?;
    println!("booted in {:.1} s", start.elapsed().as_secs_f64());

    ensure!(guest.sh("uname -r")? == lab.kernel.release);
    ensure!(guest.sh("nproc")? == "2");
    let failed = guest.run("echo out; echo err >&2; exit 3")?;
    ensure!(failed.status == 3 && failed.stdout == b"out\n" && failed.stderr == b"err\n");
    ensure!(guest.run("kill -9 $$")?.status == 137);
    ensure!(guest.sh("workload getppid 1000")? == "workload getppid calls=1000");
    ensure!(guest.sh("workload ctxsw 100")? == "workload ctxsw calls=100");
    ensure!(guest.sh("workload fork 10")? == "workload fork calls=10");
    ensure!(guest.sh("workload --mark openat 10 /init")? == "workload openat calls=10");
    ensure!(guest.sh("workload paced 1000 100")? == "workload paced calls=100");
    guest.sh("ls /sys/kernel/tracing/events/sched/sched_switch/format")?;

    // Binary, and more than any buffer on the way; then back again.
    let bytes: Vec<u8> = (0..3_000_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let pushing = Instant::now();
    guest.push(&bytes, "/tmp/bytes")?;
    let pulling = Instant::now();
    ensure!(
        guest.pull("/tmp/bytes")? == bytes,
        "a file came back changed"
    );
    println!(
        "3 MB there {:.2} s, back {:.2} s",
        (pulling - pushing).as_secs_f64(),
        pulling.elapsed().as_secs_f64()
    );

    // Two at once, one of them killed.
    let sleeper = guest.spawn("echo asleep; sleep 1000")?;
    sleeper.wait_stdout("asleep", Duration::from_secs(20))?;
    ensure!(guest.sh("echo meanwhile")? == "meanwhile");
    sleeper.kill()?;
    ensure!(sleeper.wait(Duration::from_secs(20))?.status == 137);
    Ok(())
}

#[test]
fn lab_guest_stops_and_goes_on_and_dies() -> Result<()> {
    let lab = Lab::prepare()?;
    let memory = std::env::temp_dir().join(format!("vhost-trace-lab-{}", std::process::id()));
    let guest = lab.guest("lab-life").smp(2).mem_path(&memory).boot()?;

    guest.stop()?;
    guest.wait_event("STOP", Duration::from_secs(10))?;
    ensure!(guest.qmp("query-status", Value::Null)?["status"] == "paused");
    let late = guest.spawn("echo late")?;
    let early = late.wait(Duration::from_millis(500));
    let message = format!(
        "{:#}",
        early.err().unwrap_or_else(|| anyhow::anyhow!("it ran"))
    );
    ensure!(
        message.contains("waited 0.5 s for the end of `echo late`"),
        "{message}"
    );
    guest.cont()?;
    guest.wait_event("RESUME", Duration::from_secs(10))?;
    ensure!(guest.sh("echo again")? == "again");

    // A panic restarts the guest; what waited for it is told.
    let from = guest.console().len();
    let lost = guest.spawn("echo c >/proc/sysrq-trigger; sleep 1000")?;
    guest.wait_console(from, "Kernel panic - not syncing", Duration::from_secs(30))?;
    guest.wait_event("RESET", Duration::from_secs(30))?;
    let message = lost.wait(Duration::from_secs(60));
    let message = format!(
        "{:#}",
        message.err().unwrap_or_else(|| anyhow::anyhow!("it ran"))
    );
    ensure!(message.contains("restarted"), "{message}");
    ensure!(guest.boots() == 2);
    guest.reset()?;
    ensure!(guest.sh("echo third")? == "third" && guest.boots() == 3);

    let pid = guest.pid().expect("a running QEMU has an id");
    guest.kill()?;
    ensure!(guest.pid().is_none());
    ensure!(
        !std::path::Path::new(&format!("/proc/{pid}")).exists(),
        "QEMU was not reaped"
    );
    ensure!(guest.wait_exit(Duration::ZERO)?.contains("signal: 9"));
    let message = guest.run("true").expect_err("a dead guest ran a command");
    let message = format!("{message:#}");
    ensure!(
        message.contains("agent") || message.contains("QEMU ended"),
        "{message}"
    );

    // The memory outlives QEMU: what the guest's kernel said is in it.
    let bytes = std::fs::read(&memory)?;
    std::fs::remove_file(&memory)?;
    let banner = format!("Linux version {}", lab.kernel.release);
    ensure!(bytes.windows(banner.len()).any(|w| w == banner.as_bytes()));
    Ok(())
}

#[test]
fn lab_guest_that_cannot_boot_says_why() -> Result<()> {
    let lab = Lab::prepare()?;
    let why = |guest: Result<vhost_trace_lab::Guest>| match guest {
        Ok(_) => String::from("it booted"),
        Err(error) => format!("{error:#}"),
    };
    let start = Instant::now();
    let message = why(lab.guest("lab-no-init").append("rdinit=/none").boot());
    ensure!(message.contains("panicked while it booted"), "{message}");
    ensure!(
        start.elapsed() < Duration::from_secs(60),
        "a panic was waited out"
    );
    ensure!(
        message.contains("Unable to mount root fs"),
        "no console: {message}"
    );

    let message = why(lab
        .guest("lab-no-device")
        .device_args(["-device", "no-such"])
        .boot());
    ensure!(message.contains("QEMU ended (exit status: 1)"), "{message}");
    ensure!(
        message.contains("'no-such' is not a valid device"),
        "no log: {message}"
    );
    Ok(())
}
