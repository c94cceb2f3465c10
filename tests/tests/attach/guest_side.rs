//! What only a guest that runs can show: a driver that is not loaded, one that
//! may not be, a guest that does not answer, one that is dead.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::report::Report;
use crate::rig::{PORT, RINGS, TIME, Vm, end, serve};

#[test]
fn attach_check_knows_the_guest() -> Result<()> {
    let serve = serve(RINGS)?;
    let args = [&PORT[..], &["-device", "pvpanic", "-action", "panic=pause"]].concat();
    let vm = Vm::start("attach-guest", &args, true, |guest| {
        guest.kernel_module("pvpanic-mmio")
    })?;
    let report = Report::of(&serve, &vm)?;
    report.assert("device", "fail", &["not attached", "vhost-trace attach"])?;
    report.assert("slot", "ok", &["port0"])?;
    report.assert("driver", "unknown", &["attach"])?;
    report.assert_failed(&["device"])?;

    let said = serve.vm(&["attach", "--wait", "0", "--qmp", vm.monitor()?])?;
    ensure!(said.contains("modprobe virtio_trace"), "{said}");
    let report = Report::of(&serve, &vm)?;
    report.assert(
        "driver",
        "fail",
        &["no driver", "modprobe virtio_trace", "detach first"],
    )?;
    report.assert("lockdown", "unknown", &["/sys/kernel/security/lockdown"])?;
    report.assert_failed(&["driver"])?;
    let why = vm.refusal(&serve, &["attach"])?;
    ensure!(why.contains("attached already"), "{why}");

    let output = serve.command(&["stop", "vm"])?.output()?;
    let why = String::from_utf8(output.stderr)?;
    ensure!(why.contains("QEMU 11.1 would abort"), "{why}");

    vm.guest.stop()?;
    vm.guest.wait_event("STOP", TIME)?;
    let why = vm.refusal(&serve, &["detach"])?;
    ensure!(why.contains("does not run (paused)"), "{why}");
    vm.guest.cont()?;

    // The remedy that is proposed for an unsigned driver finds its reason.
    vm.guest
        .sh("mount -t securityfs none /sys/kernel/security")?;
    vm.guest
        .sh("echo integrity >/sys/kernel/security/lockdown")?;
    let refused = vm.guest.run("insmod /modules/virtio_trace.ko")?;
    ensure!(
        refused.status != 0,
        "a module without a signature was loaded"
    );
    let state = vm.guest.sh("cat /sys/kernel/security/lockdown")?;
    ensure!(state.contains("[integrity]"), "{state}");
    Report::of(&serve, &vm)?.assert_failed(&["driver"])?;

    vm.guest.spawn("echo c >/proc/sysrq-trigger")?;
    vm.guest.wait_event("STOP", TIME)?;
    let report = Report::of(&serve, &vm)?;
    report.assert(
        "running",
        "fail",
        &["guest-panicked", "cannot be traced any more"],
    )?;
    report.assert("driver", "fail", &["no driver", "guest-panicked"])?;
    report.assert_failed(&["running", "driver"])?;
    end(vm, serve)
}

/// A guest that knows no PCI hot plug keeps its device until it is reset.
#[test]
fn attach_says_that_a_guest_does_not_answer() -> Result<()> {
    let mut serve = serve(RINGS)?;
    let vm = Vm::start("attach-silent", &PORT, false, |guest| {
        guest.append("acpiphp.disable=1")
    })?;
    serve.vm(&["attach", "--wait", "0", "--qmp", vm.monitor()?])?;
    for _ in 0..2 {
        let why = vm.refusal(&serve, &["detach", "--wait", "1"])?;
        ensure!(why.contains("has not let go of the device in 1 s"), "{why}");
    }
    vm.guest.qmp("system_reset", Value::Null)?;
    vm.guest.wait_event("DEVICE_DELETED", TIME)?;
    serve.vm(&["detach", "--qmp", vm.monitor()?])?;
    serve.terminate()?;
    vm.guest.quit()
}
