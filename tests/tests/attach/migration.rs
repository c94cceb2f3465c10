//! A VM under load moves to another QEMU: traced before, and traced after.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::Guest;

use crate::cycles::{read_session, sessions, wait_events};
use crate::numbers::{Numbers, assert_complete};
use crate::rig::{PORT, RINGS, TIME, Vm, serve};

const NAME: &str = "attach-migration";
const EVENTS: u64 = 2000;

/// Waits until a guest's migration is over, as its source sees it.
fn wait_migrated(source: &Guest) -> Result<()> {
    loop {
        let event = source.wait_event("MIGRATION", TIME)?;
        match event["data"]["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                let why = source.qmp("query-migrate", Value::Null)?;
                anyhow::bail!("the migration failed: {why:#}");
            }
            _ => {}
        }
    }
}

#[test]
fn attach_after_a_migration() -> Result<()> {
    let mut here = serve(RINGS)?;
    let mut there = serve(RINGS)?;
    let source = Vm::boot(NAME)?;
    let socket = format!("vhost-trace-{}-migration", std::process::id());
    let socket = std::env::temp_dir().join(socket);
    let uri = format!("unix:{}", socket.display());
    let incoming = [&PORT[..], &["-incoming", &uri]].concat();
    let destination = Vm::start(NAME, &incoming, false, |guest| guest)?;
    let why = destination.refusal(&there, &["attach"])?;
    ensure!(why.contains("(inmigrate)"), "{why}");

    source.load_driver()?;
    source.load_witness()?;
    source.attach(&here)?;
    wait_events(&here, EVENTS)?;
    source.detach(&here)?;

    let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
    source.guest.qmp("migrate-set-capabilities", events)?;
    source.guest.qmp("migrate", json!({ "uri": uri }))?;
    wait_migrated(&source.guest)?;
    destination.guest.wait_event("RESUME", TIME)?;
    let why = source.refusal(&here, &["attach"])?;
    ensure!(why.contains("(postmigrate)"), "{why}");
    source.guest.quit()?;
    here.terminate()?;

    destination.attach(&there)?;
    wait_events(&there, EVENTS)?;
    destination.detach(&there)?;
    destination.run_witness(false)?;
    let cpus = destination.witness()?.read()?;
    let boots = destination.guest.console().matches("Run /init").count();
    ensure!(boots == 0, "the guest has restarted");
    destination.guest.quit()?;
    there.terminate()?;

    let mut all = Numbers::new();
    for trace in [here.trace(), there.trace()] {
        let sessions = sessions(&trace)?;
        ensure!(sessions.len() == 1, "{sessions:?}");
        read_session(&sessions[0], &mut all)?;
    }
    assert_complete(&all, &cpus);
    let _ = fs::remove_file(socket);
    Ok(())
}
