//! Directories: sessions, chunks and their limits.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vhost_trace_host_sink::ctf::{AtLimit, CtfOptions, CtfSink, Limit};
use vhost_trace_host_sink::packet::{StreamEnd, StreamKey};
use vhost_trace_host_sink::session::Session;
use vhost_trace_host_sink::sink::{Sink, SinkError};

use crate::guest::{NUMBERED, SESSION_DIR, numbered, numbers, schema, session, sink};
use crate::producer::{SUB, SubBuffer};
use crate::reader::read;
use crate::schema_bytes::{event, int, text};

const LIMIT: u64 = Limit::LEAST_BYTES;
/// Bytes of text in a large event: all NUL, since babeltrace2 prints slowly.
const FILLER: usize = SUB - 100;

/// A sub-buffer of one large event, numbered.
fn large(vcpu: u32, n: u64) -> SubBuffer {
    let mut payload = n.to_le_bytes().to_vec();
    payload.extend([0; FILLER]);
    let mut sub = SubBuffer::new(vcpu, n * SUB as u64, n);
    sub.event(3, n, &payload);
    sub
}

fn limited(dir: &Path, then: AtLimit) -> CtfSink {
    let mut sink = sink(dir, Some(Limit { bytes: LIMIT, then }));
    let large = event(
        3,
        0,
        "large",
        &[int("n", 8, 0), text("filler", FILLER as u16)],
    );
    let small = event(NUMBERED, 0, "numbered", &[int("n", 8, 0)]);
    sink.begin(&session(), &schema(&[large, small])).unwrap();
    sink
}

fn names(dir: &Path) -> Vec<String> {
    let name = |entry: Result<fs::DirEntry, _>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}

fn bytes(dir: &Path) -> u64 {
    let size = |entry: Result<fs::DirEntry, _>| {
        let entry = entry.unwrap();
        match entry.metadata().unwrap() {
            meta if meta.is_dir() => bytes(&entry.path()),
            meta => meta.len(),
        }
    };
    fs::read_dir(dir).unwrap().map(size).sum()
}

fn end(discarded: u64) -> [StreamEnd; 1] {
    [StreamEnd {
        stream: StreamKey {
            channel: 0,
            vcpu: 0,
        },
        end: 1 << 30,
        discarded,
    }]
}

#[test]
fn sink_ctf_gives_each_session_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let below = dir.path().join("a/b");
    let mut sink = sink(&below, None);
    assert_eq!(names(&below), [""; 0]);
    for _ in 0..3 {
        sink.begin(&session(), &numbered()).unwrap();
        sink.packet(numbers(0, 0, 10, 5).in_place(0)).unwrap();
    }
    // Without a packet there is nothing to keep.
    sink.begin(&session(), &numbered()).unwrap();
    sink.end(&end(0)).unwrap();
    let expected = ["", "-2", "-3"].map(|suffix| format!("{SESSION_DIR}{suffix}"));
    assert_eq!(names(&below), expected);
    assert_eq!(names(&below.join(SESSION_DIR)), ["kernel"]);
    assert_eq!(
        names(&below.join(SESSION_DIR).join("kernel")),
        ["events_0", "index", "metadata"]
    );
    assert_eq!(read(dir.path()).lines.len(), 15);
}

#[test]
fn sink_ctf_keeps_what_was_lost_though_nothing_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    sink.end(&end(7)).unwrap();
    assert_eq!(read(dir.path()).discarded, 7);
}

#[test]
fn sink_ctf_rotates_and_keeps_the_last_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = limited(dir.path(), AtLimit::Rotate { keep: 2 });
    let session_dir = dir.path().join(SESSION_DIR);
    let count = 900;
    for n in 0..count {
        // Two events are lost before each hundredth.
        sink.packet(large(0, n).in_place(2 * (n / 100))).unwrap();
        assert!(bytes(dir.path()) <= 2 * LIMIT);
    }
    sink.end(&end(2 * (count / 100) + 1)).unwrap();
    assert_eq!(names(&session_dir), ["chunk-000003", "chunk-000004"]);
    let mut first = None;
    let mut next = None;
    let mut discarded = 0;
    for chunk in names(&session_dir) {
        let reading = read(&session_dir.join(chunk));
        discarded += reading.discarded;
        for n in reading.values("n") {
            first.get_or_insert(n);
            assert!(next.is_none_or(|next| next == n));
            next = Some(n + 1);
        }
    }
    let (first, next) = (first.unwrap(), next.unwrap());
    assert_eq!(next, count);
    assert_eq!(discarded, 2 * (count / 100) + 1 - 2 * ((first - 1) / 100));
    let all = read(dir.path());
    assert_eq!(
        (all.lines.len() as u64, all.discarded),
        (count - first, discarded)
    );
}

#[test]
fn sink_ctf_counts_chunks_over_all_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = limited(dir.path(), AtLimit::Rotate { keep: 2 });
    for second in 0..4 {
        let mut session = Session::clone(&session());
        session.started += Duration::from_secs(second);
        sink.begin(&Arc::new(session), &numbered()).unwrap();
        sink.packet(numbers(0, 0, 10, 5).in_place(0)).unwrap();
    }
    sink.end(&[]).unwrap();
    assert_eq!(
        names(dir.path()),
        ["web1-20251121-013007", "web1-20251121-013008"]
    );
    assert_eq!(read(dir.path()).lines.len(), 10);
}

#[test]
fn sink_ctf_stops_at_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = limited(dir.path(), AtLimit::Stop);
    let mut taken = 0;
    let error = loop {
        match sink.packet(large(0, taken).in_place(0)) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SinkError::Full { .. }));
    let text = error.to_string();
    assert!(
        text.starts_with("VM web1: ") && text.contains("limit of 16777216 bytes"),
        "{text}"
    );
    assert!(
        sink.packet(numbers(0, 1 << 40, 1 << 20, 1).in_place(0))
            .is_ok(),
        "a small one fits"
    );
    sink.end(&end(5)).unwrap();
    let size = bytes(dir.path());
    assert!(size <= LIMIT && size > LIMIT - 2 * SUB as u64, "{size}");
    let reading = read(dir.path());
    assert_eq!(
        (reading.lines.len() as u64, reading.discarded),
        (taken + 1, 5)
    );
    // Nor is there room in another session.
    sink.begin(&session(), &numbered()).unwrap();
    sink.packet(large(0, 0).in_place(0)).unwrap_err();
}

#[test]
fn sink_ctf_refuses_options_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let options = |vm: &str, limit| CtfOptions {
        dir: dir.path().join("t"),
        vm: vm.into(),
        limit,
    };
    for vm in ["", "../x", "a/b", ".x", "-x", "a b", "a\u{1b}"] {
        let error = CtfSink::create(options(vm, None)).unwrap_err().to_string();
        assert!(error.contains("cannot be part of a file's name"), "{error}");
    }
    for (bytes, then) in [
        (LIMIT - 1, AtLimit::Stop),
        (LIMIT, AtLimit::Rotate { keep: 1 }),
        (LIMIT, AtLimit::Rotate { keep: 0 }),
    ] {
        CtfSink::create(options("web1", Some(Limit { bytes, then }))).unwrap_err();
    }
    assert!(!dir.path().join("t").exists());
    fs::create_dir(dir.path().join("t")).unwrap();
    fs::write(dir.path().join("t/metadata"), "/* CTF 1.8 */").unwrap();
    let error = CtfSink::create(options("web1", None))
        .unwrap_err()
        .to_string();
    assert!(error.contains("is a trace itself"), "{error}");
}
