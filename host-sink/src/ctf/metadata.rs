//! The metadata file of a trace, which grows with the guest's schema.

use std::collections::BTreeSet;
use std::path::Path;

use super::disk::PlainFile;
use super::file_error::FileError;
use super::tsdl;
use crate::schema::{Field, Schema};
use crate::session::Session;

/// A trace's metadata file. It is complete after each write: declarations are
/// only ever appended, each batch in one write.
#[derive(Debug)]
pub(super) struct Metadata {
    file: PlainFile,
    events: BTreeSet<u16>,
    channels: BTreeSet<u32>,
    /// Declared, and not in the file yet.
    pending: String,
}

impl Metadata {
    /// Creates `dir/metadata` with what comes before streams and events.
    pub(super) fn create(
        dir: &Path,
        session: &Session,
        trace: [u8; 16],
        trace_name: &str,
    ) -> Result<Self, FileError> {
        let path = dir.join("metadata");
        let preface = tsdl::preface(session, trace, trace_name);
        let file = PlainFile::create(&path, preface.as_bytes())
            .map_err(|e| FileError::new("create", &path, e))?;
        Ok(Self {
            file,
            events: BTreeSet::new(),
            channels: BTreeSet::new(),
            pending: String::new(),
        })
    }

    /// Declares the events of `schema` that are not declared yet.
    pub(super) fn declare(&mut self, schema: &Schema) {
        for class in schema.contexts_of_channels() {
            self.declare_stream(class.channel, &class.fields);
        }
        for class in schema.iter() {
            if self.events.insert(class.id) {
                self.declare_channel(class.channel);
                self.pending.push_str(&tsdl::event(class));
            }
        }
    }

    /// Declares the streams of `channel`. It has contexts only if these were
    /// declared with a schema before.
    pub(super) fn declare_channel(&mut self, channel: u32) {
        self.declare_stream(channel, &[]);
    }

    fn declare_stream(&mut self, channel: u32, contexts: &[Field]) {
        if self.channels.insert(channel) {
            self.pending.push_str(&tsdl::stream(channel, contexts));
        }
    }

    /// Bytes of the file when everything declared is in it.
    pub(super) fn bytes(&self) -> u64 {
        self.file.len() + self.pending.len() as u64
    }

    /// Puts into the file what is not in it; to be tried again after an error,
    /// before any packet that needs it.
    pub(super) fn write(&mut self) -> Result<(), FileError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.file.write_at(self.pending.as_bytes(), self.file.len());
        written.map_err(|e| FileError::new("write", self.file.path(), e))?;
        self.pending = String::new();
        Ok(())
    }

    /// Waits until the file is on the disk.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        self.file
            .sync()
            .map_err(|e| FileError::new("sync", self.file.path(), e))
    }
}
