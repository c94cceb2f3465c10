//! Stops, restarts, resets, ends.

use std::time::Duration;

use ringbuf::Mode;
use vhost::vhost_user::VhostUserFrontend;
use vhost_trace::wire::{Status, cmd, req};

use crate::driver::Driver;
use crate::memory::{Memory, REGION};
use crate::program::{Serve, numbers};
use crate::ring::Ring;

#[test]
fn serve_ends_the_epoch_when_stopped() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    driver.post_buffers();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    ring.fill();
    let written = ring.count();
    driver.stop();
    // All of it is ours now.
    let before = driver.memory.snapshot();
    driver.doorbell();
    std::thread::sleep(Duration::from_millis(100));
    assert!(before == driver.memory.snapshot(), "written after the stop");
    let status = serve.status();
    assert_eq!(status["driver"]["phase"], "stopped");

    // Run on: nothing before the driver agrees.
    driver.start();
    let (command, payload) = driver.command();
    assert_eq!(command.kind, cmd::EPOCH);
    let epoch = u64::from_le_bytes(payload[..].try_into().unwrap());
    assert_eq!(epoch, driver.epoch + 1);
    let consumed = ring.consumed(&driver.memory);
    driver.doorbell();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(ring.consumed(&driver.memory), consumed);
    driver.epoch = epoch;
    driver.expect(req::EPOCH_ACK, &epoch.to_le_bytes(), Status::Ok);
    driver.done(command.seq, 0, "");
    serve.wait_status("room", |_| ring.consumed(&driver.memory) > consumed);
    ring.write_many(5);
    drop(driver);
    serve.wait_status("end", |status| status["front_end"] == false);
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(numbers(dir.path(), 0), (0..written + 5).collect::<Vec<_>>());
}

#[test]
fn serve_leaves_the_next_kernel_alone() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut old = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    old.fill();
    let written = old.count();
    driver.reset();
    // Another kernel, with other things where the ring was.
    driver.memory.write_bytes(&vec![0xa5; 0x10000], 0x10_0000);
    let mut before = driver.memory.snapshot();
    driver.introduce();
    let mut new = Ring::register(&mut driver, 0, 0, 0x1000_0000, Mode::Discard);
    new.fill();
    driver.doorbell();
    serve.wait_status("room", |_| new.consumed(&driver.memory) > 0);
    let mut after = driver.memory.snapshot();
    // Queues and requests are what both sides write, and the new ring.
    for used in [0..0x7_0000, REGION as usize..REGION as usize + 0x2_0000] {
        before[used.clone()].fill(0);
        after[used].fill(0);
    }
    assert!(before == after, "written where nothing of ours is");

    let again = new.count();
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    let expected: Vec<u64> = (0..written).chain(0..again).collect();
    assert_eq!(numbers(dir.path(), 0), expected);
    assert!(!log.contains("quarantined"), "{log}");
}

#[test]
fn serve_reads_what_a_killed_front_end_leaves() {
    let serve = Serve::start(&[]);
    for round in 0..3 {
        let mut driver = Driver::connect(&serve.socket());
        driver.introduce();
        let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
        ring.write_many(100);
        ring.leave_open();
        // Nested into it.
        ring.write_many(50);
        drop(driver);
        serve.wait_status("end", |status| status["front_end"] == false);
        assert_eq!(serve.status()["streams"][0]["events"], 150, "{round}");
        serve.wait_log("are reserved and not committed");
    }
    let open = || {
        let fds = format!("/proc/{}/fd", serve.pid());
        std::fs::read_dir(fds).unwrap().count()
    };
    let before = open();
    for _ in 0..10 {
        drop(Driver::connect(&serve.socket()));
    }
    // The last of them may not have been looked at yet.
    serve.wait_status("its descriptors back", |_| open() <= before + 2);
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    let expected: Vec<u64> = (0..3).flat_map(|_| 0..150).collect();
    assert_eq!(numbers(dir.path(), 0), expected);
}

#[test]
fn serve_survives_memory_that_goes_away() {
    let serve = Serve::start(&[]);
    let memory = Memory::new();
    let regions = memory.regions();
    let mut driver = Driver::connect_with(&serve.socket(), memory);
    driver.introduce();
    let mut low = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    let mut high = Ring::register(&mut driver, 1, 1, 0x1000_0000, Mode::Discard);
    high.write_many(10);

    // Unplugged: the ring is ended, what it had is kept.
    driver.front_end.remove_mem_region(&regions[1]).unwrap();
    serve.wait_log("vCPU 1: the memory of ring 1 was removed");
    high.write_many(10);
    low.fill();
    driver.doorbell();
    serve.wait_status("the other ring", |_| low.consumed(&driver.memory) > 0);

    // Plugged in again, registered again, and then truncated.
    driver.front_end.add_mem_region(&regions[1]).unwrap();
    let mut high = Ring::register(&mut driver, 1, 1, 0x1000_0000, Mode::Discard);
    high.write_many(10);
    driver.memory.truncate(REGION);
    driver.doorbell();
    serve.wait_log("vCPU 1: channel 0: ring 1: quarantined: its memory went away");
    driver.expect(req::CLOCK_SAMPLE, &[0; 16], Status::Ok);
    let written = low.count();
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(numbers(dir.path(), 0), (0..written).collect::<Vec<_>>());
    assert_eq!(numbers(dir.path(), 1), (0..10).collect::<Vec<_>>());
}

#[test]
fn serve_has_a_small_constant_config_space() {
    use vhost::vhost_user::message::VhostUserConfigFlags;
    let serve = Serve::start(&["--sub-size", "16K", "--mode", "overwrite"]);
    let mut driver = Driver::connect(&serve.socket());
    let flags = VhostUserConfigFlags::empty();
    let (_, space) = driver.front_end.get_config(0, 80, flags, &[0; 80]).unwrap();
    assert_eq!(space[..8], *b"VTRC\x01\0\0\0");
    let word = |at: usize| u32::from_le_bytes(space[at..at + 4].try_into().unwrap());
    assert_eq!([word(12), word(16), word(20), word(24)], [2, 1, 16384, 4]);
    assert_eq!([word(32), word(36), word(40)], [0, 4096, 2]);
    driver.introduce();
    driver.front_end.set_config(0, flags, &[0; 4]).unwrap();
    serve.wait_log("read-only");
    let (_, again) = driver.front_end.get_config(0, 80, flags, &[0; 80]).unwrap();
    assert_eq!(again, space);
}
