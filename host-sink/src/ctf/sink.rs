//! The sink that writes traces to files: sessions, chunks and their limits.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chunk::{Chunk, make_dir};
use super::file_error::FileError;
use super::options::{AtLimit, CtfOptions, Limit};
use super::time;
use crate::packet::{PREAMBLE_BYTES, Packet, PacketInfo, StreamEnd, StreamKey};
use crate::schema::{Schema, abi};
use crate::session::Session;
use crate::sink::{Sink, SinkError, Written};

/// Sessions of one VM that began in the same second and are told apart by a
/// number. More than this many is a guest that resets in a loop.
const MAX_SAME_SECOND: u32 = 1000;

/// A sink that writes CTF traces; see [`crate::ctf`].
#[derive(Debug)]
pub struct CtfSink {
    options: CtfOptions,
    live: Option<Live>,
    /// Chunks on the disk, oldest first; kept only where they rotate.
    chunks: VecDeque<PathBuf>,
    /// Bytes of finished chunks; counts only where the sink stops.
    finished_bytes: u64,
}

/// The session that is being written.
#[derive(Debug)]
struct Live {
    session: Arc<Session>,
    schema: Arc<Schema>,
    /// Its directory, once there is one.
    dir: Option<PathBuf>,
    chunk: Option<Chunk>,
    chunk_number: u32,
    /// Loss that finished chunks have told.
    told: BTreeMap<StreamKey, u64>,
}

impl CtfSink {
    /// A sink that writes below `options.dir`, which is created here.
    ///
    /// Fails where options make no sense, and where the directory cannot be
    /// created or written.
    pub fn create(options: CtfOptions) -> Result<Self, SinkError> {
        options.validate()?;
        let dir = &options.dir;
        make_dir(dir).map_err(|e| e.of(&options.vm))?;
        check_writable(dir).map_err(|e| FileError::new("write to", dir, e).of(&options.vm))?;
        Ok(Self {
            options,
            live: None,
            chunks: VecDeque::new(),
            finished_bytes: 0,
        })
    }

    fn take(&mut self, packet: Packet, provisional: bool) -> Result<Written, SinkError> {
        let Packet { info, payload } = packet;
        check(&info, payload.len())?;
        self.make_room(&info)?;
        let chunk = self.chunk()?;
        let result = chunk.write(&info, payload, provisional);
        result.map_err(|e| e.of(&self.options.vm))
    }

    /// Sees to a chunk that the packet fits in.
    fn make_room(&mut self, info: &PacketInfo) -> Result<(), SinkError> {
        let limit = self.options.limit;
        let chunk = self.chunk()?;
        let Some(Limit { bytes: limit, then }) = limit else {
            return Ok(());
        };
        if chunk.replaces(info) {
            return Ok(());
        }
        let (bytes, is_empty) = (chunk.bytes() + chunk.cost(info), chunk.is_empty());
        let full = SinkError::Full {
            vm: self.options.vm.clone(),
            path: self.options.dir.clone(),
            limit,
        };
        match then {
            AtLimit::Stop if self.finished_bytes + bytes > limit => Err(full),
            AtLimit::Rotate { .. } if bytes > limit && is_empty => Err(full),
            AtLimit::Rotate { .. } if bytes > limit => {
                self.finish_chunk();
                self.make_room(info)
            }
            _ => Ok(()),
        }
    }

    /// The current chunk, which is made if there is none.
    fn chunk(&mut self) -> Result<&mut Chunk, SinkError> {
        let live = self.live.as_mut().ok_or(SinkError::NoSession)?;
        if live.chunk.is_none() {
            let keep = match self.options.limit {
                Some(Limit {
                    then: AtLimit::Rotate { keep },
                    ..
                }) => keep,
                _ => usize::MAX,
            };
            remove_oldest(&mut self.chunks, keep - 1);
            let (dir, chunk) = live
                .new_chunk(&self.options)
                .map_err(|e| e.of(&self.options.vm))?;
            live.chunk = Some(chunk);
            if keep != usize::MAX {
                self.chunks.push_back(dir);
            }
        }
        live.chunk.as_mut().ok_or(SinkError::NoSession)
    }

    fn finish_chunk(&mut self) {
        if let Some(live) = &mut self.live
            && let Some(chunk) = live.chunk.take()
        {
            self.finished_bytes += chunk.bytes();
            live.told = chunk.into_told();
        }
    }
}

impl Sink for CtfSink {
    fn begin(&mut self, session: &Arc<Session>, schema: &Arc<Schema>) -> Result<(), SinkError> {
        self.end(&[])?;
        self.live = Some(Live {
            session: Arc::clone(session),
            schema: Arc::clone(schema),
            dir: None,
            chunk: None,
            chunk_number: 0,
            told: BTreeMap::new(),
        });
        Ok(())
    }

    fn schema(&mut self, schema: &Arc<Schema>) -> Result<(), SinkError> {
        let live = self.live.as_mut().ok_or(SinkError::NoSession)?;
        live.schema = Arc::clone(schema);
        if let Some(chunk) = &mut live.chunk {
            chunk.declare(schema);
            let fits = |limit: Limit| chunk.bytes() <= limit.bytes;
            if self.options.limit.is_none_or(fits) {
                return chunk.write_metadata().map_err(|e| e.of(&self.options.vm));
            }
        }
        Ok(())
    }

    fn packet(&mut self, packet: Packet) -> Result<Written, SinkError> {
        self.take(packet, false)
    }

    fn provisional(&mut self, packet: Packet) -> Result<Written, SinkError> {
        self.take(packet, true)
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        match self.live.as_ref().and_then(|live| live.chunk.as_ref()) {
            Some(chunk) => chunk.sync().map_err(|e| e.of(&self.options.vm)),
            None => Ok(()),
        }
    }

    fn end(&mut self, ends: &[StreamEnd]) -> Result<(), SinkError> {
        let Some(live) = &self.live else {
            return Ok(());
        };
        let told = |end: &StreamEnd| live.told.get(&end.stream).copied().unwrap_or(0);
        let untold = ends.iter().any(|end| end.discarded > told(end));
        let ended = if untold || live.chunk.is_some() {
            let vm = self.options.vm.clone();
            self.chunk()
                .and_then(|chunk| chunk.end(ends).map_err(|e| e.of(&vm)))
        } else {
            Ok(())
        };
        self.finish_chunk();
        self.live = None;
        ended
    }
}

impl Live {
    /// Creates the next chunk, and the session's directory before the first.
    /// Returns it with its directory, the one to remove when it is too old.
    fn new_chunk(&mut self, options: &CtfOptions) -> Result<(PathBuf, Chunk), FileError> {
        let session_dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => make_session_dir(options, &self.session)?,
        };
        let trace_name = session_dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (dir, trace_name) = match options.limit {
            Some(Limit {
                then: AtLimit::Rotate { .. },
                ..
            }) => {
                let name = format!("chunk-{:06}", self.chunk_number + 1);
                (session_dir.join(&name), format!("{trace_name}/{name}"))
            }
            _ => (session_dir.clone(), trace_name),
        };
        match Chunk::create(&dir, &self.session, &trace_name, self.told.clone()) {
            Ok(mut chunk) => {
                chunk.declare(&self.schema);
                self.dir = Some(session_dir);
                self.chunk_number += 1;
                Ok((dir, chunk))
            }
            Err(error) => {
                // Directories that are not empty stay.
                let _ = fs::remove_dir(&dir);
                if self.dir.is_none() {
                    let _ = fs::remove_dir(&session_dir);
                }
                Err(error)
            }
        }
    }
}

/// A new directory for a session.
fn make_session_dir(options: &CtfOptions, session: &Session) -> Result<PathBuf, FileError> {
    let name = format!("{}-{}", options.vm, time::compact(session.started));
    let mut dir = options.dir.join(&name);
    for number in 2..=MAX_SAME_SECOND {
        match fs::DirBuilder::new().mode(0o750).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                dir = options.dir.join(format!("{name}-{number}"));
            }
            Err(e) => return Err(FileError::new("create", &dir, e)),
        }
    }
    Err(FileError::new(
        "create",
        &dir,
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// Removes the oldest of `chunks` until `keep` are left, and sessions that have
/// none left.
fn remove_oldest(chunks: &mut VecDeque<PathBuf>, keep: usize) {
    while chunks.len() > keep {
        let Some(dir) = chunks.pop_front() else {
            return;
        };
        match fs::remove_dir_all(&dir) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => log::warn!("cannot remove the old chunk {}: {e}", dir.display()),
        }
        if let Some(session) = dir.parent()
            && !chunks.iter().any(|chunk| chunk.starts_with(session))
        {
            // One that something else was put into stays.
            let _ = fs::remove_dir(session);
        }
    }
}

fn check_writable(dir: &Path) -> io::Result<()> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mode = libc::W_OK | libc::X_OK;
    // SAFETY: the path is a C string.
    match unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a packet's framing makes sense for a file.
fn check(info: &PacketInfo, payload_len: usize) -> Result<(), SinkError> {
    let wrong = |what: String| {
        Err(SinkError::BadPacket {
            stream: info.stream,
            position: info.position,
            what,
        })
    };
    if info.stream.channel >= abi::MAX_CHANNELS {
        return wrong(format!("there is no channel {}", info.stream.channel));
    }
    if info.content_len < PREAMBLE_BYTES || info.content_len > payload_len {
        return wrong(format!(
            "content of {} in {payload_len} bytes",
            info.content_len
        ));
    }
    Ok(())
}
