//! A libvirt that has one domain, `guest`: a `virsh` for the command line that
//! passes QMP commands to the lab's own monitor of the guest.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::{Guest, Serve};

const SCRIPT: &str = r#"#!/bin/sh
# virsh --quiet qemu-monitor-command DOMAIN JSON
cd "${0%/*}"
[ "$2" = qemu-monitor-command ] && [ "$3" = guest ] || {
    echo "error: failed to get domain '$3'" >&2
    exit 1
}
printf '%s\n' "$4" >in
cat out
"#;

/// Runs a command of the VM `vm` with such a `virsh`; what it prints.
pub fn with_virsh(serve: &Serve, guest: &Guest, command: &str) -> Result<String> {
    let dir = guest.dir().join("virsh");
    fs::create_dir_all(&dir)?;
    let script = dir.join("virsh");
    fs::write(&script, SCRIPT)?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    for name in ["in", "out"] {
        let made = std::process::Command::new("mkfifo")
            .arg(dir.join(name))
            .status()?;
        ensure!(made.success(), "mkfifo: {made}");
    }
    let path = std::env::var("PATH")?;
    let path = format!("{}:{path}", dir.display());
    let output = thread::scope(|scope| {
        let relay = scope.spawn(|| -> Result<()> {
            loop {
                let request = fs::read_to_string(dir.join("in"))?;
                if request.is_empty() {
                    return Ok(());
                }
                fs::write(dir.join("out"), answer(guest, &request)?)?;
            }
        });
        let output = serve
            .command(&[command, "vm", "--libvirt", "guest"])
            .and_then(|mut command| Ok(command.env("PATH", &path).output()?));
        // Ends the relay, if it has not failed.
        if !relay.is_finished() {
            fs::write(dir.join("in"), "")?;
        }
        relay.join().expect("the relay panicked")?;
        output
    })?;
    fs::remove_dir_all(&dir)?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{command}: {}",
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

/// QEMU's answer, as libvirt passes it on.
fn answer(guest: &Guest, request: &str) -> Result<String> {
    let request: Value = serde_json::from_str(request)?;
    let command = request["execute"].as_str().context("no command")?;
    let reply = match guest.qmp(command, request["arguments"].clone()) {
        Ok(value) => json!({ "return": value, "id": "libvirt-7" }),
        Err(error) => {
            let text = error.to_string();
            let from = text.find('{').context(text.clone())?;
            let error: Value = serde_json::from_str(&text[from..])?;
            json!({ "error": error, "id": "libvirt-7" })
        }
    };
    Ok(format!("{reply}\n"))
}
