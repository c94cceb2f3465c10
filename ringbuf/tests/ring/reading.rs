//! Giving back, resuming, and what the numbers say, without surprises.

use vhost_trace_ringbuf::{Geometry, Live, Lost, Mapped, Mode, NotOut, Reader, Stopped};

use crate::machine::Machine;
use crate::memory::RingMemory;
use crate::stepped::{CWriter, Pair};

const SIZE: u64 = 4096;

/// A ring of 4, in which each event of this payload is alone.
const ALONE: u32 = 3900;

fn with_ring(mode: Mode, events: usize, test: impl FnOnce(&Machine, Reader<&Mapped>)) {
    let geometry = Geometry::new(mode, SIZE as u32, 4).unwrap();
    let memory = RingMemory::new(geometry);
    let writer = CWriter::new(Pair::Quick);
    let machine = Machine::new(&memory, &writer);
    for _ in 0..events {
        machine.event(ALONE);
    }
    test(&machine, Reader::new(geometry, &machine.mapped));
}

fn polled(reader: &mut Reader<&Mapped>) -> Vec<u64> {
    let mut copy = vec![0; reader.copy_bytes()];
    std::iter::from_fn(|| {
        reader
            .poll(&mut copy)
            .unwrap()
            .map(|sub| sub.position / SIZE)
    })
    .collect()
}

#[test]
fn ring_is_given_back_in_order() {
    with_ring(Mode::Discard, 9, |machine, mut reader| {
        assert_eq!(machine.lost(), [5, 0, 0, 0]);
        assert_eq!(polled(&mut reader), [0, 1, 2]);
        assert_eq!(
            reader.fill().unwrap(),
            4 * SIZE - 4096 + 24 + 6 + u64::from(ALONE)
        );
        let live = Live::while_held(&());
        assert_eq!(reader.release(SIZE), Ok(0));
        assert_eq!(reader.release(SIZE), Err(NotOut(SIZE)));
        assert_eq!(reader.release(3 * SIZE), Err(NotOut(3 * SIZE)));
        assert_eq!(reader.release(8), Err(NotOut(8)));
        reader.publish(&live);
        assert_eq!(machine.consumed(), 0);
        assert_eq!(reader.release(0), Ok(2 * SIZE));
        // Without a word to the guest, nothing changes for it.
        assert_eq!(machine.consumed(), 0);
        machine.event(ALONE);
        assert_eq!(machine.lost(), [6, 0, 0, 0]);
        reader.publish(&live);
        assert_eq!(machine.consumed(), 2 * SIZE);
        for _ in 0..3 {
            machine.event(ALONE);
        }
        assert_eq!(machine.lost(), [7, 0, 0, 0]);
        assert_eq!(polled(&mut reader), [3, 4]);
        assert_eq!(
            reader.lost().unwrap(),
            Lost {
                full: 7,
                ..Lost::default()
            }
        );
        assert_eq!(reader.committed().unwrap(), Some(6));
        for position in [4, 2, 3] {
            reader.release(position * SIZE).unwrap();
        }
        assert_eq!(reader.released(), 5 * SIZE);
    });
}

#[test]
fn ring_keeps_the_newest() {
    with_ring(Mode::Overwrite, 11, |_, mut reader| {
        assert_eq!(polled(&mut reader), [7, 8, 9]);
        assert_eq!(reader.overwritten(), 7);
        assert_eq!(reader.committed().unwrap(), Some(11));
        assert_eq!(reader.release(9 * SIZE), Err(NotOut(9 * SIZE)));
        reader.publish(&Live::while_held(&()));
        assert_eq!(
            reader.memory().sub_buffer(1),
            reader.memory().sub_buffer(0).wrapping_add(4096)
        );
    });
    // Before the first lap ends, nothing has been overwritten.
    with_ring(Mode::Overwrite, 3, |_, mut reader| {
        assert_eq!((polled(&mut reader), reader.overwritten()), (vec![0, 1], 0));
        assert_eq!(reader.committed().unwrap(), Some(3));
    });
}

#[test]
fn ring_is_resumed() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        with_ring(mode, 4, |machine, mut first| {
            let mut copy = vec![0; first.copy_bytes()];
            let sub = first.poll(&mut copy).unwrap().unwrap();
            let (geometry, next) = (*first.geometry(), first.next());
            let mut second = Reader::resume(geometry, &machine.mapped, next, sub.end);
            if mode == Mode::Discard {
                second.publish(&Live::while_held(&()));
                assert_eq!(machine.consumed(), SIZE, "what was dealt with is free");
            }
            machine.event(ALONE);
            assert_eq!(polled(&mut second), [1, 2, 3]);
            assert_eq!(second.overwritten(), 0);
            let mut remains = second.remains(&Stopped::while_held(&())).unwrap();
            let remnant = remains.next(&mut copy).unwrap().unwrap();
            assert_eq!((remnant.position, remnant.events), (4 * SIZE, Some(1)));
            assert!(remains.next(&mut copy).unwrap().is_none());
            // A reader that is too late counts from where it begins.
            for _ in 0..4 {
                machine.event(ALONE);
            }
            if mode == Mode::Overwrite {
                let mut late = Reader::resume(geometry, &machine.mapped, 4 * SIZE, 0);
                assert_eq!(polled(&mut late), [5, 6, 7]);
                assert_eq!(polled(&mut second), [5, 6, 7]);
                assert_eq!(second.overwritten(), 1);
            }
        });
    }
}
