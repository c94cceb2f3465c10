//! VMs that cannot have the device: `check` and `attach` say why. Their guests
//! need not boot for that.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use vhost_trace_lab::{Lab, Serve};

use crate::report::Report;
use crate::rig::{PORT, RINGS, TIME, Vm, end, serve};

/// A QEMU with these arguments that waits before its first instruction.
fn halted(name: &str, args: &[&str]) -> Result<Vm> {
    Vm::start(name, &[&["-S"], args].concat(), false, |guest| guest)
}

/// The run directory of a `serve`.
fn run_dir(serve: &Serve) -> Result<PathBuf> {
    let socket = serve.status()?["socket"].as_str().map(PathBuf::from);
    let dir = socket.as_deref().and_then(|socket| socket.parent());
    Ok(dir.context("no run directory")?.to_path_buf())
}

fn assert_contains(text: &str, words: &[&str]) {
    assert!(
        words.iter().all(|word| text.contains(word)),
        "{words:?}: {text}"
    );
}

#[test]
fn attach_refuses_memory_that_is_not_shared() -> Result<()> {
    let serve = serve(RINGS)?;
    let private = ["-object", "memory-backend-ram,id=private,size=256M"];
    let machine = ["-machine", "memory-backend=private"];
    let vm = halted("attach-memory", &[&private[..], &machine, &PORT].concat())?;
    let report = Report::of(&serve, &vm)?;
    report.assert(
        "memory",
        "fail",
        &["private", "while the VM runs", "share=on"],
    )?;
    report.assert_failed(&["memory", "running", "device"])?;
    let why = vm.refusal(&serve, &["attach"])?;
    assert_contains(&why, &["memory private is not shared", "start it with"]);
    assert_contains(&vm.refusal(&serve, &["detach"])?, &["no trace device"]);
    end(vm, serve)
}

#[test]
fn attach_refuses_a_machine_without_a_slot() -> Result<()> {
    let serve = serve(RINGS)?;
    let fixed = ["-device", "pcie-root-port,id=fixed,chassis=1,hotplug=off"];
    let full = ["-device", "pcie-root-port,id=full,chassis=2"];
    let device = ["-device", "virtio-rng-pci,bus=full"];
    let vm = halted("attach-slot", &[fixed, full, device].concat())?;
    let report = Report::of(&serve, &vm)?;
    report.assert("slot", "fail", &["none of its 2", "pcie-root-port"])?;
    report.assert("running", "fail", &["prelaunch", "cont"])?;
    report.assert_failed(&["running", "device", "slot"])?;
    // Whether the guest boots from here on does not matter.
    vm.guest.cont()?;
    assert_contains(
        &vm.refusal(&serve, &["attach"])?,
        &["no free hot-pluggable slot"],
    );
    let why = vm.refusal(&serve, &["attach", "--bus", "pcie.0"])?;
    assert_contains(&why, &["device_add", "pcie.0", "hotplug"]);
    // Nothing is left of it.
    let chardevs = vm.guest.qmp("query-chardev", Value::Null)?;
    ensure!(!chardevs.to_string().contains("vtrace"), "{chardevs}");
    serve.wait_status("no front end", TIME, |status| {
        (status["front_end"] == false).then_some(())
    })?;
    end(vm, serve)
}

/// On q35's root bus; without an id, as anybody may have written it.
#[test]
fn attach_cannot_be_undone_on_a_bus_without_hot_plug() -> Result<()> {
    let serve = serve(RINGS)?;
    let args = serve.device_args(Lab::prepare()?)?.join(" ");
    let args = args.replace("id=vtrace,chardev=vtrace,", "chardev=vtrace,");
    let args: Vec<&str> = args.split(' ').collect();
    let vm = halted("attach-fixed", &args)?;
    vm.guest.cont()?;
    let report = Report::of(&serve, &vm)?;
    report.assert("device", "ok", &["/machine/peripheral-anon/device["])?;
    report.assert_failed(&["driver"])?;
    let why = vm.refusal(&serve, &["detach"])?;
    assert_contains(&why, &["device_del", "stays until the VM ends"]);
    end(vm, serve)
}

#[test]
fn attach_refuses_ids_and_users() -> Result<()> {
    let mut bad = serve(&["--virtio-id", "63"])?;
    let args = [&PORT[..], &["-run-with", "user=nobody"]].concat();
    let vm = halted("attach-user", &args)?;
    vm.guest.cont()?;
    let report = Report::of(&bad, &vm)?;
    report.assert("virtio-id", "fail", &["63", "aborts"])?;
    report.assert("socket", "fail", &["QEMU's user (65534)", "--socket-group"])?;
    report.assert_failed(&["virtio-id", "device", "socket"])?;
    assert_contains(&vm.refusal(&bad, &["attach"])?, &["virtio id 63"]);
    bad.terminate()?;

    let serve = serve(RINGS)?;
    assert_contains(&vm.refusal(&serve, &["attach"])?, &["Permission denied"]);
    fs::remove_file(run_dir(&serve)?.join("vm.sock"))?;
    let report = Report::of(&serve, &vm)?;
    report.assert("socket", "fail", &["No such file"])?;
    end(vm, serve)
}

#[test]
fn attach_check_knows_the_host() -> Result<()> {
    let mut serve = serve(RINGS)?;
    let report = Report::new(&serve, &["other"])?;
    report.assert("serve", "fail", &["VM other is not served"])?;
    report.assert("monitor", "unknown", &["--qmp"])?;
    report.assert_failed(&["serve"])?;

    let dir = run_dir(&serve)?;
    fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
    Report::new(&serve, &["vm"])?.assert("run-dir", "fail", &["755", "chmod 700"])?;
    fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
    Report::new(&serve, &["vm"])?.assert_failed(&[])?;
    let missing = dir.join("missing");
    let missing = missing.to_str().context("a path of UTF-8")?;
    Report::new(&serve, &["vm", "--run-dir", missing])?.assert_failed(&["run-dir", "serve"])?;

    let path = dir.join("nobody");
    let nobody = path.to_str().context("a path of UTF-8")?;
    let report = Report::new(&serve, &["vm", "--qmp", nobody])?;
    report.assert("monitor", "fail", &["No such file"])?;
    // One that serves another client.
    let _listener = UnixListener::bind(&path)?;
    let report = Report::new(&serve, &["vm", "--qmp", nobody])?;
    report.assert("monitor", "fail", &["another program", "--libvirt"])?;
    serve.terminate()
}

/// A monitor like that of a QEMU without the device.
fn old_qemu(listener: &UnixListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    writeln!(stream, "{}", json!({ "QMP": {} }))?;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let version = json!({ "major": 10, "minor": 0, "micro": 2 });
        let reply = match request["execute"].as_str().unwrap_or_default() {
            "query-version" => json!({ "return": { "qemu": version } }),
            "query-memdev" => json!({ "return": [{ "id": "mem", "share": true }] }),
            "query-status" => json!({ "return": { "status": "running" } }),
            "qmp_capabilities" | "qom-list" | "qom-list-types" => json!({ "return": [] }),
            _ => json!({ "error": { "class": "GenericError", "desc": "\u{1b}[2Jno" } }),
        };
        writeln!(stream, "{reply}")?;
    }
    Ok(())
}

#[test]
fn attach_refuses_a_qemu_without_the_device() -> Result<()> {
    let mut serve = serve(RINGS)?;
    let path = run_dir(&serve)?.join("old");
    let listener = UnixListener::bind(&path)?;
    thread::spawn(move || while old_qemu(&listener).is_ok() {});
    let old = path.to_str().context("a path of UTF-8")?;
    let report = Report::new(&serve, &["vm", "--qmp", old])?;
    report.assert("qemu", "fail", &["QEMU 10.0.2", "11.1 or later"])?;
    report.assert_failed(&["qemu", "device", "slot"])?;
    let output = serve.command(&["attach", "vm", "--qmp", old])?.output()?;
    ensure!(!output.status.success());
    assert_contains(&String::from_utf8(output.stderr)?, &["QEMU 10.0.2 has no"]);
    serve.terminate()
}
