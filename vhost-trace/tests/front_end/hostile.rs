//! Drivers that do what they must not.

use ringbuf::Mode;
use vhost_trace::wire::{Status, req};

use crate::driver::{Descriptor, Driver, NEXT, WRITE};
use crate::program::{Serve, numbers};
use crate::ring::Ring;

/// The driver is still served.
fn still_served(driver: &mut Driver) {
    driver.expect(req::CLOCK_SAMPLE, &[0; 16], Status::Ok);
}

#[test]
fn serve_survives_bad_chains() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    let descriptor = |addr, len, flags, next| Descriptor {
        addr,
        len,
        flags,
        next,
    };
    let chains: [(&str, Vec<Descriptor>); 7] = [
        ("loops", vec![descriptor(0x20000, 8, NEXT, 0)]),
        (
            "loops",
            vec![
                descriptor(0x20000, 8, NEXT, 1),
                descriptor(0x20000, 8, NEXT, 0),
            ],
        ),
        ("loops", vec![descriptor(0x20000, 8, NEXT, 999)]),
        ("more than", vec![descriptor(0x20000, 1 << 20, 0, 0)]),
        (
            "not guest memory",
            vec![descriptor(0xffff_ffff_0000, 8, 0, 0)],
        ),
        (
            "behind a writable",
            vec![
                descriptor(0x40000, 16, WRITE | NEXT, 1),
                descriptor(0x20000, 8, 0, 0),
            ],
        ),
        ("buffers of 0 bytes", vec![descriptor(0x20000, 8, 0, 0)]),
    ];
    for (what, chain) in chains {
        assert_eq!(driver.chain(&chain), 0, "{what}");
        serve.wait_log(what);
        still_served(&mut driver);
    }
    assert!(serve.status()["complaints"].as_u64() >= Some(7));
}

#[test]
fn serve_leaves_a_broken_queue_alone() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    let avail = driver.queues[0].avail;
    driver.queues[0].announce(&driver.memory, avail.wrapping_add(1000));
    driver.queues[0].kick();
    serve.wait_log("queue 0 is not served any more");
    // Rings go on without it.
    ring.fill();
    driver.doorbell();
    serve.wait_status("ring read", |_| ring.consumed(&driver.memory) > 0);
    // A reset makes it whole.
    driver.reset();
    driver.introduce();
}

#[test]
fn serve_quarantines_one_ring() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    driver.introduce();
    let mut good = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    let mut bad = Ring::register(&mut driver, 1, 1, 0x20_0000, Mode::Discard);
    let before = bad.fill();
    // Backward.
    driver.memory.write(24u64, bad.gpa + 8192);
    good.fill();
    driver.doorbell();
    let status = serve.wait_status("quarantine", |status| {
        !status["streams"][1]["ring"]["quarantine"].is_null()
    });
    let why = status["streams"][1]["ring"]["quarantine"].as_str().unwrap();
    assert!(why.contains("pos is 0x18"), "{why}");
    serve.wait_log("VM vm: vCPU 1: channel 0: ring 1: quarantined: pos is 0x18");
    serve.wait_status("other ring", |_| good.consumed(&driver.memory) > 0);
    still_served(&mut driver);
    let text = serve.cli(&["status", "vm"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("quarantined: pos"));

    let written = good.count();
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(numbers(dir.path(), 0), (0..written).collect::<Vec<_>>());
    assert!(numbers(dir.path(), 1).len() as u64 <= before);
}

#[test]
fn serve_refuses_and_goes_on() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    for kind in [
        req::ROOT,
        req::SCHEMA,
        req::RING_ADD,
        req::RING_DEL,
        req::EPOCH_ACK,
    ] {
        let (status, _) = driver.request(kind, &[0; 24]);
        assert_ne!(status, Status::Ok as u32, "{kind}");
    }
    driver.introduce();
    let outside = driver.ring_request(req::RING_ADD, 0, 0x4000_0000);
    assert_eq!(outside, Status::BadAddress as u32);
    assert_eq!(driver.request(77, &[]).0, Status::BadRequest as u32);
    // A schema that would break out of the metadata.
    let mut record = vec![17, 0, 9, 0, 0, 0, 0, 9];
    record.extend(b"a\"; };\n//");
    driver.expect(req::SCHEMA, &record, Status::BadValue);
    serve.wait_log("request RING_ADD refused, BadAddress");
    let mut ring = Ring::register(&mut driver, 0, 0, 0x10_0000, Mode::Discard);
    ring.write_many(3);
    let (status, dir, log) = serve.end();
    assert!(status.success(), "{log}");
    assert_eq!(numbers(dir.path(), 0), [0, 1, 2]);
}

#[test]
fn serve_bears_a_flood() {
    let serve = Serve::start(&[]);
    let mut driver = Driver::connect(&serve.socket());
    // Sixteen bad chains are there again and again, and the kick never ends.
    for index in 0..16 {
        let loops = Descriptor {
            addr: 0x20000,
            len: 8,
            flags: NEXT,
            next: index,
        };
        driver.queues[0].describe(&driver.memory, index, loops);
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let mut rounds: u64 = 0;
    while std::time::Instant::now() < deadline {
        for head in 0..16 {
            driver.queues[0].offer(&driver.memory, head);
        }
        driver.queues[0].kick();
        while driver.queues[0].used_index(&driver.memory) != driver.queues[0].avail {
            std::hint::spin_loop();
        }
        rounds += 1;
    }
    let done = rounds * 16;
    assert!(done <= 2 * 11_000, "{done} requests in 2 s");
    let asked = std::time::Instant::now();
    let complaints = serve.status()["complaints"].as_u64().unwrap();
    assert!(asked.elapsed() < std::time::Duration::from_secs(2));
    assert_eq!(complaints, done);
    assert!(serve.log().lines().count() < 200, "the log is bounded");
}
