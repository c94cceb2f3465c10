//! What failed with which file.

use std::io;
use std::path::{Path, PathBuf};

use crate::sink::SinkError;

/// A failed system call, before it is known whose trace it was about.
#[derive(Debug)]
pub(super) struct FileError {
    /// What was tried, as a verb.
    pub(super) action: &'static str,
    /// With which file.
    pub(super) path: PathBuf,
    /// What the system said.
    pub(super) source: io::Error,
}

impl FileError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The error of a sink that writes the trace of `vm`.
    pub(super) fn of(self, vm: &str) -> SinkError {
        let Self {
            action,
            path,
            source,
        } = self;
        SinkError::Io {
            vm: vm.to_owned(),
            action,
            path,
            source,
        }
    }
}
