//! The whole way of an event.

use ringbuf::Mode;
use vhost_trace::wire::{Status, req};

use crate::driver::Driver;
use crate::program::{Serve, numbers};
use crate::ring::{NSUB, Ring, SUB};

#[test]
fn serve_writes_what_a_ring_has() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut first = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    let mut second = Ring::register(&mut driver, 1, 3, 0x1000_0000, Mode::Discard);

    // Several times round the ring, as fast as the device gives it back.
    let mut lost = 0;
    while first.count() < 5000 {
        if !first.write() {
            lost += 1;
            driver.doorbell();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    second.write_many(7);
    driver.doorbell();
    serve.wait_status("all complete sub-buffers read", |status| {
        status["streams"][0]["ring"]["pinned"] == 0
            && first.consumed(&driver.memory) >= 5000 / 315 * u64::from(SUB)
    });
    assert!(first.consumed(&driver.memory) > u64::from(NSUB * SUB));

    let status = serve.status();
    assert_eq!(status["streams"][0]["vcpu"], 0);
    assert_eq!(status["streams"][1]["vcpu"], 3);
    assert_eq!(status["streams"][0]["lost"]["full"], lost);
    assert_eq!(status["driver"]["kernel"], "6.\\x1b[7m", "escaped");
    assert_eq!(status["front_end"], true);
    let sink = &status["sinks"][0];
    assert_eq!(
        sink["bytes_copied"], 0,
        "complete sub-buffers are not copied"
    );
    assert!(sink["bytes_in_place"].as_u64().unwrap() >= 5000 / 315 * 8000);

    let (status, dir, log) = serve.end();
    assert!(status.success(), "{status}: {log}");
    assert_eq!(numbers(dir.path(), 0), (0..5000).collect::<Vec<_>>());
    assert_eq!(numbers(dir.path(), 3), (0..7).collect::<Vec<_>>());
    assert!(!log.contains("ERROR"), "{log}");
    drop(driver);
}

#[test]
fn serve_wakes_once_for_an_arming() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    serve.wait_status("armed", |_| ring.wake_at(&driver.memory) == u64::from(SUB));
    ring.fill();
    assert_eq!(ring.kicks(), 1, "the ring was filled within one arming");
    driver.doorbell();
    serve.wait_status("armed again", |_| {
        ring.wake_at(&driver.memory) == u64::from(SUB * NSUB)
    });
    serve.wait_status("one kick", |status| status["kicks"] == 1);
}

#[test]
fn serve_gives_rings_back() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    for round in 0..3 {
        let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
        ring.write_many(300);
        assert_eq!(
            driver.ring_request(req::RING_DEL, 0, 0),
            Status::Ok as u32,
            "{round}"
        );
        let used = driver.memory.snapshot();
        // It is ours again: nobody else writes there.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(used == driver.memory.snapshot());
    }
    driver.expect(req::BYE, &[], Status::Ok);
    let status = serve.wait_status("no driver", |status| status["driver"].is_null());
    assert_eq!(status["streams"][0]["events"], 900);
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{status}: {log}");
    let expected: Vec<u64> = (0..3).flat_map(|_| 0..300).collect();
    assert_eq!(numbers(dir.path(), 0), expected);
}

#[test]
fn serve_leaves_a_flight_recorder_alone() {
    let serve = Serve::start(&["--mode", "overwrite"]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Overwrite);
    ring.write_many(5000);
    driver.doorbell();
    serve.status();
    assert_eq!(ring.consumed(&driver.memory), 0);
    assert_eq!(ring.wake_at(&driver.memory), u64::MAX);
    drop(driver);
    let status = serve.wait_status("end of the session", |status| status["front_end"] == false);
    let stream = &status["streams"][0];
    let (events, overwritten) = (&stream["events"], &stream["overwritten"]);
    assert_eq!(
        events.as_u64().unwrap() + overwritten.as_u64().unwrap(),
        5000
    );
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{status}: {log}");
    let kept = numbers(dir.path(), 0);
    assert_eq!(kept.len() as u64, events.as_u64().unwrap());
    assert_eq!(kept.last(), Some(&4999));
    // Whoever wakes serve has the ring read, so there may be older ones; the
    // newest are all there is in a ring.
    let gap = kept.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
    let newest = kept.len() - gap.map_or(0, |at| at + 1);
    assert!(newest > 600, "{newest} of {}", kept.len());
}

#[test]
fn serve_writes_what_is_old() {
    let serve = Serve::start(&["--max-age", "1"]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    for last in [5, 400, 405] {
        ring.write_many(last - ring.count());
        // Nobody kicks, and nobody asks for more than the file.
        let deadline = std::time::Instant::now() + crate::program::PATIENCE;
        while numbers(serve.dir(), 0).len() < last as usize {
            assert!(std::time::Instant::now() < deadline, "{last}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(numbers(dir.path(), 0), (0..405).collect::<Vec<_>>());
}
