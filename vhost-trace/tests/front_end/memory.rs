//! Memory that this process and `serve` share.

use std::fs::File;
use std::os::fd::FromRawFd;

use vhost::VhostUserMemoryRegionInfo;
use vm_memory::{
    Address, ByteValued, Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap,
    GuestMemoryRegion,
};

/// Bytes of each of two regions.
pub const REGION: u64 = 4 << 20;

/// A guest's memory: two regions of one file, with a gap between them.
pub struct Memory {
    file: File,
    mem: GuestMemoryMmap,
}

/// Where the second region begins.
pub const SECOND: u64 = 0x1000_0000;

impl Memory {
    /// Zeroed memory.
    pub fn new() -> Memory {
        // SAFETY: the name is a C string; the descriptor is new and ours.
        let file = unsafe {
            let fd = libc::memfd_create(c"guest".as_ptr(), libc::MFD_CLOEXEC);
            assert!(fd >= 0);
            File::from_raw_fd(fd)
        };
        file.set_len(2 * REGION).unwrap();
        let part = |at| Some(FileOffset::new(file.try_clone().unwrap(), at));
        let mem = GuestMemoryMmap::from_ranges_with_files([
            (GuestAddress(0), REGION as usize, part(0)),
            (GuestAddress(SECOND), REGION as usize, part(REGION)),
        ])
        .unwrap();
        Memory { file, mem }
    }

    /// What the front end says of the regions.
    pub fn regions(&self) -> Vec<VhostUserMemoryRegionInfo> {
        let region = |region| VhostUserMemoryRegionInfo::from_guest_region(region).unwrap();
        self.mem.iter().map(region).collect()
    }

    /// Take the file's end away under everybody.
    pub fn truncate(&self, bytes: u64) {
        self.file.set_len(bytes).unwrap();
    }

    /// Where this process has it.
    pub fn host(&self, gpa: u64) -> *mut u8 {
        self.mem.get_host_address(GuestAddress(gpa)).unwrap()
    }

    /// What the front end calls the address.
    pub fn user(&self, gpa: u64) -> u64 {
        self.host(gpa) as u64
    }

    /// Write there.
    pub fn write<T: ByteValued>(&self, value: T, gpa: u64) {
        self.mem.write_obj(value, GuestAddress(gpa)).unwrap();
    }

    /// Write there.
    pub fn write_bytes(&self, bytes: &[u8], gpa: u64) {
        self.mem.write_slice(bytes, GuestAddress(gpa)).unwrap();
    }

    /// Read from there.
    pub fn read<T: ByteValued>(&self, gpa: u64) -> T {
        self.mem.read_obj(GuestAddress(gpa)).unwrap()
    }

    /// All of it, now.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for region in self.mem.iter() {
            let mut bytes = vec![0; region.len() as usize];
            let start = GuestAddress(region.start_addr().raw_value());
            self.mem.read_slice(&mut bytes, start).unwrap();
            all.extend(bytes);
        }
        all
    }
}
