//! Discard mode: nothing uncommitted is read, nothing unreleased is written.

use loom::thread;
use vhost_trace_ringbuf::{Live, Mode, Reader};

use crate::explore;
use crate::ring::{Memory, parse, ring, write};

const EVENTS: u8 = 4;

/// Takes what is complete; releases it at once.
fn take(reader: &mut Reader<Memory>, found: &mut Vec<u8>) {
    while let Some(sub) = reader.poll(&mut []).unwrap() {
        let content = reader.memory().content(sub.slot, sub.len);
        let id = parse(&content[..sub.len]);
        assert_eq!(sub.events, u64::from(id.is_some()));
        found.extend(id);
        reader.release(sub.position).unwrap();
        reader.publish(&Live::while_held(&()));
    }
}

#[test]
fn ring_loom_discard() {
    explore("discard", 5, || {
        let (writer, mut reader) = ring(Mode::Discard);
        let guest = thread::spawn(move || {
            (1..=EVENTS)
                .filter(|id| write(&writer, *id))
                .collect::<Vec<_>>()
        });
        let mut found = Vec::new();
        take(&mut reader, &mut found);
        take(&mut reader, &mut found);
        let recorded = guest.join().unwrap();
        take(&mut reader, &mut found);
        // The last one's sub-buffer is not complete.
        assert_eq!(found, recorded[..recorded.len() - 1]);
        let lost = reader.lost().unwrap();
        assert_eq!(lost.full, u64::from(EVENTS) - recorded.len() as u64);
        assert_eq!(reader.committed().unwrap(), Some(recorded.len() as u64));
    });
}
