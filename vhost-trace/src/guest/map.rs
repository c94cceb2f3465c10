//! The guest's memory as the front end has last told it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use vm_memory::mmap::MmapRegion;
use vm_memory::{
    Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
    MemoryRegionAddress,
};

use super::area::{Area, BadArea};
use super::sigbus::Guarded;

/// One mapping of guest memory, guarded against SIGBUS as long as it lives.
#[derive(Debug)]
pub struct Region {
    // First, so that it is taken back before the mapping goes.
    _guard: Guarded,
    mapping: Arc<MmapRegion>,
}

impl Region {
    fn new(mapping: Arc<MmapRegion>) -> io::Result<Arc<Region>> {
        let page = mapping
            .file_offset()
            .map_or(4096, |file| page_bytes(file.file()));
        let guard = Guarded::new(mapping.as_ptr(), mapping.size(), page)?;
        Ok(Arc::new(Region {
            _guard: guard,
            mapping,
        }))
    }

    /// Its first byte in this process.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    /// What tells the byte at `offset` from others: device, inode and place in
    /// the file. `None`: not of a file.
    pub fn place(&self, offset: usize) -> Option<(u64, u64, u64)> {
        let file = self.mapping.file_offset()?;
        let meta = file.file().metadata().ok()?;
        Some((meta.dev(), meta.ino(), file.start() + offset as u64))
    }
}

/// The bytes that go away at once when the file is truncated.
fn page_bytes(file: &File) -> usize {
    // SAFETY: all zeros are a valid statfs.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, stat is writable and large enough.
    let failed = unsafe { libc::fstatfs(file.as_raw_fd(), &mut stat) } < 0;
    if !failed && stat.f_type == libc::HUGETLBFS_MAGIC {
        stat.f_bsize as usize
    } else {
        4096
    }
}

/// The guest's memory, and what keeps each of its mappings.
#[derive(Debug, Default)]
pub struct GuestMap {
    regions: Vec<(u64, Arc<Region>)>,
    // A queue may still be looked at through the table before this one.
    previous: Vec<(u64, Arc<Region>)>,
}

impl GuestMap {
    /// The front end has a new memory table.
    pub fn update(&mut self, mem: &GuestMemoryMmap) -> io::Result<()> {
        let mut regions = Vec::new();
        for region in mem.iter() {
            let mapping = region.get_mmap();
            let known = self
                .regions
                .iter()
                .find(|(_, old)| Arc::ptr_eq(&old.mapping, &mapping));
            let region_of = match known {
                Some((_, old)) => old.clone(),
                None => Region::new(mapping)?,
            };
            regions.push((region.start_addr().raw_value(), region_of));
        }
        self.previous = std::mem::replace(&mut self.regions, regions);
        Ok(())
    }

    /// Find `len` bytes at `gpa`, a multiple of `align`, in one region.
    pub fn find(
        &self,
        mem: &GuestMemoryMmap,
        gpa: u64,
        len: u64,
        align: u64,
    ) -> Result<Area, BadArea> {
        if !gpa.is_multiple_of(align) {
            return Err(BadArea::Misaligned { gpa, align });
        }
        let outside = BadArea::Outside { gpa, len };
        let found = mem.find_region(GuestAddress(gpa)).ok_or(outside)?;
        let offset = gpa - found.start_addr().raw_value();
        if len > found.len() - offset {
            return Err(outside);
        }
        let host = found
            .get_host_address(MemoryRegionAddress(offset))
            .map_err(|_| outside)?;
        // The mapping begins at a page of the file, but nothing says so.
        if !(host as u64).is_multiple_of(align) {
            return Err(BadArea::Misaligned { gpa, align });
        }
        let (_, region) = self
            .regions
            .iter()
            .find(|(start, region)| {
                *start == found.start_addr().raw_value()
                    && Arc::ptr_eq(&region.mapping, &found.get_mmap())
            })
            .ok_or(outside)?;
        Ok(Area::new(
            region.clone(),
            gpa,
            offset as usize,
            len as usize,
        ))
    }

    /// Whether the guest still has the same bytes where `area` was found: from
    /// the same place of the same file.
    pub fn has(&self, mem: &GuestMemoryMmap, area: &Area) -> bool {
        let Ok(now) = self.find(mem, area.gpa(), area.len() as u64, 1) else {
            return false;
        };
        now.as_ptr() == area.as_ptr() || (now.place().is_some() && now.place() == area.place())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::FileOffset;

    fn memory() -> (GuestMemoryMmap, GuestMap) {
        let mem = GuestMemoryMmap::from_ranges(&[
            (GuestAddress(0), 0x10000),
            (GuestAddress(0x10000), 0x10000),
        ])
        .unwrap();
        let mut map = GuestMap::default();
        map.update(&mem).unwrap();
        (mem, map)
    }

    #[test]
    fn serve_areas_lie_in_one_region() {
        let (mem, map) = memory();
        assert!(map.find(&mem, 0xf000, 0x1000, 4096).is_ok());
        assert!(map.find(&mem, 0x1f000, 0x1000, 4096).is_ok());
        for (gpa, len) in [
            (0xf000, 0x2000),
            (0x1f000, 0x2000),
            (0x20000, 1),
            (u64::MAX - 4095, 4096),
        ] {
            assert_eq!(
                map.find(&mem, gpa, len, 1).unwrap_err(),
                BadArea::Outside { gpa, len }
            );
        }
        assert!(matches!(
            map.find(&mem, 0x1001, 1, 4096),
            Err(BadArea::Misaligned { .. })
        ));
    }

    #[test]
    fn serve_areas_know_when_they_are_gone() {
        let (mem, map) = memory();
        let area = map.find(&mem, 0x1000, 0x1000, 4096).unwrap();
        assert!(map.has(&mem, &area));
        let (other_mem, other_map) = memory();
        assert!(!other_map.has(&other_mem, &area));
    }

    #[test]
    fn serve_areas_survive_another_mapping_of_the_same_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4000).unwrap();
        let map_it = || {
            let offset = FileOffset::new(file.try_clone().unwrap(), 0);
            let mem = GuestMemoryMmap::<()>::from_ranges_with_files([(
                GuestAddress(0),
                0x4000,
                Some(offset),
            )])
            .unwrap();
            let mut map = GuestMap::default();
            map.update(&mem).unwrap();
            (mem, map)
        };
        let (mem, map) = map_it();
        let area = map.find(&mem, 0x1000, 0x1000, 4096).unwrap();
        let (again, again_map) = map_it();
        assert!(again_map.has(&again, &area));
    }
}
