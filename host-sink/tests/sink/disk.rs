//! Disks that are full, read-only, or differ in what they take.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use vhost_trace_host_sink::ctf::{CtfOptions, CtfSink};
use vhost_trace_host_sink::packet::Payload;
use vhost_trace_host_sink::pinned::Pinned;
use vhost_trace_host_sink::queue::{Budget, SinkQueue};
use vhost_trace_host_sink::sink::Sink;

use crate::guest::{numbered, numbers, session, sink};
use crate::producer::SUB;
use crate::reader::read;

const PATIENCE: Duration = Duration::from_secs(20);

/// Mounts a memory file system of `options` on `dir`, for this thread and its
/// children only. Without the right to do that, the test that asks is skipped.
fn mount_tmpfs(dir: &Path, options: &str) -> bool {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let target = CString::new(dir.as_os_str().as_bytes()).unwrap();
    let options = CString::new(options).unwrap();
    let (none, tmpfs) = (c"none".as_ptr(), c"tmpfs".as_ptr());
    // SAFETY: a namespace of this thread's own, and C strings.
    let mounted = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(
                none,
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(none, target.as_ptr(), tmpfs, 0, options.as_ptr().cast()) == 0
    };
    if !mounted {
        eprintln!(
            "SKIPPED: cannot mount a tmpfs: {}",
            io::Error::last_os_error()
        );
    }
    mounted
}

#[test]
fn sink_ctf_survives_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    if !mount_tmpfs(dir.path(), "size=2m") {
        return;
    }
    let ballast = dir.path().join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let trace = dir.path().join("trace");
    let queue = SinkQueue::spawn("ctf", Box::new(sink(&trace, None)), Budget::default()).unwrap();
    queue.begin(session(), numbered()).unwrap();
    let mut next = 1000;
    let mut lap = 0;
    let mut offer = |parts: bool| {
        let sub = numbers(0, lap * SUB as u64, next, 4000);
        if parts {
            let part = numbers(0, lap * SUB as u64, next, 100);
            queue.provisional(part.copied(0));
        }
        queue.packet(sub.in_place(0));
        queue.flush(PATIENCE).unwrap();
        (lap, next) = (lap + 1, next + 4000);
        queue.status().snapshot()
    };

    // Until it is full, and beyond.
    let full = loop {
        let status = offer(false);
        if status.errors > 0 {
            break status;
        }
    };
    let text = full.last_error.unwrap();
    let path = trace.join("web1-20251121-013005/kernel/events_0");
    assert!(
        text.starts_with(&format!("VM web1: cannot write {}: ", path.display())),
        "{text}"
    );
    assert!(
        text.contains("No space left") && text.contains("free space"),
        "{text}"
    );
    for _ in 0..3 {
        offer(true);
    }
    let held = queue.status().snapshot().events;
    assert_eq!(read(&trace).lines.len() as u64, held);

    // With room again it goes on, and tells what it lost.
    fs::remove_file(&ballast).unwrap();
    offer(false);
    let reading = read(&trace);
    let status = queue.status().snapshot();
    assert_eq!(
        (reading.lines.len() as u64, reading.discarded),
        (status.events, status.lost)
    );
    assert!(reading.discarded >= 3 * 3900);

    // Full to the end: even the last loss is told.
    while offer(true).errors < full.errors + 20 {}
    queue.close(PATIENCE).unwrap();
    let reading = read(&trace);
    let offered = next - 1000;
    assert_eq!(reading.lines.len() as u64 + reading.discarded, offered);
    let numbers = reading.values("n");
    assert!(numbers.is_sorted() && numbers.len() < offered as usize);
}

#[test]
fn sink_ctf_begins_when_a_full_disk_has_room() {
    let dir = tempfile::tempdir().unwrap();
    if !mount_tmpfs(dir.path(), "size=1m") {
        return;
    }
    let ballast = dir.path().join("ballast");
    let trace = dir.path().join("trace");
    let mut sink = sink(&trace, None);
    fs::write(&ballast, vec![1; 2 << 20]).unwrap_err();
    sink.begin(&session(), &numbered()).unwrap();
    let packet = numbers(0, 0, 100, 10).in_place(0);
    sink.packet(packet.clone()).unwrap_err();
    assert_eq!(fs::read_dir(&trace).unwrap().count(), 0);
    fs::remove_file(&ballast).unwrap();
    sink.packet(packet).unwrap();
    sink.end(&[]).unwrap();
    assert_eq!(read(&trace).lines.len(), 10);
}

#[test]
fn sink_ctf_refuses_a_directory_that_it_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let create = |dir: &Path| {
        CtfSink::create(CtfOptions {
            dir: dir.to_owned(),
            vm: "web1".into(),
            limit: None,
        })
        .unwrap_err()
        .to_string()
    };
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let text = create(&file.join("trace"));
    assert!(
        text.starts_with("VM web1: cannot create ") && text.contains("/file/trace"),
        "{text}"
    );

    if mount_tmpfs(dir.path(), "ro") {
        let text = create(dir.path());
        assert!(
            text.contains("cannot write to") && text.contains("write access"),
            "{text}"
        );
    }
}

#[test]
fn sink_ctf_takes_memory_that_goes_away_for_a_lost_packet() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    sink.packet(numbers(0, 0, 100, 10).in_place(0)).unwrap();
    sink.provisional(numbers(0, SUB as u64, 200, 10).copied(0))
        .unwrap();
    let mut gone = numbers(0, SUB as u64, 200, 20).in_place(0);
    // SAFETY: nothing is mapped there; only the kernel looks.
    let pinned = unsafe { Pinned::new(4096 as *const u8, SUB, Arc::new(()), || {}) };
    gone.payload = Payload::InPlace(Arc::new(pinned));
    let text = sink.packet(gone.clone()).unwrap_err().to_string();
    assert!(text.contains("Bad address"), "{text}");
    assert_eq!(read(dir.path()).lines.len(), 20);
    gone.info.position *= 2;
    sink.packet(gone).unwrap_err();
    sink.packet(numbers(0, 3 * SUB as u64, 300, 10).in_place(5))
        .unwrap();
    sink.end(&[]).unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (30, 5));
}

#[test]
fn sink_ctf_copies_memory_that_the_disk_cannot_take() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    let sub = numbers(0, 0, 100, 10);
    let bytes = Arc::new([&[0], &sub.bytes[..]].concat());
    let mut packet = sub.in_place(0);
    let (base, len) = (bytes[1..].as_ptr(), sub.bytes.len());
    // SAFETY: the vector outlives the loan.
    let pinned = unsafe { Pinned::new(base, len, bytes, || {}) };
    packet.payload = Payload::InPlace(Arc::new(pinned));
    let written = sink.packet(packet).unwrap();
    assert_eq!((written.in_place, written.copied), (0, len as u64));
    sink.end(&[]).unwrap();
    assert_eq!(read(dir.path()).lines.len(), 10);
}
