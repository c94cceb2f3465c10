//! Overwrite mode: what is copied and not overtaken is whole.

use loom::thread;
use vhost_trace_ringbuf::{Mode, Reader, Stopped};

use crate::explore;
use crate::ring::{Memory, parse, ring, write};

const EVENTS: u8 = 4;

/// Copies the next sub-buffer if it is there; returns its event.
fn take(reader: &mut Reader<Memory>) -> Option<u8> {
    let mut copy = [0; 256];
    let sub = reader.poll(&mut copy).unwrap()?;
    let id = parse(&copy[..sub.len]).expect("every one has an event");
    // One event in each, and both count from one end.
    assert_eq!(u64::from(id), sub.position / 64 + 1);
    assert_eq!(sub.events, 1);
    assert!(sub.overwritten_before < u64::from(id));
    Some(id)
}

#[test]
fn ring_loom_overwrite() {
    explore("overwrite", 2, || {
        let (writer, mut reader) = ring(Mode::Overwrite);
        let guest = thread::spawn(move || {
            for id in 1..=EVENTS {
                assert!(write(&writer, id));
            }
        });
        let mut found = 0;
        found += u64::from(take(&mut reader).is_some());
        guest.join().unwrap();
        while take(&mut reader).is_some() {
            found += 1;
        }
        let mut remains = reader.remains(&Stopped::while_held(&())).unwrap();
        let mut copy = [0; 256];
        let last = remains.next(&mut copy).unwrap().unwrap();
        assert_eq!(parse(&copy[last.pieces()[0].range()]), Some(EVENTS));
        let overwritten = reader.overwritten();
        assert_eq!(found + 1 + overwritten, u64::from(EVENTS), "exact");
    });
}

#[test]
fn ring_loom_cut() {
    explore("cut", 4, || {
        let (writer, mut reader) = ring(Mode::Overwrite);
        let guest = thread::spawn(move || {
            for id in 1..=2 {
                assert!(write(&writer, id));
            }
        });
        let mut copy = [0; 256];
        if let Some(cut) = reader.cut(|| 0, &mut copy).unwrap() {
            let id = parse(&copy[..cut.len]);
            assert_eq!(cut.events, u64::from(id.is_some()));
            assert!(cut.position == 0 && id.is_none_or(|id| id == 1));
        }
        guest.join().unwrap();
    });
}
