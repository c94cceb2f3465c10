//! A guest with all its user space.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{
    BUILD_DIR, Lab, copy_with_libraries, target_dir, vhost_trace, workspace_dir,
};

use super::kit::{ALL, Kit, source, utf8};
use crate::rig::TIME;

/// Has the program build, where that kernel's modules can be built; `words` are
/// its arguments, in which the headers and the sources are named as they are
/// there. Returns the folder in which that leaves its result.
fn build(words: &[String]) -> Result<PathBuf> {
    let lab = Lab::prepare()?;
    let out = target_dir().join("lab/probe-build");
    fs::create_dir_all(&out)?;
    let program = copy_with_libraries(vhost_trace()?, &out, BUILD_DIR)?;
    fs::copy(source("template"), out.join("template.c"))?;
    let built = lab
        .kernel
        .builder(&out)?
        .args(["sh", "-c", &format!("cd {BUILD_DIR} && exec \"$@\""), "sh"])
        .args(program)
        .args(words)
        .output()?;
    ensure!(built.status.success(), "{built:?}");
    assert_eq!(String::from_utf8(built.stdout)?.trim(), "./template.ko");
    Ok(out)
}

/// The commands of the guide, in their order: words without `vhost-trace`.
fn guide() -> Result<Vec<Vec<String>>> {
    let text = fs::read_to_string(workspace_dir().join("docs/probes.md"))?;
    let (_, part) = text
        .split_once("## Probe modules")
        .context("no part of modules")?;
    let lines = part
        .lines()
        .filter_map(|line| line.strip_prefix("vhost-trace "));
    Ok(lines
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect())
}

/// Follows the guide, with a process that ends after each of its steps.
fn follow_guide(kit: &Kit) -> Result<()> {
    let headers = Lab::prepare()?.kernel.headers_dir();
    let mut folder = PathBuf::new();
    let mut done = Vec::new();
    for mut words in guide()? {
        for word in &mut words {
            if word.starts_with("/lib/modules/") {
                *word = headers.clone();
            } else if word == "template.ko" {
                *word = utf8(&folder.join("template.ko"))?.to_owned();
            }
        }
        let args: Vec<&str> = words.iter().map(String::as_str).collect();
        match args[..] {
            ["probe", "build", ..] => folder = build(&words)?,
            ["live", ..] => {
                let mut live = kit.rig.serve.command(&args)?;
                let mut live = live.stdout(Stdio::piped()).spawn()?;
                let lines = BufReader::new(live.stdout.take().context("no stdout")?).lines();
                let ends = kit.rig.guest.spawn("while sleep 0.1; do :; done")?;
                let seen = lines
                    .map_while(Result::ok)
                    .find(|it| it.contains("process_end"));
                ends.kill()?;
                live.kill()?;
                live.wait()?;
                ensure!(seen.is_some(), "live shows no event of the probe");
            }
            _ => drop(kit.rig.serve.cli(&args)?),
        }
        done.push(words.into_iter().take(2).collect::<Vec<_>>().join(" "));
    }
    println!("{done:?}");
    let all = [
        "probe build",
        "probe load",
        "probe list",
        "live web1",
        "probe unload",
    ];
    assert_eq!(done, all);
    Ok(())
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
    let mut kit = Kit::boot_with("web1", ALL, |guest| guest.memory_mib(384))?;
    let status = kit.rig.serve.status()?;
    let policy = &status["driver"]["policy"];
    assert_eq!(policy["upload_limit"], 16 << 20);
    assert_eq!(policy["allow"].as_array().map(Vec::len), Some(3));

    // The trace runs already.
    kit.rig.enable("sched_process_fork")?;
    let before = status["driver"]["events"].as_u64().context("events")?;
    follow_guide(&kit)?;
    let said = kit.load("template", &[])?;
    assert_eq!(said, "VM web1: template is loaded");
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
