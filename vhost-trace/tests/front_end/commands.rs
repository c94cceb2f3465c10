//! The command line, and what it has the guest do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use ringbuf::Mode;
use vhost_trace::wire::cmd;

use crate::driver::Driver;
use crate::program::{Serve, command, text};
use crate::ring::Ring;

fn fails(output: &std::process::Output, with: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(error.contains(with), "{error}");
}

#[test]
fn cli_enables_events_in_the_guest() {
    let serve = Serve::start(&[]);
    // Before there is a guest.
    let output = serve.cli(&["events", "vm", "--enable", "num*"]);
    assert!(text(&output).contains("remembered"));
    assert!(text(&serve.cli(&["list"])).contains("vm\tno front end"));

    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let _ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    driver.post_buffers();
    let (enable, ids) = driver.command();
    assert_eq!((enable.kind, &ids[..]), (cmd::ENABLE, &[1, 0][..]));
    let (dump, nothing) = driver.command();
    assert_eq!((dump.kind, nothing.len()), (cmd::STATEDUMP, 0));
    driver.done(enable.seq, 0, "");
    driver.done(dump.seq, 0, "");
    assert_eq!(text(&serve.cli(&["events", "vm", "--list"])), "* number\n");

    // The client waits for what the guest says.
    let client = command(serve.dir(), &["events", "vm", "--disable", "*"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (disable, ids) = driver.command();
    assert_eq!((disable.kind, &ids[..]), (cmd::DISABLE, &[1, 0][..]));
    driver.done(disable.seq, 22, "not \x1b today");
    let output = client.wait_with_output().unwrap();
    fails(&output, "not \\x1b today (errno 22)");

    fails(
        &serve.cli(&["events", "vm", "--enable", "a b"]),
        "no event pattern",
    );
    let unmatched = serve.cli(&["events", "vm", "--enable", "nonsense"]);
    assert!(String::from_utf8_lossy(&unmatched.stderr).contains("no event is called nonsense"));
    // Another start of the driver gets the same wishes.
    text(&serve.cli(&["events", "vm", "--disable", "*"]));
    let client = command(serve.dir(), &["events", "vm", "--enable", "number"]).spawn();
    let (enable, _) = driver.command();
    assert_eq!(enable.kind, cmd::ENABLE);
    driver.done(enable.seq, 0, "");
    let (dump, _) = driver.command();
    driver.done(dump.seq, 0, "");
    assert!(client.unwrap().wait().unwrap().success());
    driver.reset();
    driver.introduce();
    let _ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    driver.post_buffers();
    assert_eq!(driver.command().0.kind, cmd::ENABLE);
}

#[test]
fn cli_shows_events_live() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 2, 0x10_0000, Mode::Discard);
    ring.write_many(3);
    let watch = |args: &[&str]| {
        let mut child = command(serve.dir(), &[&["live", "vm"], args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines.map(Result::unwrap))
    };
    let (mut plain, mut lines) = watch(&[]);
    let (mut json, mut objects) = watch(&["--json"]);
    // From when somebody watches, and from the middle of a sub-buffer.
    let before = serve.status()["wakeups"].as_u64().unwrap();
    serve.wait_status("watching", |status| {
        status["wakeups"].as_u64().unwrap() > before + 20
    });
    for round in 0..4 {
        ring.write_many(1);
        let line = lines.next().unwrap();
        let expected = format!(
            "vm:2 number: {{ mark = 0x4B52414D5F4F4E21, seq = {}, ",
            round + 3
        );
        assert!(line.contains(&expected), "{line}");
        let object: serde_json::Value = serde_json::from_str(&objects.next().unwrap()).unwrap();
        assert_eq!(object["vcpu"], 2);
        assert_eq!(object["fields"]["seq"], round + 3);
    }
    // Whole sub-buffers and parts of them, each event once.
    ring.write_many(500);
    driver.doorbell();
    for number in 7..507 {
        let line = lines.next().unwrap();
        assert!(line.contains(&format!("seq = {number}, ")), "{line}");
    }
    plain.kill().unwrap();
    plain.wait().unwrap();
    json.kill().unwrap();
    json.wait().unwrap();
    assert_eq!(
        ring.consumed(&driver.memory),
        8192,
        "cuts take nothing away"
    );
}

#[test]
fn cli_live_ends_with_serve() {
    let serve = Serve::start(&[]);
    let child = command(serve.dir(), &["live", "vm"]).spawn().unwrap();
    serve.wait_status("client", |status| status["pid"] == serve.pid());
    assert!(text(&serve.cli(&["stop", "vm"])).is_empty());
    assert!(child.wait_with_output().unwrap().status.success());
    let (status, _, log) = serve.end();
    assert!(status.success(), "{log}");
}

#[test]
fn cli_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| command(dir.path(), args).output().unwrap();
    fails(&run(&["serve", "--vm", "../x", "--sink", "ctf:t"]), "../x");
    fails(&run(&["serve", "--vm", "vm"]), "--sink ctf:DIR");
    fails(&run(&["serve", "--sink", "ctf:t"]), "--vm NAME");
    fails(&run(&["serve", "--vm", "vm", "--sink", "tar:t"]), "ctf:DIR");
    fails(
        &run(&["serve", "--vm", "vm", "--sink", "ctf:/proc/nothing"]),
        "/proc/nothing",
    );
    fails(&run(&["status", "vm"]), "VM vm is not served");
    fails(&run(&["status", "a/b"]), "a/b");
    fails(
        &run(&["qemu-args", "vm", "--qemu", "/nonexistent"]),
        "/nonexistent",
    );
    fails(&run(&["qemu-args", "vm", "--virtio-id", "63"]), "aborts");
    fails(&run(&["qemu-args"]), "VM");
    assert!(text(&run(&["list"])).is_empty());
    // What a killed serve leaves.
    let path = dir.path().join("run/vm.ctl");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    fails(&run(&["status", "vm"]), "its trace device is dead");
    assert!(text(&run(&["list"])).contains("vm\tdead"));
}

#[test]
fn cli_one_serve_for_a_vm() {
    let serve = Serve::start(&[]);
    let sink = format!("ctf:{}", serve.dir().join("other").display());
    let second = serve.cli(&["serve", "--vm", "vm", "--sink", &sink]);
    fails(&second, "in use");
    let socket = serve.socket().display().to_string();
    let args = [
        "serve",
        "--vm",
        "other",
        "--sink",
        &sink,
        "--socket-path",
        &socket,
    ];
    fails(&serve.cli(&args), "in use");
    assert_eq!(serve.status()["vm"], "vm", "the first one is as it was");
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
}
