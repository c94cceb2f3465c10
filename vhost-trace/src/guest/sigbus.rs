//! Guest memory that goes away under us.
//!
//! The memory is a file that the front end can truncate at any time; an access
//! behind the new end raises SIGBUS, which would kill the process and with it
//! the trace. So a handler maps zero pages over the faulting page if it is in a
//! registered range, counts the fault for the thread that had it, and lets the
//! access go on. Whoever reads guest memory compares the count before and
//! after ([`faults`]) and believes nothing that was read in between.
//!
//! The handler uses only atomics, a thread-local cell that needs neither
//! construction nor destruction, and mmap(2), which on Linux is a bare system
//! call. A fault anywhere else is no business of ours: the default action is
//! restored and the access kills the process, with its core file.

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More than the memory regions a vhost-user front end may have, twice: the
/// old mapping of a region may live beside the new one.
const MAX_RANGES: usize = 1024;

struct Slot {
    start: AtomicUsize,
    len: AtomicUsize,
    page: AtomicUsize,
}

static RANGES: [Slot; MAX_RANGES] = [const {
    Slot {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        page: AtomicUsize::new(0),
    }
}; MAX_RANGES];

/// Only one registers or takes back at a time; the handler takes no lock.
static CHANGES: Mutex<()> = Mutex::new(());

thread_local! {
    static FAULTS: Cell<u64> = const { Cell::new(0) };
}

/// How many pages have gone away under this thread so far.
pub fn faults() -> u64 {
    FAULTS.get()
}

/// A range of guest memory whose faults are survived, until this is dropped.
#[derive(Debug)]
pub struct Guarded {
    slot: usize,
}

impl Guarded {
    /// Register `len` bytes at `start`, mapped in pages of `page` bytes.
    pub fn new(start: *const u8, len: usize, page: usize) -> io::Result<Guarded> {
        let _one = CHANGES
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let free = RANGES
            .iter()
            .position(|slot| slot.len.load(Ordering::Relaxed) == 0)
            .ok_or_else(|| {
                io::Error::other("more memory regions than the SIGBUS guard can hold")
            })?;
        let slot = &RANGES[free];
        slot.start.store(start as usize, Ordering::Relaxed);
        slot.page.store(page, Ordering::Relaxed);
        slot.len.store(len, Ordering::Release);
        Ok(Guarded { slot: free })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _one = CHANGES
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        RANGES[self.slot].len.store(0, Ordering::Release);
    }
}

/// Install the handler, once for the process.
pub fn install() -> io::Result<()> {
    // SAFETY: all zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_sigbus as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: action is a complete sigaction whose handler has the signature
    // that SA_SIGINFO asks for.
    if unsafe { libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Where the page of `address` begins and how long it is, if it is guarded.
fn page_of(address: usize) -> Option<(usize, usize)> {
    RANGES.iter().find_map(|slot| {
        let len = slot.len.load(Ordering::Acquire);
        let start = slot.start.load(Ordering::Relaxed);
        let page = slot.page.load(Ordering::Relaxed);
        (address.wrapping_sub(start) < len).then(|| (start + (address - start) / page * page, page))
    })
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to an SA_SIGINFO handler, and
    // si_addr is what SIGBUS has in it.
    let address = unsafe { (*info).si_addr() } as usize;
    if let Some((start, page)) = page_of(address) {
        // SAFETY: the page is in a mapping of guest memory that its owner keeps
        // until the range is taken back, so that nothing else of ours is
        // there; Rust has no references into it, only raw pointers.
        let mapped = unsafe {
            libc::mmap(
                start as *mut libc::c_void,
                page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if mapped != libc::MAP_FAILED {
            FAULTS.set(FAULTS.get() + 1);
            return;
        }
    }
    // SAFETY: restoring a default action is async-signal-safe; the access is
    // repeated on return and then ends the process.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

    #[test]
    fn serve_survives_truncated_guest_memory() {
        install().unwrap();
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4000).unwrap();
        let offset = FileOffset::new(file.try_clone().unwrap(), 0);
        let mem: GuestMemoryMmap =
            GuestMemoryMmap::from_ranges_with_files([(GuestAddress(0), 0x4000, Some(offset))])
                .unwrap();
        let start = mem.get_host_address(GuestAddress(0)).unwrap();
        let _guarded = Guarded::new(start, 0x4000, 4096).unwrap();
        mem.write_obj(7u64, GuestAddress(0)).unwrap();
        mem.write_obj(7u64, GuestAddress(0x3000)).unwrap();

        let before = faults();
        assert_eq!(mem.read_obj::<u64>(GuestAddress(0)).unwrap(), 7);
        assert_eq!(faults(), before);

        file.set_len(0x1000).unwrap();
        assert_eq!(mem.read_obj::<u64>(GuestAddress(0x3000)).unwrap(), 0);
        assert_eq!(faults(), before + 1);
        // What is still there is still there.
        assert_eq!(mem.read_obj::<u64>(GuestAddress(0)).unwrap(), 7);
        assert_eq!(faults(), before + 1);
    }
}
