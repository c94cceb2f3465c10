//! A sub-buffer of guest memory that somebody still reads.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A range of guest memory on loan.
///
/// While it lives, the mapping stays and the guest does not get the
/// sub-buffer back; dropping it runs the release callback, which is how the
/// drain learns that no sink touches the memory any more. Its bytes belong to
/// the guest and may change at any moment: they are never borrowed as a slice,
/// only handed to the kernel by address or copied.
pub struct Pinned {
    base: *const u8,
    len: usize,
    release: Option<Box<dyn FnOnce() + Send>>,
    _mapping: Arc<dyn Any + Send + Sync>,
}

// SAFETY: `base` is an address that is only given to the kernel or compared;
// nothing here depends on the thread that does so, and the mapping behind it
// lives as long as `_mapping`.
unsafe impl Send for Pinned {}
// SAFETY: as above; no method changes anything through a shared reference, and
// `release` is reachable only in `drop`.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Takes `len` bytes at `base` on loan until the value is dropped; then
    /// `release` is called, once, on the thread that dropped it.
    ///
    /// # Safety
    /// `base..base + len` must lie in memory that stays mapped as long as
    /// `mapping` lives. It may be shared with and changed by the guest.
    pub unsafe fn new(
        base: *const u8,
        len: usize,
        mapping: Arc<dyn Any + Send + Sync>,
        release: impl FnOnce() + Send + 'static,
    ) -> Self {
        Self {
            base,
            len,
            release: Some(Box::new(release)),
            _mapping: mapping,
        }
    }

    /// Address of the first byte, for the kernel.
    pub fn as_ptr(&self) -> *const u8 {
        self.base
    }

    /// Bytes on loan.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no byte is on loan.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A private copy of the first `len` bytes.
    ///
    /// The kernel makes it (`process_vm_readv` on ourselves), so that memory
    /// that a guest's memory file no longer backs is an error here, not a
    /// SIGBUS. Fails with `InvalidInput` if fewer than `len` bytes are on loan
    /// and with the kernel's error (EFAULT) if they cannot be read.
    pub fn copy(&self, len: usize) -> io::Result<Vec<u8>> {
        if len > self.len {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(len);
        while bytes.len() < len {
            let done = bytes.len();
            let local = libc::iovec {
                iov_base: bytes.spare_capacity_mut().as_mut_ptr().cast(),
                iov_len: len - done,
            };
            let remote = libc::iovec {
                // In bounds: done < len <= self.len.
                iov_base: self.base.wrapping_add(done).cast_mut().cast(),
                iov_len: len - done,
            };
            // SAFETY: `local` is the vector's spare capacity of at least
            // `len - done` bytes; the kernel checks `remote` itself.
            let got = unsafe { libc::process_vm_readv(libc::getpid(), &local, 1, &remote, 1, 0) };
            match got {
                n if n > 0 => {
                    // SAFETY: the kernel wrote n bytes behind the first `done`.
                    unsafe { bytes.set_len(done + n as usize) };
                }
                0 => return Err(io::Error::from_raw_os_error(libc::EFAULT)),
                _ => return Err(io::Error::last_os_error()),
            }
        }
        Ok(bytes)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            release();
        }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("base", &self.base)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn pinned(bytes: Vec<u8>, released: &Arc<AtomicU32>) -> Pinned {
        let bytes = Arc::new(bytes);
        let (base, len) = (bytes.as_ptr(), bytes.len());
        let released = Arc::clone(released);
        // SAFETY: the vector is kept by the value itself.
        unsafe {
            Pinned::new(base, len, bytes, move || {
                released.fetch_add(1, Ordering::Relaxed);
            })
        }
    }

    #[test]
    fn is_released_once_by_the_last_holder() {
        let released = Arc::new(AtomicU32::new(0));
        let first = Arc::new(pinned(vec![1; 64], &released));
        let second = Arc::clone(&first);
        drop(first);
        assert_eq!(released.load(Ordering::Relaxed), 0);
        drop(second);
        assert_eq!(released.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn copies_a_head_and_no_more_than_there_is() {
        let pinned = pinned((0..=255).collect(), &Arc::new(AtomicU32::new(0)));
        assert_eq!(pinned.copy(3).unwrap(), [0, 1, 2]);
        assert_eq!(pinned.copy(256).unwrap().len(), 256);
        assert_eq!(pinned.copy(0).unwrap(), []);
        assert_eq!(
            pinned.copy(257).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn memory_that_has_gone_is_an_error() {
        // SAFETY: the null page is not mapped; nothing dereferences it here.
        let pinned = unsafe { Pinned::new(std::ptr::null(), 4096, Arc::new(()), || {}) };
        assert_eq!(
            pinned.copy(16).unwrap_err().raw_os_error(),
            Some(libc::EFAULT)
        );
    }
}
