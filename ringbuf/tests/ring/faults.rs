//! Every kind of nonsense, one by one: the fault names it, and the ring is
//! left alone from then on.

use std::sync::atomic::Ordering::Relaxed;

use vhost_trace_ringbuf::Breach::{Above, Below, Not};
use vhost_trace_ringbuf::{
    Breach, Fault, Geometry, HostWord, Live, Mapped, Mode, Reader, Stopped, Word,
};

use crate::machine::Machine;
use crate::memory::RingMemory;
use crate::stepped::{CWriter, Pair};

const SIZE: u64 = 4096;

/// A ring of 4 with two complete sub-buffers, of which the first has been
/// read, and two events in the third.
fn with_ring(mode: Mode, test: impl FnOnce(&RingMemory, Reader<&Mapped>)) {
    let geometry = Geometry::new(mode, SIZE as u32, 4).unwrap();
    let memory = RingMemory::new(geometry);
    let writer = CWriter::new(Pair::Quick);
    let machine = Machine::new(&memory, &writer);
    for payload in [3900, 3900, 3900, 10] {
        machine.event(payload);
    }
    // Too large: so that something is lost.
    machine.event(5000);
    let mut reader = Reader::new(geometry, &machine.mapped);
    let mut copy = vec![0; reader.copy_bytes()];
    assert_eq!(reader.poll(&mut copy).unwrap().unwrap().position, 0);
    test(&memory, reader);
}

#[derive(Clone, Copy, Debug)]
enum Call {
    Poll,
    Cut,
    Remains,
    Lost,
}

fn call(reader: &mut Reader<&Mapped>, call: Call) -> Result<(), Fault> {
    let mut copy = vec![0; reader.copy_bytes()];
    match call {
        Call::Poll => reader.poll(&mut copy).map(|_| ()),
        Call::Cut => {
            while reader.poll(&mut copy)?.is_some() {}
            reader.cut(|| 0, &mut copy).map(|_| ())
        }
        Call::Remains => {
            let mut remains = reader.remains(&Stopped::while_held(&()))?;
            while remains.next(&mut copy)?.is_some() {}
            Ok(())
        }
        Call::Lost => reader.lost().map(|_| ()),
    }
}

/// In `mode`, `lie` as the value of `word` must break a bound in this way.
fn faults(mode: Mode, calls: &[Call], word: Word, breach: Breach, lie: impl Fn(u64) -> u64) {
    for what in calls {
        with_ring(mode, |memory, mut reader| {
            let value = lie(memory.load(word));
            memory.word(word).store(value, Relaxed);
            let fault = call(&mut reader, *what).expect_err("it is a lie");
            assert_eq!((fault.word, fault.breach), (word, breach), "{what:?}");
            if !matches!(word, Word::Commit(_) | Word::Opened(_)) {
                assert_eq!(fault.value, value);
            }
            let text = format!("{word} is {:#x}, ", fault.value);
            assert!(fault.to_string().starts_with(&text), "{fault}");

            // For good, whatever the guest does now.
            memory.word(word).store(0, Relaxed);
            assert_eq!(reader.fault(), Some(fault));
            assert_eq!(call(&mut reader, Call::Lost), Err(fault));
            assert_eq!(reader.fill(), Err(fault));
            assert_eq!(reader.arm(&Live::while_held(&()), SIZE), Err(fault));
            if mode == Mode::Discard {
                assert_eq!(reader.release(0), Ok(SIZE), "what is out can come back");
            }
            reader.publish(&Live::while_held(&()));
            reader.disarm(&Live::while_held(&()));
            assert_eq!(memory.host_word(HostWord::Consumed).load(Relaxed), 0);
            assert_eq!(memory.host_word(HostWord::WakeAt).load(Relaxed), u64::MAX);
        });
    }
}

const ALL: [Call; 3] = [Call::Poll, Call::Cut, Call::Remains];

#[test]
fn ring_faults_of_positions() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        faults(mode, &ALL, Word::Pos, Below, |_| SIZE + 100);
        faults(mode, &ALL, Word::Pos, Below, |pos| {
            (pos + SIZE) & !(SIZE - 1)
        });
        faults(mode, &ALL, Word::Pos, Above, |_| (1 << 62) + 100);
        faults(mode, &ALL, Word::PreamblePosition(1), Not, |at| {
            at + 4 * SIZE
        });
        faults(mode, &ALL, Word::End(1), Below, |_| SIZE + 23);
        faults(mode, &ALL, Word::End(1), Above, |_| 2 * SIZE);
        faults(
            mode,
            &[Call::Cut, Call::Remains],
            Word::PreamblePosition(2),
            Not,
            |_| 0,
        );
    }
    faults(Mode::Discard, &ALL, Word::Pos, Above, |_| 4 * SIZE + 100);
}

#[test]
fn ring_faults_of_commit_words() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        faults(mode, &ALL, Word::Commit(1), Above, |commit| commit + 6);
        faults(mode, &ALL, Word::Commit(1), Above, |commit| {
            commit + (1000 << 24)
        });
        faults(mode, &ALL, Word::Opened(1), Not, |_| 6);
        faults(
            mode,
            &[Call::Cut, Call::Remains],
            Word::Commit(2),
            Above,
            |commit| commit + 6,
        );
        faults(
            mode,
            &[Call::Cut, Call::Remains],
            Word::Commit(2),
            Above,
            |c| c + (1000 << 24),
        );
    }
    // Nothing is overwritten here.
    faults(Mode::Discard, &ALL, Word::Opened(1), Above, |_| 1 << 24);
    // There was no lap before this one.
    faults(Mode::Overwrite, &ALL, Word::Opened(1), Above, |_| 1 << 24);
    // Bytes are missing, and nobody says that he has them.
    faults(
        Mode::Discard,
        &[Call::Remains],
        Word::Commit(2),
        Below,
        |commit| commit - 16,
    );
}

#[test]
fn ring_faults_of_stamps() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        faults(mode, &ALL, Word::PreambleBegin(1), Below, |_| 1);
        faults(mode, &ALL, Word::EndStamp(1), Below, |_| 1);
        faults(
            mode,
            &[Call::Cut, Call::Remains],
            Word::PreambleBegin(2),
            Below,
            |_| 1,
        );
        faults(mode, &[Call::Cut, Call::Remains], Word::Stamp, Below, |_| 1);
    }
    let fault = Fault {
        word: Word::EndStamp(1),
        value: 1,
        breach: Below,
        bound: 2,
    };
    assert_eq!(
        fault.to_string(),
        "sub[1].end_stamp is 0x1, below 0x2 (backward in time)"
    );
}

#[test]
fn ring_faults_of_losses() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        faults(mode, &ALL, Word::PreambleLost(1), Above, |_| 2);
        faults(mode, &[Call::Lost], Word::Lost(1), Above, |_| 1 << 61);
    }
    with_ring(Mode::Discard, |memory, mut reader| {
        assert_eq!(reader.lost().unwrap().too_big, 1);
        memory.word(Word::Lost(1)).store(0, Relaxed);
        let fault = reader.lost().unwrap_err();
        assert_eq!(
            (fault.word, fault.breach, fault.bound),
            (Word::Lost(1), Below, 1)
        );
    });
    with_ring(Mode::Discard, |memory, mut reader| {
        memory.word(Word::PreambleLost(1)).store(1, Relaxed);
        reader.poll(&mut []).unwrap().unwrap();
        let fault = call(&mut reader, Call::Remains).unwrap_err();
        assert_eq!((fault.word, fault.breach), (Word::PreambleLost(2), Below));
    });
}

#[test]
fn ring_faults_of_writers() {
    for mode in [Mode::Discard, Mode::Overwrite] {
        faults(mode, &[Call::Cut], Word::Active, Above, |_| 5);
    }
    // A record is believed as far as it can be of a reservation.
    let lies: [(Word, Breach, u64); 6] = [
        (Word::OpenBegin(0), Above, 1 << 40),
        (Word::OpenBegin(0), Below, 2 * SIZE + 20),
        (Word::OpenLen(0), Above, 1 << 63 | 8000),
        (Word::OpenLen(0), Below, 1 << 63 | 3000),
        (Word::OpenLen(0), Above, 1 << 63 | 3980),
        (Word::OpenStamp(0), Below, 0),
    ];
    for (word, breach, value) in lies {
        with_ring(Mode::Discard, |memory, mut reader| {
            let pos = memory.load(Word::Pos);
            memory.word(Word::Commit(2)).fetch_sub(16, Relaxed);
            let begin = if value == 1 << 63 | 3980 {
                pos - 16
            } else {
                2 * SIZE - 3000
            };
            let begin = if word == Word::OpenStamp(0) {
                pos - 16
            } else {
                begin
            };
            memory.word(Word::OpenBegin(0)).store(begin, Relaxed);
            memory.word(Word::OpenLen(0)).store(1 << 63 | 16, Relaxed);
            memory
                .word(Word::OpenStamp(0))
                .store(memory.load(Word::Stamp), Relaxed);
            memory.word(word).store(value, Relaxed);
            let fault = call(&mut reader, Call::Remains).unwrap_err();
            assert_eq!((fault.word, fault.breach), (word, breach), "{fault}");
        });
    }
}
