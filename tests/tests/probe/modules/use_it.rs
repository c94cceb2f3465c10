//! A guest with all its user space.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{BUILD_DIR, Lab, target_dir, vhost_trace};

use super::kit::{ALL, Kit, source, utf8};
use crate::rig::TIME;

/// Builds with `probe build`, where that kernel's modules can be built.
fn build(name: &str) -> Result<std::path::PathBuf> {
    let lab = Lab::prepare()?;
    let out = target_dir().join("lab/probe-build");
    fs::create_dir_all(&out)?;
    fs::copy(vhost_trace()?, out.join("vhost-trace"))?;
    fs::copy(source(name), out.join(format!("{name}.c")))?;
    let built = lab
        .kernel
        .builder(&out)?
        .arg(format!("{BUILD_DIR}/vhost-trace"))
        .args(["probe", "build", "--headers", &lab.kernel.headers_dir()])
        .args(["--out", BUILD_DIR, &format!("{BUILD_DIR}/{name}.c")])
        .output()?;
    ensure!(built.status.success(), "{built:?}");
    let made = String::from_utf8(built.stdout)?;
    assert_eq!(made.trim(), format!("{BUILD_DIR}/{name}.ko"));
    Ok(out.join(format!("{name}.ko")))
}

#[test]
fn probe_module_build_says_what_it_lacks() -> Result<()> {
    let build = |headers: &str, source: &Path| -> Result<String> {
        let mut command = Command::new(vhost_trace()?);
        let output = command
            .args(["probe", "build", "--headers", headers])
            .arg(source)
            .output()?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    let error = build("/proc", &source("template"))?;
    ensure!(error.contains("no build folder of a kernel"), "{error}");
    Ok(())
}

#[test]
fn probe_module_events_are_like_native_ones() -> Result<()> {
    let mut kit = Kit::boot_with("probe-use", ALL, |guest| guest.memory_mib(384))?;
    let status = kit.rig.serve.status()?;
    let policy = &status["driver"]["policy"];
    assert_eq!(policy["upload_limit"], 16 << 20);
    assert_eq!(policy["allow"].as_array().map(Vec::len), Some(3));

    // The trace runs already.
    kit.rig.enable("sched_process_fork")?;
    let before = status["driver"]["events"].as_u64().context("events")?;
    let template = build("template")?;
    let said = kit.done("load", &[utf8(&template)?])?;
    assert_eq!(said, "VM probe-use: template is loaded");
    kit.load("send_signal", &["only=10"])?;
    kit.load("tcp_loss", &[])?;
    kit.load("oom_kill", &[])?;
    let list = kit.done("list", &[])?;
    assert_eq!(
        list,
        "module template\nmodule send_signal\nmodule tcp_loss\nmodule oom_kill"
    );
    let status = kit.rig.serve.status()?;
    assert_eq!(status["driver"]["events"], before + 5);

    let guest = &kit.rig.guest;
    // Unloaded while its events are in the rings.
    guest.sh("sleep 60 & kill -USR1 $!; kill -9 $!")?;
    kit.unload("send_signal")?;
    guest.sh("sleep 60 & kill -USR1 $!; kill -9 $!")?;
    kit.load("send_signal", &["only=10"])?;
    guest.sh("sleep 60 & kill -USR1 $!; kill -9 $!")?;

    // A SYN to where nobody is comes back, and is dropped, and sent again.
    guest.sh("ip link set lo up; ip addr add 10.9.9.8/32 dev lo; ip route add 10.9.9.9 dev lo")?;
    guest.run_within("timeout 4 nc 10.9.9.9 80 </dev/null", TIME)?;
    guest.sh(
        "cd /sys/fs/cgroup && echo +memory >cgroup.subtree_control && mkdir small && \
         echo 16M >small/memory.max",
    )?;
    let hog = "echo $$ >/sys/fs/cgroup/small/cgroup.procs; exec tail /dev/zero";
    guest.run_within(&format!("sh -c '{hog}'"), TIME)?;
    for name in ["template", "send_signal", "tcp_loss", "oom_kill"] {
        kit.unload(name)?;
    }
    assert_eq!(kit.done("list", &[])?, "");
    kit.fails(
        "unload",
        &["template"],
        &["no module of this name", "errno 2"],
    )?;

    let recorded = kit.recorded()?;
    let of = |name: &str| recorded.get(name).map_or(&[][..], Vec::as_slice);
    let signals = of("send_signal");
    assert_eq!(signals.len(), 2, "{signals:?}");
    for signal in signals {
        ensure!(signal.contains("sig = 10,"), "{signal}");
        ensure!(signal.contains("from_comm = \"sh\""), "{signal}");
    }
    ensure!(of("process_end").len() > 5, "{recorded:?}");
    let victims = of("oom_kill");
    assert_eq!(victims.len(), 1, "{victims:?}");
    ensure!(victims[0].contains(", comm = \"tail\""), "{victims:?}");
    for name in ["tcp_retransmit", "tcp_drop"] {
        ensure!(
            of(name).iter().any(|event| event.contains("dport = 80")),
            "{name}: {:?}",
            of(name)
        );
    }
    ensure!(!of("sched_process_fork").is_empty());
    Ok(())
}
