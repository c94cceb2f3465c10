//! A VM under load moves to another QEMU.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::{Guest, Serve};

use crate::rig::{PORT, TIME, Vm};

/// A QEMU that waits for a guest.
#[derive(Debug)]
pub struct Destination {
    vm: Vm,
    socket: PathBuf,
}

impl Destination {
    /// Starts it with what a guest of this name had.
    pub fn start(name: &str) -> Result<Self> {
        let socket = format!("vhost-trace-{}-migration", std::process::id());
        let socket = std::env::temp_dir().join(socket);
        let incoming = format!("unix:{}", socket.display());
        let args = [&PORT[..], &["-incoming", &incoming]].concat();
        Ok(Self {
            vm: Vm::start(name, &args, false, |guest| guest)?,
            socket,
        })
    }

    /// Moves the guest here, and ends the QEMU that it comes from. Both refuse
    /// a device while they do not run.
    pub fn receive(self, source: Vm, serve: &Serve) -> Result<Vm> {
        let why = self.vm.refusal(serve, &["attach"])?;
        ensure!(why.contains("(inmigrate)"), "{why}");
        let events = json!({ "capabilities": [{ "capability": "events", "state": true }] });
        source.guest.qmp("migrate-set-capabilities", events)?;
        let uri = format!("unix:{}", self.socket.display());
        source.guest.qmp("migrate", json!({ "uri": uri }))?;
        wait_migrated(&source.guest)?;
        self.vm.guest.wait_event("RESUME", TIME)?;
        let why = source.refusal(serve, &["attach"])?;
        ensure!(why.contains("(postmigrate)"), "{why}");
        source.guest.quit()?;
        let _ = fs::remove_file(&self.socket);
        Ok(self.vm)
    }
}

/// Waits until a guest's migration is over, as its source sees it.
fn wait_migrated(source: &Guest) -> Result<()> {
    loop {
        let event = source.wait_event("MIGRATION", TIME)?;
        match event["data"]["status"].as_str() {
            Some("completed") => return Ok(()),
            Some("failed" | "cancelled") => {
                let why = source.qmp("query-migrate", Value::Null)?;
                bail!("the migration failed: {why:#}");
            }
            _ => {}
        }
    }
}
