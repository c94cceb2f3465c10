//! Modules on their way to a driver that is not always a good one.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use ringbuf::Mode;
use vhost_trace::wire::{self, Status, allow, cmd, req};
use vm_memory::ByteValued;

use crate::driver::Driver;
use crate::program::{Serve, command, text};
use crate::ring::Ring;

const LIMIT: u64 = 1 << 20;

fn policy(allow: u32) -> wire::Policy {
    wire::Policy {
        allow,
        reserved: 0,
        upload_limit: LIMIT,
    }
}

/// A driver that allows all, and has one ring.
fn introduce(driver: &mut Driver) -> Ring {
    driver.introduce();
    let all = policy(allow::NATIVE | allow::PROBES | allow::MODULES);
    driver.expect(req::POLICY, all.as_slice(), Status::Ok);
    let ring = Ring::register(driver, 0, 0, 0x10_0000, Mode::Discard);
    driver.post_buffers();
    ring
}

fn file(serve: &Serve, bytes: usize) -> (PathBuf, Vec<u8>) {
    let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let path = serve.dir().join("module.ko");
    std::fs::write(&path, &content).unwrap();
    (path, content)
}

fn load(serve: &Serve, file: &Path, parameters: &[&str]) -> Child {
    let file = file.to_str().unwrap();
    let args = [&["probe", "load", "vm", file], parameters].concat();
    let mut load = command(serve.dir(), &args);
    load.stdout(Stdio::piped()).stderr(Stdio::piped());
    load.spawn().unwrap()
}

fn fails(output: &std::process::Output, with: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("VM vm: ") && error.contains(with), "{error}");
}

/// Answers pieces until something else comes; returns that, and the file.
fn take_pieces(driver: &mut Driver) -> (wire::Cmd, Vec<u8>, Vec<u8>) {
    let mut got = Vec::new();
    loop {
        let (head, payload) = driver.command();
        if head.kind != cmd::UPLOAD {
            return (head, payload, got);
        }
        let piece: wire::Upload = wire::parse(&payload).unwrap();
        assert_eq!(piece.offset as usize, got.len());
        got.extend_from_slice(&payload[16..]);
        assert!(got.len() <= piece.total as usize);
        driver.done(head.seq, 0, "");
    }
}

#[test]
fn probe_module_arrives_in_pieces() {
    let serve = Serve::start(&[]);
    let (path, content) = file(&serve, 100_000);
    assert_eq!(text(&serve.cli(&["probe", "list", "vm"])), "");
    let mut driver = Driver::connect(&serve.socket());
    let _ring = introduce(&mut driver);
    let status = serve.status();
    assert_eq!(status["driver"]["policy"]["upload_limit"], LIMIT);

    let client = load(&serve, &path, &["x=1", "y=a b"]);
    let (head, payload, got) = take_pieces(&mut driver);
    assert_eq!(got, content);
    assert_eq!(head.kind, cmd::MODULE_LOAD);
    assert_eq!(&payload[8..], b"x=1 y=a b");
    driver.done(head.seq, 0, "some\x1b[7mname");
    let output = client.wait_with_output().unwrap();
    assert_eq!(text(&output), "VM vm: some\\x1b[7mname is loaded\n");

    // A name a line, as many answers as it takes.
    let client = command(serve.dir(), &["probe", "list", "vm"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for (first, answer) in [(0u32, "a\nb"), (2, "c"), (3, "")] {
        let (head, payload) = driver.command();
        assert_eq!(head.kind, cmd::MODULE_LIST);
        assert_eq!(payload[..4], first.to_le_bytes());
        driver.done(head.seq, 0, answer);
    }
    let modules = "module a\nmodule b\nmodule c\n";
    assert_eq!(text(&client.wait_with_output().unwrap()), modules);

    // More than it takes is not sent.
    let (path, _) = file(&serve, LIMIT as usize + 1);
    let output = load(&serve, &path, &[]).wait_with_output().unwrap();
    fails(&output, "at most 1048576");
}

#[test]
fn probe_module_upload_ends_with_its_client() {
    let serve = Serve::start(&[]);
    let (path, _) = file(&serve, 100_000);
    let mut driver = Driver::connect(&serve.socket());
    let _ring = introduce(&mut driver);
    let mut client = load(&serve, &path, &[]);
    let (first, payload) = driver.command();
    assert_eq!(first.kind, cmd::UPLOAD);
    let blob: wire::Upload = wire::parse(&payload).unwrap();
    // Others wait for the end of it.
    let output = load(&serve, &path, &[]).wait_with_output().unwrap();
    fails(&output, "busy");
    client.kill().unwrap();
    client.wait().unwrap();
    // A few pieces were on their way.
    driver.done(first.seq, 0, "");
    let (head, payload) = loop {
        let (head, payload) = driver.command();
        driver.done(head.seq, 0, "");
        if head.kind != cmd::UPLOAD {
            break (head, payload);
        }
    };
    assert_eq!(head.kind, cmd::UPLOAD_CANCEL);
    assert_eq!(payload[..4], blob.blob.to_le_bytes());

    let client = load(&serve, &path, &[]);
    let (head, payload, _) = take_pieces(&mut driver);
    assert_ne!(payload[..4], blob.blob.to_le_bytes());
    driver.done(head.seq, 0, "again");
    assert!(client.wait_with_output().unwrap().status.success());
}

#[test]
fn probe_module_driver_that_never_answers() {
    let serve = Serve::start(&[]);
    let (path, _) = file(&serve, 10_000);
    let mut driver = Driver::connect(&serve.socket());
    let _ring = introduce(&mut driver);
    let output = load(&serve, &path, &[]).wait_with_output().unwrap();
    fails(&output, "not answered in time");
    // It is told, and then it answers.
    let client = load(&serve, &path, &[]);
    let (mut cancelled, mut late) = (false, 0);
    let done = loop {
        let (head, payload) = driver.command();
        match head.kind {
            cmd::MODULE_LOAD => break head.seq,
            // What was given up has no answer any more; of pieces that were
            // sent one after the other the last may be due a moment later.
            cmd::UPLOAD if !cancelled && payload[..4] == [1, 0, 0, 0] => {
                let done = wire::Done {
                    seq: head.seq,
                    error: 0,
                };
                let (status, _) = driver.request(req::DONE, done.as_slice());
                assert!([Status::Ok as u32, Status::NoEntry as u32].contains(&status));
                late += usize::from(status == Status::NoEntry as u32);
            }
            kind => {
                cancelled |= kind == cmd::UPLOAD_CANCEL;
                driver.done(head.seq, 0, "");
            }
        }
    };
    assert!(cancelled && late > 0);
    driver.done(done, 0, "late");
    let output = client.wait_with_output().unwrap();
    assert_eq!(text(&output), "VM vm: late is loaded\n");
}

#[test]
fn probe_module_driver_that_answers_nonsense() {
    let serve = Serve::start(&[]);
    let (path, _) = file(&serve, 10_000);
    let mut driver = Driver::connect(&serve.socket());
    let bad = wire::Policy {
        reserved: 1,
        ..policy(0)
    };
    driver.expect(req::POLICY, bad.as_slice(), Status::Stale);
    driver.introduce();
    driver.expect(req::POLICY, bad.as_slice(), Status::BadValue);
    driver.expect(req::POLICY, &[0; 8], Status::BadRequest);
    let _ring = introduce(&mut driver);

    let client = load(&serve, &path, &[]);
    let (first, _) = driver.command();
    let reason = [
        wire::Done {
            seq: first.seq,
            error: 1,
        }
        .as_slice(),
        &[b'x'; wire::MAX_REASON + 1],
    ]
    .concat();
    driver.expect(req::DONE, &reason, Status::BadRequest);
    driver.done(first.seq, u32::MAX, "\x1b]0;\u{202e}\n");
    let output = client.wait_with_output().unwrap();
    fails(&output, "\\x1b]0;\\u{202e}\\n (errno 4294967295)");

    // It goes in the middle, and comes back.
    let client = load(&serve, &path, &[]);
    driver.command();
    driver.reset();
    let _ring = introduce(&mut driver);
    fails(&client.wait_with_output().unwrap(), "gone away");
    let client = load(&serve, &path, &[]);
    let (head, _, got) = take_pieces(&mut driver);
    assert_eq!(got.len(), 10_000);
    driver.done(head.seq, 8, "no module");
    fails(&client.wait_with_output().unwrap(), "no module (errno 8)");
}

#[test]
fn probe_module_users_wait_their_turn() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut records = Vec::new();
    for id in 100..200u16 {
        let name = format!("event{id}");
        records.extend([8 + name.len() as u8, 0]);
        records.extend(id.to_le_bytes());
        records.extend([0, 0, 0, name.len() as u8]);
        records.extend(name.bytes());
    }
    driver.expect(req::SCHEMA, &records, Status::Ok);
    let _ring = introduce_ring(&mut driver);
    // A filter of its own for each: a hundred commands, none of them answered.
    let mut args = vec!["events".to_owned(), "vm".to_owned()];
    for id in 100..200 {
        args.push("--enable".into());
        args.push(format!("event{id} if $tid == {id}"));
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut client = command(serve.dir(), &args);
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().unwrap();
    assert_eq!(driver.command().0.kind, cmd::FILTER);
    fails(&serve.cli(&["probe", "unload", "vm", "x"]), "busy");
    fails(&serve.cli(&["events", "vm", "--disable", "*"]), "busy");
    client.kill().unwrap();
    client.wait().unwrap();
}

fn introduce_ring(driver: &mut Driver) -> Ring {
    let ring = Ring::register(driver, 0, 0, 0x10_0000, Mode::Discard);
    driver.post_buffers();
    ring
}
