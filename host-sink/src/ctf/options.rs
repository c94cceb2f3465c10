//! What a user can say about trace files.

use std::path::PathBuf;

use crate::sink::SinkError;

/// Where traces go and how large they get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CtfOptions {
    /// The directory under which each session gets its own; created if need be.
    pub dir: PathBuf,
    /// The VM's name: letters, digits, `.`, `_` and `-`, not beginning with a
    /// `.` or `-`.
    pub vm: String,
    /// How large traces get; `None`: as large as the disk.
    pub limit: Option<Limit>,
}

/// How large traces get. A sub-buffer that completes a provisional packet may
/// go beyond by its own size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes of one chunk, all its files together; at least
    /// [`Limit::LEAST_BYTES`].
    pub bytes: u64,
    /// What happens there.
    pub then: AtLimit,
}

impl Limit {
    /// Room for two of the largest sub-buffers (4 MiB) and a schema.
    pub const LEAST_BYTES: u64 = 16 << 20;
}

/// What happens when a chunk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtLimit {
    /// Nothing more is written until this process ends, in this session or a
    /// later one: what comes is counted as lost.
    Stop,
    /// Another chunk begins, and of all that this process wrote the last
    /// `keep` chunks remain, the current one included; at least 2.
    Rotate {
        /// Number of chunks.
        keep: usize,
    },
}

impl CtfOptions {
    /// Whether a sink can be made of them.
    pub(super) fn validate(&self) -> Result<(), SinkError> {
        let wrong = |what: String| {
            Err(SinkError::BadOption {
                vm: self.vm.clone(),
                what,
            })
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if self.vm.is_empty() || self.vm.starts_with(['.', '-']) || !self.vm.chars().all(plain) {
            return wrong(format!("{:?} cannot be part of a file's name", self.vm));
        }
        if self.dir.join("metadata").exists() {
            let dir = self.dir.display();
            return wrong(format!(
                "{dir} is a trace itself; give it another directory"
            ));
        }
        match self.limit {
            Some(Limit { bytes, .. }) if bytes < Limit::LEAST_BYTES => wrong(format!(
                "a limit of {bytes} bytes is below {}",
                Limit::LEAST_BYTES
            )),
            Some(Limit {
                then: AtLimit::Rotate { keep },
                ..
            }) if keep < 2 => wrong(format!(
                "rotation that keeps {keep} chunks loses all at once; keep 2 or more"
            )),
            _ => Ok(()),
        }
    }
}
