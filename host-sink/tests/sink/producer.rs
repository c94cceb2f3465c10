//! A guest's side of a ring: sub-buffers of events in shared memory.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhost_trace_host_sink::packet::{Packet, PacketInfo, Payload, StreamKey};
use vhost_trace_host_sink::pinned::Pinned;

/// Bytes of a sub-buffer.
pub const SUB: usize = 64 << 10;

/// A sub-buffer while it is filled.
#[derive(Clone)]
pub struct SubBuffer {
    pub stream: StreamKey,
    pub position: u64,
    pub bytes: Vec<u8>,
    pub events: u64,
    pub begin: u64,
    pub end: u64,
}

impl SubBuffer {
    pub fn new(vcpu: u32, position: u64, begin: u64) -> Self {
        let stream = StreamKey { channel: 0, vcpu };
        let preamble = [begin, 0, position].map(u64::to_le_bytes).concat();
        Self {
            stream,
            position,
            bytes: preamble,
            events: 0,
            begin,
            end: begin,
        }
    }

    /// An event with a compact header.
    pub fn event(&mut self, id: u16, stamp: u64, payload: &[u8]) -> &mut Self {
        self.bytes.extend(id.to_le_bytes());
        self.bytes.extend((stamp as u32).to_le_bytes());
        self.finish(stamp, payload)
    }

    /// An event with a full header.
    pub fn full_event(&mut self, id: u16, stamp: u64, payload: &[u8]) -> &mut Self {
        self.bytes.extend([0xff, 0xff]);
        self.bytes.extend(u32::from(id).to_le_bytes());
        self.bytes.extend(stamp.to_le_bytes());
        self.finish(stamp, payload)
    }

    fn finish(&mut self, stamp: u64, payload: &[u8]) -> &mut Self {
        self.bytes.extend(payload);
        self.events += 1;
        self.end = self.end.max(stamp);
        assert!(self.bytes.len() <= SUB);
        self
    }

    /// Whether no event of `len` payload bytes fits any more.
    pub fn is_full(&self, len: usize) -> bool {
        self.bytes.len() + 6 + len >= SUB
    }

    fn info(&self, discarded: u64) -> PacketInfo {
        PacketInfo {
            stream: self.stream,
            epoch: 1,
            position: self.position,
            begin: self.begin,
            end: self.end,
            events: self.events,
            discarded,
            content_len: self.bytes.len(),
        }
    }

    /// The sub-buffer as it lies in guest memory, with its rest full of junk.
    pub fn in_place(&self, discarded: u64) -> Packet {
        self.lent(discarded, &Arc::new(AtomicUsize::new(0)))
    }

    /// The same; `released` counts when it is given back.
    pub fn lent(&self, discarded: u64, released: &Arc<AtomicUsize>) -> Packet {
        let memory = Arc::new(SharedMemory::new(SUB));
        memory.fill(&self.bytes);
        let (base, released) = (memory.base, Arc::clone(released));
        let release = move || {
            released.fetch_add(1, Ordering::Relaxed);
        };
        // SAFETY: `memory` is the mapping, of SUB bytes.
        let pinned = unsafe { Pinned::new(base, SUB, memory, release) };
        Packet {
            info: self.info(discarded),
            payload: Payload::InPlace(Arc::new(pinned)),
        }
    }

    /// A private copy of what is filled.
    pub fn copied(&self, discarded: u64) -> Packet {
        let payload = Payload::Copied(Arc::new(self.bytes.clone()));
        Packet {
            info: self.info(discarded),
            payload,
        }
    }
}

/// Memory as a guest's: a shared mapping of a memory file.
struct SharedMemory {
    base: *const u8,
    len: usize,
}

// SAFETY: only an address; who reads it is the kernel.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    fn new(len: usize) -> Self {
        // SAFETY: a new memory file and a new mapping of it; the results are
        // checked.
        let base = unsafe {
            let file = libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC);
            assert!(file >= 0 && libc::ftruncate(file, len as libc::off_t) == 0);
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let base = libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, file, 0);
            libc::close(file);
            assert_ne!(base, libc::MAP_FAILED);
            base
        };
        Self {
            base: base.cast(),
            len,
        }
    }

    fn fill(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len);
        // SAFETY: the mapping is `len` bytes, writable, and nobody else's yet.
        unsafe {
            ptr::write_bytes(self.base.cast_mut(), 0xa5, self.len);
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.cast_mut(), bytes.len());
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.base.cast_mut().cast(), self.len) };
    }
}
