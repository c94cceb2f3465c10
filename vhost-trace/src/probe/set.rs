//! Files with named sets of definitions.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{DEFAULT_RATE, Definition, DefinitionError};

/// A set, as its file has it:
///
/// ```toml
/// set = "files"
/// [[probe]]
/// define = "p:opens do_sys_openat2 path=+0($arg2):ustring"
/// rate = 1000
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeSet {
    /// Its name.
    pub set: String,
    /// What is in it.
    #[serde(rename = "probe")]
    pub probes: Vec<ProbeEntry>,
}

/// One definition of a set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeEntry {
    /// Its text.
    pub define: String,
    /// Events in a second and of a vCPU; 0: any number.
    pub rate: Option<u32>,
}

/// A file that has no set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is not what a set looks like.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// One of its definitions is none.
    #[error("{}: {source}", path.display())]
    Definition {
        /// The file.
        path: PathBuf,
        /// Which, and why.
        source: Box<DefinitionError>,
    },
}

impl ProbeSet {
    /// The set of a file; all its definitions are good.
    pub fn read(path: &Path) -> Result<ProbeSet, SetError> {
        let path = || path.to_owned();
        let text = std::fs::read_to_string(path()).map_err(|source| SetError::Read {
            path: path(),
            source,
        })?;
        let set: ProbeSet = toml::from_str(&text).map_err(|source| SetError::Parse {
            path: path(),
            source: Box::new(source),
        })?;
        for probe in &set.probes {
            let rate = probe.rate.unwrap_or(DEFAULT_RATE);
            Definition::new(&probe.define, rate).map_err(|source| SetError::Definition {
                path: path(),
                source: Box::new(source),
            })?;
        }
        Ok(set)
    }
}
