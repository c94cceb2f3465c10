//! Reads a ring whose guest stands still at this step, and compares what it
//! finds with what the machine saw happen.

use vhost_trace_ringbuf::{Hole, HostMemory, Mapped, Mode, Reader, Stopped, SubBuffer};

use crate::machine::{Event, Machine};
use crate::parse::parse;

/// Memory to work in.
#[derive(Default)]
pub struct Oracle {
    copy: Vec<u8>,
    found: Vec<u32>,
    holes: Vec<Hole>,
    /// Checks made.
    pub deaths: u64,
}

/// Copies a complete sub-buffer that is in place.
pub fn copy_in_place(mapped: &Mapped, sub: &SubBuffer, copy: &mut [u8]) {
    let bytes = mapped.sub_buffer(sub.slot);
    // SAFETY: `len` is less than the sub-buffer's size, and no writer runs.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, sub.len) };
    copy[..sub.len].copy_from_slice(bytes);
}

impl Oracle {
    /// A dump of this guest: every event whose commit had returned is there,
    /// whole, in order, with its full stamp, or was overwritten and counted.
    /// Everything else is in a hole, and holes are of writers in flight only.
    /// Loss is exact.
    pub fn dies_here(&mut self, machine: &Machine) {
        self.deaths += 1;
        let geometry = machine.memory.geometry;
        let from = match geometry.mode() {
            Mode::Discard => machine.consumed(),
            Mode::Overwrite => 0,
        };
        let mut reader = match from {
            0 => Reader::new(geometry, &machine.mapped),
            _ => Reader::resume(geometry, &machine.mapped, from, 0),
        };
        self.copy.resize(reader.copy_bytes(), 0);
        self.found.clear();
        let events = machine.events.borrow();
        let mut first = None;
        while let Some(sub) = reader.poll(&mut self.copy).expect("no fault") {
            first.get_or_insert(sub.position);
            if geometry.mode() == Mode::Discard {
                copy_in_place(&machine.mapped, &sub, &mut self.copy);
            }
            let bytes = &self.copy[..sub.len];
            let count = parse(&events, bytes, sub.begin, sub.end, &mut self.found);
            assert_eq!(
                count, sub.events,
                "events of the sub-buffer at {:#x}",
                sub.position
            );
        }
        drop(events);
        self.remains(machine, &mut reader, first, 0);
    }

    /// What this reader has not read yet, as a guest that stands still leaves
    /// it. `delivered` events were read from sub-buffers before `first`.
    pub fn stops_here(
        &mut self,
        machine: &Machine,
        reader: &mut Reader<impl HostMemory>,
        delivered: u64,
    ) {
        self.copy.resize(reader.copy_bytes(), 0);
        self.found.clear();
        self.remains(machine, reader, None, delivered);
    }

    fn remains(
        &mut self,
        machine: &Machine,
        reader: &mut Reader<impl HostMemory>,
        mut first: Option<u64>,
        delivered: u64,
    ) {
        let events = machine.events.borrow();
        self.holes.clear();
        let guard = ();
        let (mut certain, mut stamp) = (true, 0);
        let mut remains = reader
            .remains(&Stopped::while_held(&guard))
            .expect("no fault");
        while let Some(remnant) = remains.next(&mut self.copy).expect("no fault") {
            first.get_or_insert(remnant.position);
            let mut count = 0;
            for piece in remnant.pieces() {
                assert!(piece.begin >= stamp, "pieces follow each other in time");
                stamp = piece.end;
                let bytes = &self.copy[piece.range()];
                count += parse(&events, bytes, piece.begin, piece.end, &mut self.found);
            }
            self.holes.extend(remnant.holes());
            match remnant.events {
                Some(events) => assert_eq!(count, events, "events at {:#x}", remnant.position),
                None => certain = false,
            }
        }
        let older = self.compare(machine, &events, first.expect("one is always open"));
        if machine.memory.geometry.mode() == Mode::Overwrite {
            let counted = reader.overwritten() + delivered;
            assert!(counted <= older, "more overwritten than there were");
            assert!(
                !certain || counted == older,
                "overwritten: {counted} of {older} are counted"
            );
        }
        let committed = events.iter().filter(|event| event.committed).count();
        assert_eq!(
            reader.committed().unwrap(),
            Some(committed as u64),
            "committed"
        );
        let lost = reader.lost().unwrap();
        let lost = [lost.full, lost.too_big, lost.nested, lost.wrapped];
        assert_eq!(lost, machine.lost(), "lost");
    }

    /// Returns how many committed events lay before `first`.
    fn compare(&self, machine: &Machine, events: &[Event], first: u64) -> u64 {
        let size = machine.memory.geometry.sub_size();
        let (mut found, mut holes) = (self.found.iter().peekable(), self.holes.iter());
        let (mut older, mut stamp) = (0, 0);
        for &id in machine.order.borrow().iter() {
            let event = &events[id as usize];
            assert!(
                event.stamp >= stamp,
                "event {id}: its stamp is before that of the last"
            );
            stamp = event.stamp;
            let (begin, end) = event.reserved.unwrap();
            if event.position(size).unwrap() < first {
                older += u64::from(event.committed);
                continue;
            }
            if event.committed && found.next_if_eq(&&id).is_some() {
                continue;
            }
            assert!(!event.returned, "event {id} is missing");
            let Some(hole) = holes.next() else {
                panic!("no hole for event {id}");
            };
            let visible = begin.max(end & !(size - 1));
            assert_eq!(
                (hole.begin, hole.len),
                (visible, end - visible),
                "hole of event {id}"
            );
            assert_eq!(hole.stamp, event.stamp, "hole of event {id}");
        }
        assert_eq!(found.next(), None, "an event that was not written");
        assert_eq!(holes.next(), None, "a hole that nobody left");
        older
    }
}
