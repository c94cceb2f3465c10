//! Files that take memory straight to the disk where their file system lets
//! them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::layout::LEAST_BLOCK;

/// Alignment of buffers that this process makes, and the most that is accepted
/// from a file system: what is written from guest memory is aligned to pages.
pub(super) const PAGE: usize = 4096;

/// A file that is written by address.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    path: PathBuf,
    /// Alignment that memory must have; 1 where the page cache is written.
    memory_align: usize,
    /// Alignment of offsets and sizes; a power of two, at most [`PAGE`].
    block: usize,
}

/// A piece of memory to write: address and bytes. It may be a guest's, which
/// changes at will, so it is never a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) base: *const u8,
    pub(super) len: usize,
}

impl From<&[u8]> for Piece {
    fn from(bytes: &[u8]) -> Self {
        Self {
            base: bytes.as_ptr(),
            len: bytes.len(),
        }
    }
}

impl DiskFile {
    /// Creates `path`, which must not exist, for O_DIRECT where possible.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o640)
            .custom_flags(libc::O_CLOEXEC)
            .open(path)?;
        let (memory_align, block) = match direct_alignment(&file) {
            Some((memory, offset)) if set_direct(&file, true).is_ok() => (memory, offset),
            _ => (1, 1),
        };
        let block = block.max(LEAST_BLOCK);
        Ok(Self {
            file,
            path: path.to_owned(),
            memory_align,
            block,
        })
    }

    /// Alignment of offsets and sizes, bytes.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether memory can be written from where it is.
    pub(super) fn takes(&self, piece: Piece) -> bool {
        piece.base.addr().is_multiple_of(self.memory_align)
    }

    /// Writes `pieces` one behind the other at `offset`, all of it or an error
    /// after an unknown part of it. Where the file system has allowed O_DIRECT
    /// and now refuses a write (EINVAL), the page cache is used from then on.
    ///
    /// # Safety
    /// The pieces must stay mapped during the call.
    pub(super) unsafe fn write_at(&mut self, pieces: &[Piece], offset: u64) -> io::Result<()> {
        // SAFETY: as this function's own contract.
        match unsafe { self.write_pieces(pieces, offset) } {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && self.memory_align > 1 => {
                set_direct(&self.file, false)?;
                self.memory_align = 1;
                // SAFETY: as above.
                unsafe { self.write_pieces(pieces, offset) }
            }
            other => other,
        }
    }

    /// # Safety
    /// As [`DiskFile::write_at`].
    unsafe fn write_pieces(&self, pieces: &[Piece], offset: u64) -> io::Result<()> {
        let total: usize = pieces.iter().map(|piece| piece.len).sum();
        let mut done = 0;
        while done < total {
            let iovecs = remaining(pieces, done);
            let at = libc::off_t::try_from(offset + done as u64)
                .map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
            // SAFETY: the iovecs describe parts of the pieces, which the caller
            // keeps mapped; the kernel only reads them.
            let wrote = unsafe {
                libc::pwritev(
                    self.file.as_raw_fd(),
                    iovecs.as_ptr(),
                    iovecs.len() as i32,
                    at,
                )
            };
            match wrote {
                n if n > 0 => done += n as usize,
                0 => return Err(io::ErrorKind::WriteZero.into()),
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Cuts the file to `len` bytes.
    pub(super) fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The pieces without their first `done` bytes.
fn remaining(pieces: &[Piece], mut done: usize) -> Vec<libc::iovec> {
    let mut iovecs = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let skip = done.min(piece.len);
        done -= skip;
        if skip < piece.len {
            iovecs.push(libc::iovec {
                iov_base: piece.base.wrapping_add(skip).cast_mut().cast(),
                iov_len: piece.len - skip,
            });
        }
    }
    iovecs
}

/// Alignments of memory and of offsets that O_DIRECT needs on `file`, or `None`
/// where it is not possible. A kernel or file system that does not say is
/// taken to need pages.
fn direct_alignment(file: &File) -> Option<(usize, usize)> {
    // SAFETY: statx is plain data, for which zeroes are a value.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the path is an empty C string and `stat` a statx to fill.
    let failed = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            &mut stat,
        )
    };
    if failed != 0 || stat.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Some((PAGE, PAGE));
    }
    let (memory, offset) = (
        stat.stx_dio_mem_align as usize,
        stat.stx_dio_offset_align as usize,
    );
    let usable = |align: usize| align.is_power_of_two() && align <= PAGE;
    (usable(memory) && usable(offset)).then_some((memory, offset))
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    // SAFETY: reading an open file's flags.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    let flags = if direct {
        flags | libc::O_DIRECT
    } else {
        flags & !libc::O_DIRECT
    };
    // SAFETY: setting an open file's flags.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Memory of this process that may be written with O_DIRECT.
#[derive(Debug, Default)]
pub(super) struct PageBuffer {
    pages: Vec<Page>,
}

#[derive(Clone, Debug)]
#[repr(align(4096))]
struct Page {
    _bytes: [u8; PAGE],
}

impl PageBuffer {
    /// The first `len` bytes, zeroed.
    pub(super) fn zeroed(&mut self, len: usize) -> &mut [u8] {
        self.pages.clear();
        self.pages
            .resize(len.div_ceil(PAGE), Page { _bytes: [0; PAGE] });
        // SAFETY: a Page is PAGE bytes without padding, the pages of a vector
        // are contiguous, and there are at least `len` bytes of them.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), len) }
    }
}

/// An index or metadata file: written through the page cache, and taken back
/// to its last whole entry when a write fails.
#[derive(Debug)]
pub(super) struct PlainFile {
    file: File,
    path: PathBuf,
    len: u64,
}

impl PlainFile {
    /// Creates `path`, which must not exist, with `bytes` in it.
    pub(super) fn create(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(path)?;
        let mut plain = Self {
            file,
            path: path.to_owned(),
            len: 0,
        };
        plain.write_at(bytes, 0)?;
        Ok(plain)
    }

    /// Puts `bytes` at `offset`, at most the file's length, and ends the file
    /// behind them. After an error the file is as long as before; of what was
    /// overwritten nothing is said.
    pub(super) fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        let shorter = end < self.len;
        let result = self.file.write_all_at(bytes, offset);
        let result = result.and_then(|()| {
            if shorter {
                self.file.set_len(end)
            } else {
                Ok(())
            }
        });
        match result {
            Ok(()) => self.len = end,
            Err(_) => self.file.set_len(self.len)?,
        }
        result
    }

    /// Bytes in the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until what was written is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
