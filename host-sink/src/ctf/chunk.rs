//! One complete trace: a directory with metadata, stream files and indexes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::disk::PAGE;
use super::file_error::FileError;
use super::layout::{INDEX_ENTRY_BYTES, StreamIds};
use super::metadata::Metadata;
use super::stream::StreamFile;
use crate::packet::{PacketInfo, Payload, StreamEnd, StreamKey};
use crate::schema::Schema;
use crate::session::Session;
use crate::sink::Written;

/// A trace that is being written.
#[derive(Debug)]
pub(super) struct Chunk {
    dir: PathBuf,
    uuid: [u8; 16],
    metadata: Metadata,
    streams: BTreeMap<StreamKey, StreamFile>,
    /// Loss of each stream that earlier chunks of the session have told.
    told: BTreeMap<StreamKey, u64>,
}

impl Chunk {
    /// Creates the directory `dir/kernel` and a trace without streams in it.
    /// `told` is the loss that earlier chunks have told. After an error `dir`
    /// is as it was.
    pub(super) fn create(
        dir: &Path,
        session: &Session,
        trace_name: &str,
        told: BTreeMap<StreamKey, u64>,
    ) -> Result<Self, FileError> {
        let dir = dir.join("kernel");
        let created = Self::create_files(&dir, session, trace_name, told);
        if created.is_err() {
            // What cannot be removed was not created.
            let _ = fs::remove_dir_all(&dir);
        }
        created
    }

    fn create_files(
        dir: &Path,
        session: &Session,
        trace_name: &str,
        told: BTreeMap<StreamKey, u64>,
    ) -> Result<Self, FileError> {
        make_dir(&dir.join("index"))?;
        let uuid = random_uuid().map_err(|e| FileError::new("draw an id for", dir, e))?;
        let metadata = Metadata::create(dir, session, uuid, trace_name)?;
        let (dir, streams) = (dir.to_owned(), BTreeMap::new());
        Ok(Self {
            dir,
            uuid,
            metadata,
            streams,
            told,
        })
    }

    /// Declares what `schema` has and the trace has not. It gets into the
    /// metadata file with the next packet, or with [`Chunk::write_metadata`].
    pub(super) fn declare(&mut self, schema: &Schema) {
        self.metadata.declare(schema);
    }

    /// Writes declarations that are not in the metadata file yet.
    pub(super) fn write_metadata(&mut self) -> Result<(), FileError> {
        self.metadata.write()
    }

    /// Writes a packet as [`StreamFile::write`] does.
    pub(super) fn write(
        &mut self,
        info: &PacketInfo,
        payload: Payload,
        provisional: bool,
    ) -> Result<Written, FileError> {
        let key = info.stream;
        self.metadata.declare_channel(key.channel);
        self.metadata.write()?;
        let told = *self.told.entry(key).or_default();
        let info = PacketInfo {
            discarded: info.discarded.saturating_sub(told),
            ..info.clone()
        };
        self.stream(key)?.write(&info, payload, provisional)
    }

    /// At most so many bytes a packet adds.
    pub(super) fn cost(&self, info: &PacketInfo) -> u64 {
        let pages = info.content_len.next_multiple_of(PAGE);
        (PAGE + pages + 2 * INDEX_ENTRY_BYTES) as u64
    }

    /// Whether a packet takes the place of a provisional one.
    pub(super) fn replaces(&self, info: &PacketInfo) -> bool {
        self.streams
            .get(&info.stream)
            .is_some_and(|stream| stream.replaces(info))
    }

    /// Bytes of all files, with what is declared.
    pub(super) fn bytes(&self) -> u64 {
        self.metadata.bytes() + self.streams.values().map(StreamFile::bytes).sum::<u64>()
    }

    /// Whether there is no packet yet.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Ends the trace: its last packets tell each stream's loss, and that none
    /// had an event up to where the last one ends. Readers that look only at
    /// the time that all streams cover would leave out the rest. Tries all
    /// streams; returns the first failure.
    pub(super) fn end(&mut self, ends: &[StreamEnd]) -> Result<(), FileError> {
        let mut result = Ok(());
        for end in ends {
            result = result.and(self.end_stream(end));
        }
        let last = self.streams.values().map(StreamFile::end).max();
        for stream in self.streams.values_mut() {
            result = result.and(stream.last_until(last.unwrap_or_default()));
        }
        result
    }

    fn end_stream(&mut self, end: &StreamEnd) -> Result<(), FileError> {
        let told = self.told.get(&end.stream).copied().unwrap_or(0);
        let discarded = end.discarded.saturating_sub(told);
        if discarded == 0 {
            return Ok(());
        }
        self.metadata.declare_channel(end.stream.channel);
        self.metadata.write()?;
        self.stream(end.stream)?.close(end.end, discarded)
    }

    /// The files of a stream, created if need be.
    fn stream(&mut self, key: StreamKey) -> Result<&mut StreamFile, FileError> {
        match self.streams.entry(key) {
            Entry::Occupied(stream) => Ok(stream.into_mut()),
            Entry::Vacant(place) => {
                let ids = StreamIds {
                    trace: self.uuid,
                    stream: key,
                };
                Ok(place.insert(StreamFile::create(&self.dir, &stream_name(key), ids)?))
            }
        }
    }

    /// Loss of each stream that this chunk and those before it have told.
    pub(super) fn into_told(self) -> BTreeMap<StreamKey, u64> {
        let mut told = self.told;
        for (key, stream) in &self.streams {
            *told.entry(*key).or_default() += stream.discarded();
        }
        told
    }

    /// Waits until all files are on the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.metadata.sync()?;
        self.streams.values().try_for_each(StreamFile::sync)
    }
}

/// Creates a directory and those above it, for this user and group.
pub(super) fn make_dir(path: &Path) -> Result<(), FileError> {
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path);
    made.map_err(|e| FileError::new("create", path, e))
}

/// Name of a stream's file, as LTTng's: channel, then CPU.
fn stream_name(key: StreamKey) -> String {
    match key.channel {
        0 => format!("events_{}", key.vcpu),
        1 => format!("statedump_{}", key.vcpu),
        other => format!("channel{other}_{}", key.vcpu),
    }
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid() -> io::Result<[u8; 16]> {
    let mut uuid = [0u8; 16];
    // SAFETY: the buffer is `uuid`, of that length.
    let got = unsafe { libc::getrandom(uuid.as_mut_ptr().cast(), uuid.len(), 0) };
    if got != uuid.len() as isize {
        return Err(io::Error::last_os_error());
    }
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok(uuid)
}
