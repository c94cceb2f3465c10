//! The OCF resource agent, by a test that plays Pacemaker's part.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use vhost_trace_lab::{Serve, workspace_dir};

use crate::rig::{Rig, TIME};

const VM: &str = "probe-agent";
const SUCCESS: i32 = 0;
const ERR_GENERIC: i32 = 1;
const ERR_UNIMPLEMENTED: i32 = 3;
const ERR_INSTALLED: i32 = 5;
const ERR_CONFIGURED: i32 = 6;
const NOT_RUNNING: i32 = 7;

/// What Pacemaker gives an action, unless it is to be killed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What Pacemaker knows of the resource, and a `crm_resource` that only says
/// how it was called.
struct Pacemaker {
    dir: PathBuf,
    parameters: Vec<(&'static str, String)>,
}

impl Pacemaker {
    fn new(serve: &Serve) -> Result<Self> {
        let dir = serve.dir().join("pacemaker");
        fs::create_dir_all(dir.join("bin"))?;
        let called = dir.join("called");
        script(
            &dir.join("bin/crm_resource"),
            &format!("echo \"$@\" >{0}.new && mv {0}.new {0}", called.display()),
        )?;
        let program = vhost_trace_lab::vhost_trace()?.display().to_string();
        let on = "sched_process_exit if comm == \"httpd\"".into();
        Ok(Self {
            dir,
            parameters: vec![
                ("OCF_RESKEY_program", program),
                ("OCF_RESKEY_vm", VM.into()),
                ("OCF_RESKEY_on", on),
            ],
        })
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.parameters.retain(|(known, _)| *known != name);
        self.parameters.push((name, value.into()));
    }

    fn action(&self, serve: &Serve, action: &str) -> Result<Command> {
        // For where the serve's sockets are.
        let like = serve.command(&[])?;
        let mut command = Command::new(workspace_dir().join("qemu-configs/ocf/vhost-trace-watch"));
        let path = std::env::var("PATH")?;
        command
            .arg(action)
            .envs(
                like.get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", format!("{}:{path}", self.dir.join("bin").display()))
            .env("OCF_ROOT", &self.dir)
            .env("HA_RSCTMP", &self.dir)
            .env("OCF_RESOURCE_INSTANCE", "watch-1")
            .env("OCF_RESKEY_CRM_meta_on_node", "node-a")
            .envs(self.parameters.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Does this, and expects that the agent says so; returns what it has said.
    fn expect(&self, serve: &Serve, action: &str, status: i32) -> Result<String> {
        let output = self.dir.join("output");
        let file = fs::File::create(&output)?;
        let mut child = self
            .action(serve, action)?
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let ended = wait(&mut child, TIMEOUT)?;
        let said = fs::read_to_string(output)?;
        ensure!(
            ended == Some(status),
            "{action}: {ended:?}, not {status}: {said}"
        );
        Ok(said)
    }

    /// What `crm_resource` was called with.
    fn called(&self) -> Result<String> {
        let file = self.dir.join("called");
        let called = wait_file(&file)?;
        fs::remove_file(file)?;
        Ok(called.trim().into())
    }

    /// The process of the watch.
    fn watch(&self) -> Result<i32> {
        let pid = fs::read_to_string(self.dir.join("vhost-trace-watch-watch-1/pid"))?;
        let pid = pid.split_whitespace().next().context("no pid")?;
        Ok(pid.parse()?)
    }
}

fn script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Its exit status; none if Pacemaker had to kill it.
fn wait(child: &mut Child, time: Duration) -> Result<Option<i32>> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if Instant::now() > deadline {
            // SAFETY: kill has no memory preconditions; the leader of the group
            // has not been waited for.
            unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn wait_file(path: &Path) -> Result<String> {
    let deadline = Instant::now() + TIME;
    loop {
        match fs::read_to_string(path) {
            Ok(text) => return Ok(text),
            Err(error) if Instant::now() > deadline => {
                bail!("{}: {error}", path.display());
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Whether it runs; whoever is to wait for it may not have.
fn exists(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|text| !text.contains("State:\tZ"))
}

/// A process of this name that does nothing.
fn serve_http(rig: &Rig) -> Result<()> {
    rig.guest.sh("cp $(which workload) /tmp/httpd
         rm -f /tmp/pid
         (sleep 1000 | /tmp/httpd --wait getppid 1) >/dev/null 2>&1 &
         until pidof httpd >/tmp/pid; do sleep 0.01; done")?;
    Ok(())
}

#[test]
fn probe_watch_agent_fails_at_once() -> Result<()> {
    // A flight recorder is watched, too, though nobody reads it meanwhile.
    let mut rig = Rig::boot(VM, 1, &["--mode", "overwrite"])?;
    let mut cluster = Pacemaker::new(&rig.serve)?;
    let said = cluster.expect(&rig.serve, "meta-data", SUCCESS)?;
    for part in [
        "<version>1.1</version>",
        "name=\"monitor\"",
        "</resource-agent>",
    ] {
        ensure!(said.contains(part), "{said}");
    }
    cluster.expect(&rig.serve, "promote", ERR_UNIMPLEMENTED)?;
    cluster.expect(&rig.serve, "validate-all", SUCCESS)?;
    cluster.expect(&rig.serve, "monitor", NOT_RUNNING)?;
    cluster.expect(&rig.serve, "stop", SUCCESS)?;

    // Before the driver is there, and again.
    let said = cluster.expect(&rig.serve, "start", SUCCESS)?;
    ensure!(said.contains("driver is not there yet"), "{said}");
    cluster.expect(&rig.serve, "start", SUCCESS)?;
    cluster.expect(&rig.serve, "monitor", SUCCESS)?;
    rig.load_driver()?;
    rig.serve.wait_status("the watch", TIME, |status| {
        (status["driver"]["enabled"] == 1).then_some(())
    })?;
    cluster.expect(&rig.serve, "monitor", SUCCESS)?;

    // Its own failure, then that of the VM's resource.
    for failed in ["watch-1", "vm-1"] {
        serve_http(&rig)?;
        rig.guest.sh("kill -9 $(cat /tmp/pid)")?;
        let called = cluster.called()?;
        let expected = format!("--fail --resource {failed} --node node-a");
        ensure!(called == expected, "{called}");
        let said = cluster.expect(&rig.serve, "monitor", ERR_GENERIC)?;
        ensure!(said.contains("\"comm\":\"httpd\""), "{said}");
        // Recovery.
        cluster.expect(&rig.serve, "stop", SUCCESS)?;
        cluster.expect(&rig.serve, "monitor", NOT_RUNNING)?;
        cluster.set("OCF_RESKEY_fail_resource", "vm-1");
        let said = cluster.expect(&rig.serve, "start", SUCCESS)?;
        ensure!(!said.contains("driver"), "{said}");
        cluster.expect(&rig.serve, "monitor", SUCCESS)?;
    }

    // The watch dies.
    let pid = cluster.watch()?;
    // SAFETY: kill has no memory preconditions; the agent's watch runs.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let said = cluster.expect(&rig.serve, "monitor", ERR_GENERIC)?;
    ensure!(said.contains("not watched any more"), "{said}");
    cluster.expect(&rig.serve, "stop", SUCCESS)?;

    // It is stopped while it runs, by a start that Pacemaker kills, too.
    cluster.expect(&rig.serve, "start", SUCCESS)?;
    let pid = cluster.watch()?;
    cluster.expect(&rig.serve, "stop", SUCCESS)?;
    ensure!(!exists(pid), "{pid} runs");
    let hangs = cluster.dir.join("hangs");
    script(&hangs, "trap '' TERM; while :; do sleep 1; done")?;
    let program = std::mem::replace(&mut cluster.parameters[0].1, hangs.display().to_string());
    let mut child = cluster.action(&rig.serve, "start")?.spawn()?;
    wait_file(&cluster.dir.join("vhost-trace-watch-watch-1/pid"))?;
    ensure!(
        wait(&mut child, Duration::from_secs(1))?.is_none(),
        "it came up"
    );
    let pid = cluster.watch()?;
    ensure!(exists(pid), "{pid} does not run");
    cluster.expect(&rig.serve, "stop", SUCCESS)?;
    ensure!(!exists(pid), "{pid} runs");

    // What cannot be.
    cluster.set("OCF_RESKEY_program", "/no/such/program");
    cluster.expect(&rig.serve, "validate-all", ERR_INSTALLED)?;
    cluster.expect(&rig.serve, "start", ERR_INSTALLED)?;
    cluster.set("OCF_RESKEY_program", &program);
    cluster.set("OCF_RESKEY_on", "no_such_event");
    let said = cluster.expect(&rig.serve, "start", ERR_GENERIC)?;
    ensure!(said.contains("no event is called no_such_event"), "{said}");
    cluster.set("OCF_RESKEY_on", "");
    cluster.expect(&rig.serve, "start", ERR_CONFIGURED)?;
    cluster.set("OCF_RESKEY_on", "oom_mark_victim");
    cluster.expect(&rig.serve, "start", SUCCESS)?;
    cluster.expect(&rig.serve, "monitor", SUCCESS)?;
    rig.guest.quit()?;
    rig.serve.terminate()?;
    wait_end(cluster.watch()?)?;
    let said = cluster.expect(&rig.serve, "monitor", ERR_GENERIC)?;
    ensure!(said.contains("the serve has ended"), "{said}");
    cluster.expect(&rig.serve, "stop", SUCCESS)?;
    let said = cluster.expect(&rig.serve, "start", ERR_GENERIC)?;
    ensure!(said.contains("is not served"), "{said}");
    cluster.expect(&rig.serve, "stop", SUCCESS)?;
    Ok(())
}

/// Whoever is not our child cannot be waited for.
fn wait_end(pid: i32) -> Result<()> {
    let deadline = Instant::now() + TIME;
    while exists(pid) {
        ensure!(Instant::now() < deadline, "{pid} runs");
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
