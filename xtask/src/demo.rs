//! `cargo xtask demo`: a guest, traced from the host, shown.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::{Lab, Serve, driver_module, prebuild_vhost_trace, static_program};

const VM: &str = "demo";
/// Lines of live events that are shown.
const LINES: usize = 24;
const TIME: Duration = Duration::from_secs(120);
const WORKLOAD: &str = "workload paced 200 600 && workload openat 50 /etc/motd && \
     workload fork 20 && workload ctxsw 200 && ls -l /bin >/dev/null";

/// Prepares everything, traces a guest while it works, and says what came of it.
pub(crate) fn demo() -> Result<()> {
    let lab = Lab::prepare()?;
    step("building vhost-trace, the driver and a workload");
    prebuild_vhost_trace()?;
    let driver = driver_module(&lab.kernel)?;
    let workload = static_program("workload")?;
    step(&format!("vhost-trace serve --vm {VM}"));
    let dir = lab::target_dir().join("demo");
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let mut serve = Serve::start_in(VM, &dir)?;
    step(&format!(
        "booting Debian's {} in QEMU {}",
        lab.kernel.release, lab.qemu.version
    ));
    let guest = lab
        .guest(VM)
        .smp(2)
        .module(driver)
        .program(workload)
        .device_args(serve.device_args(lab)?)
        .boot()?;
    step("guest# modprobe virtio_trace");
    guest.sh("insmod /modules/virtio_trace.ko")?;
    step(&format!(
        "vhost-trace events {VM} --enable 'sched_*,syscalls'"
    ));
    serve.vm(&["events", "--enable", "sched_*,syscalls"])?;

    step(&format!("vhost-trace live {VM}, the first {LINES} events"));
    let mut live = serve
        .command(&["live", VM])?
        .stdout(Stdio::piped())
        .spawn()
        .context("running vhost-trace live")?;
    let lines = BufReader::new(live.stdout.take().context("no stdout")?).lines();
    let work = guest.spawn(WORKLOAD)?;
    for line in lines.take(LINES) {
        println!("{}", line?);
    }
    live.kill()?;
    live.wait()?;
    step("... until the guest's work is done");
    work.wait(TIME)?;

    // Not before: it counts what has left the rings, and few of these events
    // fill a sub-buffer.
    guest.quit()?;
    step(&format!("vhost-trace status {VM}"));
    print!("{}", serve.vm(&["status"])?);
    let (events, lost) = totals(&serve.status()?)?;
    serve.terminate()?;
    let trace = serve.trace();
    step(&format!(
        "babeltrace2 {}, the first events",
        trace.display()
    ));
    show(&trace)?;
    println!("events: {events} lost: {lost}");
    println!("trace: {}", trace.display());
    Ok(())
}

fn step(text: &str) {
    println!("==> {text}");
}

/// Events read and events lost, of all streams of a status.
fn totals(status: &serde_json::Value) -> Result<(u64, u64)> {
    let (mut events, mut lost) = (0, 0);
    for stream in status["streams"].as_array().context("no streams")? {
        events += stream["events"].as_u64().context("no events")?;
        lost += stream["overwritten"].as_u64().context("no overwritten")?;
        let reasons = stream["lost"].as_object().context("no lost")?;
        lost += reasons
            .values()
            .filter_map(|count| count.as_u64())
            .sum::<u64>();
    }
    Ok((events, lost))
}

fn show(trace: &std::path::Path) -> Result<()> {
    let mut reader = std::process::Command::new("babeltrace2")
        .arg(trace)
        .stdout(Stdio::piped())
        .spawn()
        .context("running babeltrace2")?;
    let lines = BufReader::new(reader.stdout.take().context("no stdout")?).lines();
    for line in lines.take(6) {
        println!("{}", line?);
    }
    // It ends by itself or by the closed pipe.
    reader.wait()?;
    Ok(())
}
