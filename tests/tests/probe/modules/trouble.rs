//! Loads that hang, that kill the guest, and that nobody has allowed.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::kit::{ALL, Kit, module_file, utf8};
use crate::rig::TIME;

/// Starts `probe load` and does not wait for it.
fn start(kit: &Kit, words: &[&str]) -> Result<Child> {
    let file = module_file("vt_trouble")?;
    let args = [&["probe", "load", kit.name(), utf8(&file)?], words].concat();
    let mut load = kit.rig.serve.command(&args)?;
    Ok(load.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

#[test]
fn probe_module_is_not_allowed_by_default() -> Result<()> {
    let kit = Kit::boot("probe-no", "")?;
    let file = module_file("template")?;
    let texts = ["allow=native,probes of virtio_trace", "errno 1)"];
    kit.fails("load", &[utf8(&file)?], &texts)?;
    kit.fails("unload", &["template"], &texts)?;
    assert_eq!(kit.done("list", &[])?, "");
    let status = kit.rig.serve.vm(&["status"])?;
    ensure!(status.contains("allow=): native,probes;"), "{status}");
    assert_eq!(
        kit.rig.serve.status()?["driver"]["policy"]["allow"][2],
        serde_json::Value::Null
    );

    // Nothing at all, and less than the file has.
    kit.rig
        .guest
        .sh("rmmod virtio_trace; insmod /modules/virtio_trace.ko allow=")?;
    let refused = kit
        .rig
        .enable("sched_switch")
        .map_err(|error| error.to_string());
    ensure!(refused.is_err_and(|error| error.contains("allow= of virtio_trace")));
    kit.fails(
        "add",
        &["p:ends do_exit"],
        &["does not allow probes", "allow= of"],
    )?;
    let small = "rmmod virtio_trace; insmod /modules/virtio_trace.ko upload_limit=1000 ";
    kit.rig.guest.sh(&format!("{small} {ALL}"))?;
    kit.fails("load", &[utf8(&file)?], &["at most 1000", "upload_limit"])
}

#[test]
fn probe_module_that_hangs_or_panics_ends_in_time() -> Result<()> {
    let kit = Kit::boot_with("probe-trouble", ALL, |guest| guest.append("panic=1"))?;
    let guest = &kit.rig.guest;
    let template = module_file("template")?;

    // Its init hangs: others are refused, and what is no module goes on.
    let started = Instant::now();
    let hangs = start(&kit, &["hang=1"])?;
    let hung = "until [ -e /sys/module/vt_trouble/initstate ]; do sleep 0.1; done";
    guest.sh(&format!(
        "{hung}; grep coming /sys/module/vt_trouble/initstate"
    ))?;
    kit.fails("load", &[utf8(&template)?], &["busy"])?;
    kit.rig.enable("sched_process_fork")?;
    assert_eq!(kit.done("list", &[])?, "");
    let output = hangs.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    println!("after {:?}: {error}", started.elapsed());
    ensure!(
        !output.status.success() && error.contains("not answered in time"),
        "{error}"
    );
    ensure!(started.elapsed() < Duration::from_secs(60));
    kit.fails(
        "load",
        &[utf8(&template)?],
        &["still being loaded", "errno 16"],
    )?;
    guest.sh("echo 1 >/sys/module/vt_trouble/parameters/go")?;
    kit.rig
        .serve
        .wait_status("the module's end", TIME, |_| kit.load("template", &[]).ok())?;
    // It has come in after all.
    assert_eq!(kit.done("list", &[])?, "module vt_trouble\nmodule template");
    kit.unload("vt_trouble")?;

    // A client that is killed in the middle lets others in.
    guest.stop()?;
    let mut killed = start(&kit, &[])?;
    std::thread::sleep(Duration::from_millis(300));
    killed.kill()?;
    killed.wait()?;
    guest.cont()?;
    kit.load("vt_trouble", &[])?;
    kit.unload("vt_trouble")?;

    // The guest that is paused.
    guest.stop()?;
    kit.fails("list", &[], &["not answered in time", "paused"])?;
    guest.cont()?;

    // The guest dies of it, and comes back.
    let boots = guest.boots();
    let output = start(&kit, &["die=1"])?.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    println!("{error}");
    ensure!(
        !output.status.success() && error.contains("did it crash"),
        "{error}"
    );
    guest
        .wait_boot(boots + 1, TIME)
        .context("the guest's return")?;
    guest.sh(&format!("insmod /modules/virtio_trace.ko {ALL}"))?;
    kit.load("template", &[])?;
    Ok(())
}
