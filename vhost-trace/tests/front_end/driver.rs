//! A front end and the driver behind it.

use std::path::Path;
use std::time::{Duration, Instant};

use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VringConfigData};
use vhost_trace::wire::{self, Status, req};
use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use vm_memory::ByteValued;
use vmm_sys_util::eventfd::EventFd;

use crate::memory::Memory;
use crate::program::PATIENCE;
use crate::ring::RECORD;

/// Descriptor flags.
pub const NEXT: u16 = VRING_DESC_F_NEXT as u16;
/// Descriptor flags.
pub const WRITE: u16 = VRING_DESC_F_WRITE as u16;

/// Entries of a queue.
pub const SIZE: u16 = 16;
/// Where queues are: table, available ring and used ring a page each.
const QUEUES: u64 = 0x1000;
/// Where requests are put, and where their responses come.
const REQUEST: u64 = 0x20000;
const RESPONSE: u64 = 0x40000;
/// Where buffers for commands are.
const COMMANDS: u64 = 0x50000;
/// Where the root page is.
pub const ROOT: u64 = 0x60000;

/// One descriptor.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Descriptor {
    pub addr: u64,
    pub len: u32,
    pub flags: u16,
    pub next: u16,
}
// SAFETY: repr(C), integers only, no padding.
unsafe impl ByteValued for Descriptor {}

/// A queue as its driver has it.
pub struct Queue {
    base: u64,
    pub avail: u16,
    pub used: u16,
    kick: EventFd,
    call: EventFd,
}

impl Queue {
    fn new(index: u64) -> Queue {
        let event = || EventFd::new(libc::EFD_NONBLOCK).unwrap();
        Queue {
            base: QUEUES + index * 0x3000,
            avail: 0,
            used: 0,
            kick: event(),
            call: event(),
        }
    }

    /// Store a descriptor.
    pub fn describe(&self, memory: &Memory, index: u16, descriptor: Descriptor) {
        memory.write(descriptor, self.base + 16 * u64::from(index));
    }

    /// Make the chain at `head` available, without a kick.
    pub fn offer(&mut self, memory: &Memory, head: u16) {
        let slot = u64::from(self.avail % SIZE);
        memory.write(head, self.base + 0x1000 + 4 + 2 * slot);
        self.avail = self.avail.wrapping_add(1);
        self.announce(memory, self.avail);
    }

    /// Say that so many chains are available.
    pub fn announce(&self, memory: &Memory, avail: u16) {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        memory.write(avail, self.base + 0x1000 + 2);
    }

    /// Kick.
    pub fn kick(&self) {
        self.kick.write(1).unwrap();
    }

    /// How many chains were given back, ever.
    pub fn used_index(&self, memory: &Memory) -> u16 {
        memory.read(self.base + 0x2000 + 2)
    }

    /// Wait for the next chain that is given back: its head and length.
    pub fn take_used(&mut self, memory: &Memory) -> Option<(u32, u32)> {
        let deadline = Instant::now() + PATIENCE;
        while self.used_index(memory) == self.used {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let at = self.base + 0x2000 + 4 + 8 * u64::from(self.used % SIZE);
        self.used = self.used.wrapping_add(1);
        Some((memory.read(at), memory.read(at + 4)))
    }
}

/// A connected front end whose guest has a driver.
pub struct Driver {
    pub front_end: Frontend,
    pub memory: Memory,
    pub queues: [Queue; 3],
    pub epoch: u64,
}

impl Driver {
    /// Connect, and start the queues.
    pub fn connect(socket: &Path) -> Driver {
        Driver::connect_with(socket, Memory::new())
    }

    /// Connect with this memory, and start the queues.
    pub fn connect_with(socket: &Path, memory: Memory) -> Driver {
        let front_end = Frontend::connect(socket, 3).unwrap();
        let mut driver = Driver {
            front_end,
            memory,
            queues: [0, 1, 2].map(Queue::new),
            epoch: 0,
        };
        let front_end = &mut driver.front_end;
        front_end.set_owner().unwrap();
        let features = front_end.get_features().unwrap();
        front_end.get_protocol_features().unwrap();
        front_end
            .set_protocol_features(
                VhostUserProtocolFeatures::CONFIG
                    | VhostUserProtocolFeatures::MQ
                    | VhostUserProtocolFeatures::REPLY_ACK
                    | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS,
            )
            .unwrap();
        front_end.set_hdr_flags(vhost::vhost_user::message::VhostUserHeaderFlag::NEED_REPLY);
        front_end.set_features(features).unwrap();
        front_end.set_mem_table(&driver.memory.regions()).unwrap();
        driver.start();
        driver
    }

    /// Start the queues where they are.
    pub fn start(&mut self) {
        for (index, queue) in self.queues.iter().enumerate() {
            let front_end = &mut self.front_end;
            front_end.set_vring_num(index, SIZE).unwrap();
            let config = VringConfigData {
                queue_max_size: SIZE,
                queue_size: SIZE,
                flags: 0,
                desc_table_addr: self.memory.user(queue.base),
                used_ring_addr: self.memory.user(queue.base + 0x2000),
                avail_ring_addr: self.memory.user(queue.base + 0x1000),
                log_addr: None,
            };
            front_end.set_vring_addr(index, &config).unwrap();
            front_end.set_vring_base(index, queue.used).unwrap();
            front_end.set_vring_call(index, &queue.call).unwrap();
            front_end.set_vring_kick(index, &queue.kick).unwrap();
            front_end.set_vring_enable(index, true).unwrap();
        }
    }

    /// Stop the queues, as a pause, a reset and an end of the VM do.
    pub fn stop(&mut self) {
        for index in 0..3 {
            self.front_end.set_vring_enable(index, false).unwrap();
        }
        for index in 0..3 {
            self.front_end.get_vring_base(index).unwrap();
        }
    }

    /// As if the guest began anew: nothing of its queues is as it was.
    pub fn reset(&mut self) {
        self.stop();
        for (index, queue) in self.queues.iter_mut().enumerate() {
            *queue = Queue::new(index as u64);
            self.memory.write(0u32, queue.base + 0x1000);
            self.memory.write(0u32, queue.base + 0x2000);
        }
        self.start();
    }

    /// Send a chain of these descriptors; returns the bytes written to it.
    pub fn chain(&mut self, descriptors: &[Descriptor]) -> u32 {
        let queue = &mut self.queues[0];
        for (index, descriptor) in descriptors.iter().enumerate() {
            queue.describe(&self.memory, index as u16, *descriptor);
        }
        queue.offer(&self.memory, 0);
        queue.kick();
        let (head, len) = queue.take_used(&self.memory).expect("an answer");
        assert_eq!(head, 0);
        len
    }

    /// Send these bytes as a request.
    pub fn raw(&mut self, bytes: &[u8]) -> (u32, u64) {
        self.memory.write_bytes(bytes, REQUEST);
        self.memory.write([0xffu8; 16], RESPONSE);
        let out = Descriptor {
            addr: REQUEST,
            len: bytes.len() as u32,
            flags: NEXT,
            next: 1,
        };
        let room = Descriptor {
            addr: RESPONSE,
            len: 16,
            flags: WRITE,
            next: 0,
        };
        assert_eq!(self.chain(&[out, room]), 16);
        let response: wire::Resp = self.memory.read(RESPONSE);
        (response.status, response.value)
    }

    /// Send a request.
    pub fn request(&mut self, kind: u32, payload: &[u8]) -> (u32, u64) {
        let head = wire::Req {
            kind,
            len: payload.len() as u32,
        };
        self.raw(&[head.as_slice(), payload].concat())
    }

    /// Send a request that must have this status.
    pub fn expect(&mut self, kind: u32, payload: &[u8], status: Status) -> u64 {
        let (got, value) = self.request(kind, payload);
        assert_eq!(got, status as u32, "request {kind}");
        value
    }

    /// Say hello, show a root page and a schema of one event.
    pub fn introduce(&mut self) {
        let mut hello = wire::Hello {
            boot_id: [5; 16],
            clock_hz: 1_000_000_000,
            clock_offset: 1_700_000_000_000_000_000,
            driver_version: 1,
            arch: wire::ARCH_X86_64,
            page_size: 4096,
            num_vcpus: 4,
            release: [0; 64],
            version: [0; 128],
            nodename: [0; 64],
        };
        hello.release[..6].copy_from_slice(b"6.\x1b[7m");
        self.epoch = self.expect(req::HELLO, hello.as_slice(), Status::Ok);
        self.show_root(self.epoch);
        self.expect(req::ROOT, &ROOT.to_le_bytes(), Status::Ok);
        self.expect(req::SCHEMA, RECORD, Status::Ok);
    }

    /// Write a root page of this epoch.
    pub fn show_root(&self, epoch: u64) {
        let root = wire::Root {
            magic: wire::ROOT_MAGIC,
            version: wire::VERSION,
            epoch,
            boot_id: [5; 16],
            ..Default::default()
        };
        self.memory.write(root, ROOT);
    }

    /// Register or take back a ring.
    pub fn ring_request(&mut self, kind: u32, ring: u32, gpa: u64) -> u32 {
        let request = wire::RingRef {
            ring,
            reserved: 0,
            gpa,
            epoch: self.epoch,
        };
        self.request(kind, request.as_slice()).0
    }

    /// Give the device buffers for commands.
    pub fn post_buffers(&mut self) {
        let queue = &mut self.queues[1];
        for index in 0..4 {
            let buffer = Descriptor {
                addr: COMMANDS + 0x1000 * u64::from(index),
                len: wire::CMD_BYTES as u32,
                flags: WRITE,
                next: 0,
            };
            queue.describe(&self.memory, index, buffer);
            queue.offer(&self.memory, index);
        }
        queue.kick();
    }

    /// Wait for a command: its head and its payload. The buffer goes back.
    pub fn command(&mut self) -> (wire::Cmd, Vec<u8>) {
        let queue = &mut self.queues[1];
        let (index, len) = queue.take_used(&self.memory).expect("a command");
        let at = COMMANDS + 0x1000 * u64::from(index);
        let head: wire::Cmd = self.memory.read(at);
        assert_eq!(len, 16 + head.len);
        let payload = (0..u64::from(head.len)).map(|byte| self.memory.read(at + 16 + byte));
        let payload = payload.collect();
        queue.offer(&self.memory, index as u16);
        queue.kick();
        (head, payload)
    }

    /// Answer a command.
    pub fn done(&mut self, seq: u32, error: u32, text: &str) {
        let done = wire::Done { seq, error };
        let payload = [done.as_slice(), text.as_bytes()].concat();
        self.expect(req::DONE, &payload, Status::Ok);
    }

    /// Kick as a ring's writer does.
    pub fn doorbell(&self) {
        self.queues[2].kick();
    }
}
