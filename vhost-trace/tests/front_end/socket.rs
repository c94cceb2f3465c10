//! The control socket, as a client of any kind sees it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use ringbuf::Mode;
use serde_json::Value;

use crate::driver::Driver;
use crate::program::{PATIENCE, Serve};
use crate::ring::Ring;

fn connect(serve: &Serve) -> BufReader<UnixStream> {
    let stream = UnixStream::connect(serve.dir().join("run/vm.ctl")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

fn reply(client: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn ask(client: &mut BufReader<UnixStream>, line: &str) -> Value {
    client.get_mut().write_all(line.as_bytes()).unwrap();
    reply(client)
}

#[test]
fn serve_answers_any_client() {
    let serve = Serve::start(&[]);
    let mode = |path: &str| {
        let meta = std::fs::metadata(serve.dir().join(path)).unwrap();
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode("run"), 0o700);
    assert_eq!(mode("run/vm.ctl"), 0o600);
    assert_eq!(mode("run/vm.sock"), 0o600);

    let mut client = connect(&serve);
    for (line, error) in [
        ("nonsense\n", "no request"),
        ("{}\n", "no request"),
        ("{\"version\":1,\"request\":\"fly\"}\n", "no request"),
        ("{\"version\":2,\"request\":\"status\"}\n", "version 2"),
        (
            "{\"version\":1,\"request\":\"change\",\"enable\":[\"a/b\"],\"disable\":[]}\n",
            "a/b",
        ),
    ] {
        let message = ask(&mut client, line)["message"].to_string();
        assert!(message.contains(error), "{message}");
    }
    // In pieces, and two at once.
    client.get_mut().write_all(b"{\"version\":1,").unwrap();
    let two = "\"request\":\"status\"}\n{\"version\":1,\"request\":\"events\"}\n";
    assert_eq!(ask(&mut client, two)["reply"], "status");
    assert_eq!(reply(&mut client)["reply"], "events");

    // A request without an end is one too many.
    let mut endless = connect(&serve);
    let _ = endless.get_mut().write_all(&[b'x'; 70_000]);
    let mut rest = Vec::new();
    // An end or a reset: what was not read is lost either way.
    let _ = endless.read_to_end(&mut rest);
    assert!(rest.is_empty());

    // So are more clients than there is room for.
    let mut many: Vec<_> = (0..40).map(|_| connect(&serve)).collect();
    let message = reply(many.last_mut().unwrap())["message"].to_string();
    assert!(message.contains("too many clients"), "{message}");
    drop(many);
    let status = "{\"version\":1,\"request\":\"status\"}\n";
    assert_eq!(ask(&mut client, status)["vm"], "vm");
}

#[test]
fn serve_does_not_wait_for_a_slow_client() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    let watch = || {
        let mut client = connect(&serve);
        let request = b"{\"version\":1,\"request\":\"live\",\"json\":true}\n";
        client.get_mut().write_all(request).unwrap();
        client
    };
    let (mut slow, mut fast) = (watch(), watch());
    let before = serve.status()["wakeups"].as_u64().unwrap();
    serve.wait_status("watching", |status| {
        status["wakeups"].as_u64().unwrap() > before + 10
    });

    let mut lost = 0;
    while ring.count() < 60_000 {
        if !ring.write() {
            lost += 1;
            driver.doorbell();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    driver.doorbell();
    let status = serve.wait_status("all read", |status| {
        status["streams"][0]["events"].as_u64() > Some(59_000)
    });
    assert_eq!(status["streams"][0]["lost"]["full"], lost);

    // All are shown to a client or told of as missed.
    let count = |client: &mut BufReader<UnixStream>| {
        let (mut shown, mut missed) = (0, 0);
        while shown + missed < 59_000 {
            let message = reply(client);
            shown += message["lines"].as_array().unwrap().len() as u64;
            missed = message["missed"].as_u64().unwrap();
        }
        assert!(shown + missed <= 60_000);
        (shown, missed)
    };
    count(&mut fast);
    let (shown, missed) = count(&mut slow);
    assert!(missed > 0, "{shown} events fit the socket");
}
