//! A VM goes back to an earlier state: traced before, and traced again.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::Guest;

use crate::cycles::{read_session, sessions, wait_events};
use crate::numbers::{Numbers, assert_complete};
use crate::rig::{RINGS, TIME, Vm, serve};

const EVENTS: u64 = 1000;
const DISK_BYTES: u64 = 1 << 20;

/// Runs one of QEMU's jobs to its end; returns why it failed, if it did.
fn job(guest: &Guest, execute: &str, mut arguments: Value) -> Result<Option<String>> {
    arguments["job-id"] = json!("job");
    guest.qmp(execute, arguments)?;
    loop {
        let event = guest.wait_event("JOB_STATUS_CHANGE", TIME)?;
        if event["data"]["status"] == "concluded" {
            break;
        }
    }
    let jobs = guest.qmp("query-jobs", Value::Null)?;
    let error = jobs[0]["error"].as_str().map(str::to_string);
    guest.qmp("job-dismiss", json!({ "id": "job" }))?;
    Ok(error)
}

/// A disk that holds states of the machine, and nothing of the guest's.
fn add_disk(guest: &Guest) -> Result<()> {
    let file = guest.dir().join("states.qcow2");
    let file = json!({ "driver": "file", "filename": file.to_str().context("UTF-8")? });
    for (format, mut create) in [
        ("file", file.clone()),
        ("qcow2", json!({ "driver": "qcow2", "file": "file" })),
    ] {
        let mut add = create.clone();
        create["size"] = json!(if format == "file" { 0 } else { DISK_BYTES });
        let error = job(guest, "blockdev-create", json!({ "options": create }))?;
        ensure!(error.is_none(), "{error:?}");
        add["node-name"] = json!(format);
        guest.qmp("blockdev-add", add)?;
    }
    Ok(())
}

#[test]
fn attach_around_a_snapshot() -> Result<()> {
    let state = json!({ "tag": "before", "vmstate": "qcow2", "devices": ["qcow2"] });
    let mut serve = serve(RINGS)?;
    let vm = Vm::boot("attach-snapshot")?;
    add_disk(&vm.guest)?;
    vm.load_driver()?;
    let witness = vm.load_witness()?;
    vm.attach(&serve)?;
    wait_events(&serve, EVENTS)?;
    // A state with the device would be one that no serve knows.
    let refusal = job(&vm.guest, "snapshot-save", state.clone())?;
    let refusal = refusal.context("a state was saved with the device in it")?;
    ensure!(refusal.contains("non-migratable"), "{refusal}");
    vm.detach(&serve)?;
    let error = job(&vm.guest, "snapshot-save", state.clone())?;
    ensure!(error.is_none(), "{error:?}");

    vm.attach(&serve)?;
    wait_events(&serve, EVENTS)?;
    vm.detach(&serve)?;
    let later = witness.read()?[0].recorded();
    let error = job(&vm.guest, "snapshot-load", state)?;
    ensure!(error.is_none(), "{error:?}");
    ensure!(witness.read()?[0].recorded() < later, "nothing was loaded");
    vm.attach(&serve)?;
    wait_events(&serve, EVENTS)?;
    vm.detach(&serve)?;
    vm.run_witness(false)?;
    let cpus = witness.read()?;
    vm.guest.quit()?;
    serve.terminate()?;

    let sessions = sessions(&serve.trace())?;
    ensure!(sessions.len() == 3, "{sessions:?}");
    // What was recorded in between is not the guest's past any more.
    read_session(&sessions[1], &mut Numbers::new())?;
    let mut all = Numbers::new();
    read_session(&sessions[0], &mut all)?;
    read_session(&sessions[2], &mut all)?;
    assert_complete(&all, &cpus);
    Ok(())
}
