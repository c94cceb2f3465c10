//! One stream: a file of packets and its index.
//!
//! Invariants: the file holds whole packets and nothing else, the index one
//! entry for each of them, and their times never go back; a write that fails
//! leaves both as they were. The first packet tells no loss, because readers
//! take the loss of a packet for the difference to the packet before it. The
//! last packet may be provisional; it is replaced where it lies.

use std::fs;
use std::path::Path;

use super::disk::{DiskFile, PageBuffer, Piece, PlainFile};
use super::file_error::FileError;
use super::layout::{Origin, StreamIds, index_header};
use super::placed::{Kind, Mark, Placed};
use crate::packet::{PREAMBLE_BYTES, PacketInfo, Payload};
use crate::sink::Written;

/// No stamp is written that is later: readers add stamp and clock offset in
/// signed 64 bits. It is 146 years after the guest started.
pub(super) const MAX_STAMP: u64 = (1 << 62) - 1;

/// One stream's files.
#[derive(Debug)]
pub(super) struct StreamFile {
    ids: StreamIds,
    data: DiskFile,
    index: PlainFile,
    newest: Option<Placed>,
    buffer: PageBuffer,
}

impl StreamFile {
    /// Creates `dir/name` and `dir/index/name.idx`, without packets. Nothing is
    /// left of them after an error.
    pub(super) fn create(dir: &Path, name: &str, ids: StreamIds) -> Result<Self, FileError> {
        let path = dir.join(name);
        let data = DiskFile::create(&path).map_err(|e| FileError::new("create", &path, e))?;
        let index_path = dir.join("index").join(format!("{name}.idx"));
        match PlainFile::create(&index_path, &index_header()) {
            Ok(index) => Ok(Self {
                ids,
                data,
                index,
                newest: None,
                buffer: PageBuffer::default(),
            }),
            Err(error) => {
                // What cannot be removed was not created, or stays without harm.
                let _ = fs::remove_file(&path);
                let _ = fs::remove_file(&index_path);
                Err(FileError::new("create", &index_path, error))
            }
        }
    }

    /// Writes a packet, or replaces the provisional one of the same position.
    /// `info.discarded` counts from the loss at which this file began. The
    /// caller has checked that `info.content_len` is at least a preamble and
    /// at most the payload. Drops the payload when it is written.
    pub(super) fn write(
        &mut self,
        info: &PacketInfo,
        payload: Payload,
        provisional: bool,
    ) -> Result<Written, FileError> {
        let overwrites = self.replaces(info);
        let from = match self.newest {
            Some(newest) if overwrites => newest.from,
            _ => self.behind(),
        };
        let begin = info.begin.min(MAX_STAMP).max(from.end);
        let placed = Placed {
            from,
            kind: if provisional {
                Kind::Provisional
            } else {
                Kind::Whole
            },
            origin: Origin {
                epoch: info.epoch,
                position: info.position,
            },
            begin,
            end: info.end.min(MAX_STAMP).max(begin),
            content: info.content_len,
            discarded: info.discarded.max(from.discarded),
        };
        let written = self.write_packet(&placed, payload).and_then(|written| {
            if placed.behind(self.data.block()).data < self.behind().data {
                self.truncate(placed.behind(self.data.block()))?;
            }
            self.write_index(&placed)?;
            Ok(written)
        });
        match written {
            Ok(_) => self.newest = Some(placed),
            Err(_) => self.restore(overwrites),
        }
        written
    }

    /// Sees to it that the last packet tells the loss `discarded`: an empty one
    /// behind the others or, where there is no room for it, the last there is.
    pub(super) fn close(&mut self, end: u64, discarded: u64) -> Result<(), FileError> {
        if discarded <= self.behind().discarded {
            return Ok(());
        }
        if self.newest.is_none() {
            self.append_empty(end, 0)?;
        }
        self.append_empty(end, discarded)
            .or_else(|error| match &mut self.newest {
                Some(newest) => {
                    newest.discarded = discarded;
                    self.rewrite_newest()
                }
                None => Err(error),
            })
    }

    /// Sees to it that the last packet does not end before `end`; no event came
    /// until then.
    pub(super) fn last_until(&mut self, end: u64) -> Result<(), FileError> {
        match &mut self.newest {
            Some(newest) if newest.end < end => {
                newest.end = end;
                self.rewrite_newest()
            }
            _ => Ok(()),
        }
    }

    /// Where the last packet ends.
    pub(super) fn end(&self) -> u64 {
        self.behind().end
    }

    /// Bytes of both files.
    pub(super) fn bytes(&self) -> u64 {
        self.behind().data + self.index.len()
    }

    /// Loss that the last packet tells.
    pub(super) fn discarded(&self) -> u64 {
        self.behind().discarded
    }

    /// Whether a packet takes the place of the last one: a session's positions
    /// go on when its epoch changes.
    pub(super) fn replaces(&self, info: &PacketInfo) -> bool {
        self.newest.is_some_and(|newest| {
            newest.kind == Kind::Provisional && newest.origin.position == info.position
        })
    }

    /// Waits until both files are on the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.data
            .sync()
            .map_err(|e| FileError::new("sync", self.data.path(), e))?;
        self.index
            .sync()
            .map_err(|e| FileError::new("sync", self.index.path(), e))
    }

    fn append_empty(&mut self, end: u64, discarded: u64) -> Result<(), FileError> {
        let from = self.behind();
        let end = end.min(MAX_STAMP).max(from.end);
        let placed = Placed {
            from,
            kind: Kind::Empty,
            origin: self.newest.map(|newest| newest.origin).unwrap_or_default(),
            begin: end,
            end,
            content: PREAMBLE_BYTES,
            discarded,
        };
        let written = self
            .write_block(&placed)
            .and_then(|()| self.write_index(&placed));
        match written {
            Ok(()) => self.newest = Some(placed),
            Err(_) => self.restore(false),
        }
        written
    }

    /// Writes block and pages: the pages from where they are if the disk takes
    /// them from there, else a copy of their content.
    fn write_packet(&mut self, placed: &Placed, payload: Payload) -> Result<Written, FileError> {
        let (block, content) = (self.data.block(), placed.content);
        let body = placed.body(block);
        let lent = match &payload {
            Payload::InPlace(pinned) => {
                let pages = Piece {
                    base: pinned.as_ptr(),
                    len: body,
                };
                (self.data.takes(pages) && body <= pinned.len()).then_some(pages)
            }
            Payload::Copied(_) => None,
        };
        let (result, written) = match lent {
            Some(pages) => {
                let head = self.buffer.zeroed(block);
                placed.fill_block(&self.ids, head);
                // SAFETY: `head` is a slice, and `payload` keeps the pages
                // mapped until it is dropped below.
                let result = unsafe {
                    self.data
                        .write_at(&[(&*head).into(), pages], placed.from.data)
                };
                (
                    result,
                    Written {
                        in_place: content as u64,
                        copied: 0,
                    },
                )
            }
            None => {
                // Not the stream's own: it is large, and streams are many.
                let mut buffer = PageBuffer::default();
                let bytes = buffer.zeroed(block + body);
                placed.fill_block(&self.ids, &mut bytes[..block]);
                let result = payload.to_private(content).and_then(|content| {
                    bytes[block..block + content.len()].copy_from_slice(&content);
                    // SAFETY: `bytes` is a slice.
                    unsafe { self.data.write_at(&[(&*bytes).into()], placed.from.data) }
                });
                (
                    result,
                    Written {
                        in_place: 0,
                        copied: content as u64,
                    },
                )
            }
        };
        drop(payload);
        result
            .map(|()| written)
            .map_err(|e| FileError::new("write", self.data.path(), e))
    }

    /// Writes only the host's bytes of a packet.
    fn write_block(&mut self, placed: &Placed) -> Result<(), FileError> {
        let bytes = self.buffer.zeroed(self.data.block());
        placed.fill_block(&self.ids, bytes);
        // SAFETY: `bytes` is a slice.
        let written = unsafe { self.data.write_at(&[(&*bytes).into()], placed.from.data) };
        written.map_err(|e| FileError::new("write", self.data.path(), e))
    }

    fn write_index(&mut self, placed: &Placed) -> Result<(), FileError> {
        let entries = placed.index_entries(&self.ids, self.data.block());
        let written = self.index.write_at(&entries, placed.from.index);
        written.map_err(|e| FileError::new("write", self.index.path(), e))
    }

    /// After a failed write: both files as the newest packet left them.
    fn restore(&mut self, overwritten: bool) {
        let restored = if overwritten {
            self.rewrite_newest()
        } else {
            self.truncate(self.behind())
        };
        if let Err(FileError {
            action,
            path,
            source,
        }) = restored
        {
            let path = path.display();
            log::error!("{path} ends in a broken packet, cannot {action} it: {source}");
        }
    }

    /// Makes the files end with the newest packet again. What was written over
    /// it began with the same events, so that its own block makes it whole.
    fn rewrite_newest(&mut self) -> Result<(), FileError> {
        if let Some(newest) = self.newest {
            self.write_block(&newest)?;
            self.write_index(&newest)?;
        }
        self.truncate(self.behind())
    }

    fn truncate(&self, to: Mark) -> Result<(), FileError> {
        self.data
            .truncate(to.data)
            .map_err(|e| FileError::new("truncate", self.data.path(), e))
    }

    fn behind(&self) -> Mark {
        match self.newest {
            Some(newest) => newest.behind(self.data.block()),
            None => Mark {
                index: index_header().len() as u64,
                ..Mark::default()
            },
        }
    }
}
