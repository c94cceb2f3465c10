//! A guest that lies: ring memory that changes between any two loads, as a
//! script of bytes says. Run with random scripts by the tests, and with better
//! ones by the fuzzer (`fuzz/fuzz_targets/reader.rs`).

mod memory;
mod script;

use std::cell::RefCell;

use vhost_trace_ringbuf::{Fault, Geometry, Live, Mode, Reader, Stopped, Writer};

use memory::{Honest, Hostile};
use script::Script;

/// Calls that one script may make.
const CALLS: usize = 200;

struct Host<'a> {
    reader: Reader<Hostile<'a>>,
    copy: Vec<u8>,
    out: Vec<u64>,
    /// What must not go backward.
    stamp: u64,
    lost: u64,
    overwritten: u64,
    next: u64,
}

/// Reads a ring while the script changes it. Panics if the reader does what it
/// must not: anything but a fault when it is lied to.
pub fn run(script: &[u8]) {
    let script = Script::new(script);
    let mode = if script.byte() & 1 == 0 {
        Mode::Discard
    } else {
        Mode::Overwrite
    };
    let geometry = Geometry::new(mode, 4096, 2 << (script.byte() % 3)).unwrap();
    let memory = memory::Memory::new(geometry);
    let writer = Writer::start(geometry, Honest(&memory));
    let hostile = Hostile::new(&memory, &script);
    let reader = match script.byte() {
        0..250 => Reader::new(geometry, hostile),
        _ => Reader::resume(
            geometry,
            hostile,
            (script.word() >> 2) & !4095,
            script.word(),
        ),
    };
    let copy = vec![0; reader.copy_bytes()];
    let next = reader.next();
    let mut host = Host {
        reader,
        copy,
        out: Vec::new(),
        stamp: 0,
        lost: 0,
        overwritten: 0,
        next,
    };
    for _ in 0..CALLS {
        if script.is_done() {
            break;
        }
        match script.byte() {
            0..120 => write(&writer, &script),
            call => host.call(call, &script),
        }
    }
}

/// The guest does what it should.
fn write(writer: &Writer<Honest>, script: &Script) {
    let payload = match script.byte() {
        byte @ 0..128 => u32::from(byte),
        byte => u32::from(byte) * 16,
    };
    if let Some(reservation) = writer.reserve(script.byte().into(), payload) {
        // One that is never committed is what a dead guest leaves.
        if script.byte() < 254 {
            writer.commit(reservation);
        }
    }
}

impl Host<'_> {
    fn call(&mut self, call: u8, script: &Script) {
        let before = self.reader.fault();
        self.reader.memory().begin_call(before.is_some());
        let result = match call {
            120..170 => self.poll(),
            170..185 => self.cut(script),
            185..205 => self.remains(),
            205..215 => self.reader.lost().map(|_| ()),
            215..220 => self.reader.committed().map(|_| ()),
            220..225 => self.fill(),
            225..235 => self.arm(script),
            235..245 => {
                self.release(script);
                before.map_or(Ok(()), Err)
            }
            _ => {
                self.reader.publish(&Live::while_held(&()));
                before.map_or(Ok(()), Err)
            }
        };
        match before {
            Some(fault) => assert_eq!(result, Err(fault), "quarantined for good"),
            None => assert_eq!(self.reader.fault(), result.err(), "quarantined at once"),
        }
    }

    fn poll(&mut self) -> Result<(), Fault> {
        let geometry = *self.reader.geometry();
        let Some(sub) = self.reader.poll(&mut self.copy)? else {
            return Ok(());
        };
        assert_eq!(sub.position % geometry.sub_size(), 0);
        assert!(sub.position >= self.next);
        assert_eq!(sub.slot, geometry.slot_of(sub.position));
        assert!((24..geometry.sub_size() as usize).contains(&sub.len));
        assert!(sub.events <= (sub.len as u64 - 24) / 6);
        assert!(sub.begin >= self.stamp && sub.end >= sub.begin);
        assert!(sub.lost_before >= self.lost && sub.overwritten_before >= self.overwritten);
        (self.stamp, self.lost) = (sub.end, sub.lost_before);
        self.overwritten = sub.overwritten_before;
        self.next = sub.position + geometry.sub_size();
        assert_eq!(self.reader.next(), self.next);
        if geometry.mode() == Mode::Discard {
            self.out.push(sub.position);
            assert!(self.out.len() <= geometry.nsub(), "more out than there are");
        }
        Ok(())
    }

    fn cut(&mut self, script: &Script) -> Result<(), Fault> {
        if let Some(cut) = self.reader.cut(|| script.word(), &mut self.copy)? {
            assert_eq!(cut.position, self.reader.next());
            assert!((24..self.reader.geometry().sub_size() as usize).contains(&cut.len));
            assert!(cut.begin >= self.stamp && cut.end >= cut.begin);
            assert!(cut.lost_before >= self.lost);
            assert!(cut.events <= (cut.len as u64 - 24) / 6);
        }
        Ok(())
    }

    fn remains(&mut self) -> Result<(), Fault> {
        let size = self.reader.geometry().sub_size();
        let (mut stamp, mut position) = (self.stamp, self.next);
        let mut remains = self.reader.remains(&Stopped::while_held(&()))?;
        let mut count = 0;
        while let Some(remnant) = remains.next(&mut self.copy)? {
            count += 1;
            assert!(remnant.position >= position);
            position = remnant.position;
            let mut used = 0;
            for piece in remnant.pieces() {
                assert!(piece.position >= position && piece.position < remnant.position + size);
                assert!(piece.begin >= stamp && piece.end >= piece.begin);
                (stamp, position) = (piece.end, piece.position);
                assert!(piece.range().start >= used && piece.range().len() > 24);
                used = piece.range().end;
            }
            assert!(used <= self.copy.len());
            for hole in remnant.holes() {
                assert!(hole.begin >= remnant.position && hole.len > 0);
                assert!(hole.begin + hole.len <= remnant.position + size);
            }
            position = remnant.position + size;
        }
        assert!(count <= self.reader.geometry().nsub());
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Fault> {
        let fill = self.reader.fill()?;
        assert!(fill <= self.reader.geometry().capacity());
        Ok(())
    }

    fn arm(&mut self, script: &Script) -> Result<(), Fault> {
        let live = RefCell::new(());
        let live = Live::while_held(&live);
        let wake_at = self.reader.next().saturating_add(script.word() % (1 << 20));
        self.reader.arm(&live, wake_at).map(|_| ())
    }

    fn release(&mut self, script: &Script) {
        if !self.out.is_empty() {
            let position = self
                .out
                .swap_remove(script.byte() as usize % self.out.len());
            let released = self.reader.release(position).expect("it is out");
            let lowest = self.out.iter().copied().min().unwrap_or(self.reader.next());
            assert_eq!(released, lowest);
        }
        // Any other position is refused, unless it happens to be out.
        let stray = script.word();
        if self.reader.release(stray).is_ok() {
            let at = self.out.iter().position(|&position| position == stray);
            self.out
                .swap_remove(at.expect("only what is out comes back"));
        }
    }
}
