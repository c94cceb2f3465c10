//! The protocol's rules, without a device around them.

mod epochs;
mod events;
mod filters;
mod probes;
mod requests;
mod rings;
mod watches;

use std::time::Instant;

use host_sink::schema::abi;
use vm_memory::{ByteValued, Bytes, GuestAddress, GuestMemoryMmap};

use super::commands::{Outcome, TIMEOUT};
use super::hello::tests::good_hello;
use super::*;
use crate::config::{ChannelGeometry, Contexts, Geometry, Mode};
use crate::wire::{PAGE, Status, req};

const ROOT: u64 = 0x1000;
const CLOCK: u64 = 0x2000;
const RING: u64 = 0x10000;
const DATA: u64 = 0x20000;

struct Fixture {
    mem: GuestMemoryMmap,
    map: GuestMap,
    session: Session,
    epoch: u64,
}

impl Fixture {
    fn new() -> Fixture {
        let mem = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10_0000)]).unwrap();
        let mut map = GuestMap::default();
        map.update(&mem).unwrap();
        let channel =
            |size: u64| ChannelGeometry::new(Mode::Discard, size.into(), 2, "size", "num").unwrap();
        let geometry = Geometry {
            events: channel(8192)
                .with_contexts(Contexts::named(&["tid", "perf_cpu_cycles"]).unwrap()),
            state: channel(4096),
        };
        Fixture {
            mem,
            map,
            session: Session::new("vm".into(), geometry.to_wire(65536)),
            epoch: 0,
        }
    }

    fn raw(&mut self, bytes: &[u8]) -> Answer {
        let memory = Memory {
            mem: &self.mem,
            map: &self.map,
        };
        self.session.request(bytes, &memory)
    }

    fn request(&mut self, kind: u32, payload: &[u8]) -> Answer {
        let head = wire::Req {
            kind,
            len: payload.len() as u32,
        };
        self.raw(&[head.as_slice(), payload].concat())
    }

    fn status(&mut self, kind: u32, payload: &[u8]) -> Status {
        match self.request(kind, payload) {
            Answer::Now(status, _) => status,
            Answer::WhenReleased { .. } => Status::Ok,
        }
    }

    fn hello(&mut self) {
        let Answer::Now(Status::Ok, epoch) = self.request(req::HELLO, good_hello().as_slice())
        else {
            panic!("no epoch");
        };
        self.epoch = epoch;
    }

    fn root(&mut self) -> Status {
        let root = wire::Root {
            magic: wire::ROOT_MAGIC,
            version: wire::VERSION,
            epoch: self.epoch,
            boot_id: good_hello().boot_id,
            clock_gpa: CLOCK,
            ..Default::default()
        };
        self.mem.write_obj(root, GuestAddress(ROOT)).unwrap();
        self.status(req::ROOT, &ROOT.to_le_bytes())
    }

    /// Write a descriptor at `gpa` and register it; `change` spoils it first.
    fn ring(&mut self, ring: u32, gpa: u64, data: u64, change: impl FnOnce(&mut Desc)) -> Status {
        let mut desc = Desc {
            words: [ringbuf::layout::RING_MAGIC, 1, ring, 0, 0, 0, 8192, 2],
            epoch: self.epoch,
            subs: [data, data + 8192],
        };
        change(&mut desc);
        let mut at = gpa;
        for word in desc.words {
            let _ = self.mem.write_obj(word, GuestAddress(at));
            at += 4;
        }
        let _ = self.mem.write_obj(desc.epoch, GuestAddress(at));
        for (index, sub) in desc.subs.iter().enumerate() {
            let _ = self
                .mem
                .write_obj(*sub, GuestAddress(gpa + 64 + 8 * index as u64));
        }
        self.ring_request(req::RING_ADD, ring, gpa, self.epoch)
    }

    fn ring_request(&mut self, kind: u32, ring: u32, gpa: u64, epoch: u64) -> Status {
        let request = wire::RingRef {
            ring,
            reserved: 0,
            gpa,
            epoch,
        };
        self.status(kind, request.as_slice())
    }

    /// As far as a driver that traces.
    fn traced() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.hello();
        assert_eq!(fixture.root(), Status::Ok);
        assert_eq!(fixture.status(req::SCHEMA, &record(1, "first")), Status::Ok);
        assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
        fixture
    }
}

struct Desc {
    words: [u32; 8],
    epoch: u64,
    subs: [u64; 2],
}

/// An event without fields.
fn record(id: u16, name: &str) -> Vec<u8> {
    let bytes = 8 + name.len() as u16;
    let mut record = bytes.to_le_bytes().to_vec();
    record.extend(id.to_le_bytes());
    record.extend([0, 0, 0, name.len() as u8]);
    record.extend(name.as_bytes());
    record
}

/// An event with one unsigned integer.
fn record_with(id: u16, channel: u8, name: &str, field: &str) -> Vec<u8> {
    let mut record = record(id, name);
    record[4] = channel;
    record[6] = 1;
    record.extend([abi::FIELD_INT, 4, 0, field.len() as u8, 0, 0]);
    record.extend(field.as_bytes());
    let bytes = (record.len() as u16).to_le_bytes();
    record[..2].copy_from_slice(&bytes);
    record
}
