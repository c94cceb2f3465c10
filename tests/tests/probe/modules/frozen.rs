//! A guest whose user space cannot help: frozen by the cgroup freezer, process 1
//! included; stopped, with nothing left in its root.

use anyhow::{Context, Result, bail, ensure};

use super::kit::{ALL, Kit};
use crate::rig::TIME;

/// What it says before the last step.
const TOGETHER: &str = "all processes are in one cgroup";

/// A cgroup for all processes, which then stand still. A helper of a load that
/// ran while they are moved would be one of them.
const FREEZE: &str = "sleep 3000 & yes >/dev/null &
    cd /sys/fs/cgroup && mkdir all
    for p in $(cat cgroup.procs); do echo $p >all/cgroup.procs; done 2>/dev/null
    echo all processes are in one cgroup >/dev/kmsg
    echo 1 >all/cgroup.freeze";

/// What only the shell itself can do: nothing is left of its root, and nobody
/// runs but process 1, which no signal stops, and this shell.
const EMPTY: &str = "for p in /proc/[0-9]*; do
        p=${p#/proc/}; [ -e /proc/$p/exe ] && [ $p != 1 ] && [ $p != $$ ] && kill -STOP $p
    done
    busybox rm -rf /bin /modules /lib /init /etc /root /mnt /tmp/* 2>/dev/null
    echo left: /*; kill -STOP $$";

/// Asks the kernel, by a module of its own, until nobody of user space runs.
/// Returns what it says of all its tasks.
fn wait_frozen(kit: &Kit) -> Result<String> {
    for _ in 0..100 {
        let from = kit.rig.guest.console().len();
        kit.load("vt_frozen", &[])?;
        kit.unload("vt_frozen")?;
        let end = kit.rig.guest.wait_console(from, "others.", TIME)?;
        let said = kit.rig.guest.console()[from..end].to_owned();
        if said.contains(" 0 others.") {
            return Ok(said);
        }
    }
    bail!("somebody still runs:\n{}", kit.rig.guest.console());
}

/// Loads, uses and unloads probes: the helper's own end is a signal to the thread
/// that waits for it, and the end of a process.
fn use_probes(kit: &Kit) -> Result<()> {
    kit.load("send_signal", &["only=17"])?;
    kit.load("template", &[])?;
    for name in ["oom_kill", "tcp_loss"] {
        kit.load(name, &[])?;
        kit.unload(name)?;
    }
    assert_eq!(
        kit.done("list", &[])?,
        "module send_signal\nmodule template"
    );
    kit.unload("template")?;
    kit.unload("send_signal")?;
    Ok(())
}

#[test]
fn probe_module_needs_no_user_space() -> Result<()> {
    let mut kit = Kit::boot("probe-alone", ALL)?;
    let from = kit.rig.guest.console().len();
    let freezer = kit.rig.guest.spawn(FREEZE)?;
    kit.rig.guest.wait_console(from, TOGETHER, TIME)?;
    let said = wait_frozen(&kit)?;
    println!("{said}");
    let first = said
        .lines()
        .find(|line| line.contains("vt_frozen: task 1 "));
    let first = first.context("no word of process 1")?;
    ensure!(first.contains("frozen 1"), "{first}");
    use_probes(&kit)?;
    // Nobody came back meanwhile.
    ensure!(wait_frozen(&kit)?.contains(" 0 others."));
    ensure!(kit.rig.guest.monitor("info status")?.contains("running"));

    kit.load("vt_frozen", &["thaw=/sys/fs/cgroup/all/cgroup.freeze"])?;
    kit.unload("vt_frozen")?;
    freezer.wait(TIME)?;

    let from = kit.rig.guest.console().len();
    let stopped = kit
        .rig
        .guest
        .spawn(&format!("exec >/dev/console; {EMPTY}"))?;
    kit.rig.guest.wait_console(from, "left: ", TIME)?;
    let end = kit.rig.guest.wait_console(from, "/sys", TIME)?;
    println!("{}", &kit.rig.guest.console()[from..end]);
    let from = kit.rig.guest.console().len();
    kit.load("vt_frozen", &[])?;
    kit.unload("vt_frozen")?;
    let end = kit.rig.guest.wait_console(from, "others.", TIME)?;
    println!("{}", &kit.rig.guest.console()[from..end]);
    use_probes(&kit)?;
    drop(stopped);

    let recorded = kit.recorded()?;
    let signals = recorded.get("send_signal").context("no signals")?;
    let helpers = signals
        .iter()
        .filter(|it| it.contains("from_comm = \"vtrace-helper\""));
    // Of each load and unload while send_signal is there, but for its own first
    // and last: those of template and of two more, each time.
    let count = helpers.count();
    println!(
        "{} signals, {count} of helpers: {}",
        signals.len(),
        signals[0]
    );
    ensure!(count >= 12, "{signals:?}");
    let ends = recorded.get("process_end").context("no ends")?;
    ensure!(
        ends.iter()
            .filter(|it| it.contains("vtrace-helper"))
            .count()
            >= 8,
        "{ends:?}"
    );
    Ok(())
}
