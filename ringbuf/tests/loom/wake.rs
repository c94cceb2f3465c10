//! Waking: no sleeper is forgotten, and none is kicked twice.

use std::sync::atomic::Ordering::Relaxed;

use loom::thread;
use vhost_trace_ringbuf::{Armed, Live, Mode, Writer};

use crate::explore;
use crate::ring::{Memory, SIZE, ring, write};

const SUB: u64 = SIZE as u64;

/// Ends two sub-buffers.
fn guest(writer: Writer<Memory>) {
    for id in 1..=3 {
        assert!(write(&writer, id));
    }
}

#[test]
fn ring_loom_wake() {
    explore("wake", 3, || {
        let (writer, mut reader) = ring(Mode::Overwrite);
        let guest = thread::spawn(|| guest(writer));
        let armed = reader.arm(&Live::while_held(&()), SUB).unwrap();
        if armed == Armed::Ready {
            let polled = reader.poll(&mut [0; 256]).unwrap();
            assert!(
                polled.is_some() || reader.next() > 0,
                "ready, and not overtaken: {reader:?}"
            );
        }
        guest.join().unwrap();
        let kicks = reader.memory().0.kicks.load(Relaxed);
        match armed {
            Armed::Kick => assert_eq!(kicks, 1, "it slept"),
            Armed::Ready | Armed::Soon => assert!(kicks <= 1),
        }
    });
}

#[test]
fn ring_loom_wake_again() {
    explore("wake again", 4, || {
        let (writer, mut reader) = ring(Mode::Overwrite);
        let guest = thread::spawn(|| guest(writer));
        let live = Live::while_held(&());
        reader.arm(&live, SUB).unwrap();
        let armed = reader.arm(&live, 2 * SUB).unwrap();
        guest.join().unwrap();
        let ring = &reader.memory().0;
        let (kicks, last) = (ring.kicks.load(Relaxed), ring.kicked_at.load(Relaxed));
        assert!(kicks <= 2, "two armings, {kicks} kicks");
        assert!(armed != Armed::Kick || last > 2 * SUB, "it slept");
    });
}
