//! Machine types other than q35, with the device from the start.

use anyhow::{Result, ensure};
use serde_json::json;
use vhost_trace_lab::{GuestBuilder, Lab};

use crate::cycles::{read_session, sessions, wait_events};
use crate::numbers::{Numbers, assert_complete};
use crate::rig::{RINGS, Vm, serve};

const EVENTS: u64 = 1000;

/// Traces a guest of this type to its end.
fn trace(machine: &str, more: impl FnOnce(GuestBuilder) -> GuestBuilder) -> Result<()> {
    let mut serve = serve(RINGS)?;
    let device = serve.device_args_of(Lab::prepare()?, machine)?;
    let device: Vec<&str> = device.iter().map(String::as_str).collect();
    let vm = Vm::start(&format!("attach-{machine}"), &device, true, more)?;
    vm.load_driver()?;
    let witness = vm.load_witness()?;
    wait_events(&serve, EVENTS)?;
    vm.run_witness(false)?;
    let cpus = witness.read()?;
    vm.guest.quit()?;
    serve.terminate()?;
    let mut all = Numbers::new();
    for session in sessions(&serve.trace())? {
        read_session(&session, &mut all)?;
    }
    assert_complete(&all, &cpus);
    Ok(())
}

#[test]
fn attach_to_i440fx_from_the_start() -> Result<()> {
    trace("i440fx", |guest| guest.machine("pc"))
}

/// QEMU takes the device on a bus without PCI. Without KVM no stock kernel
/// finds a timer in this machine, so that none is traced here.
#[test]
fn attach_to_microvm_is_accepted() -> Result<()> {
    let mut serve = serve(RINGS)?;
    let device = serve.device_args_of(Lab::prepare()?, "microvm")?;
    let device: Vec<&str> = device.iter().map(String::as_str).collect();
    let vm = Vm::start("attach-microvm", &device, false, |guest| {
        guest.machine("microvm")
    })?;
    let path = json!({ "path": "/machine/peripheral" });
    let devices = vm.guest.qmp("qom-list", path)?;
    ensure!(
        devices
            .as_array()
            .into_iter()
            .flatten()
            .any(|device| device["type"] == "child<vhost-user-test-device>"),
        "{devices:#}"
    );
    vm.guest.kill()?;
    serve.terminate()
}
