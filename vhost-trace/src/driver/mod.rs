//! The guest's driver on its way into a guest: built for a kernel, packed for
//! DKMS, put into an image.

mod build;
mod inject;
mod package;
mod probe;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use host_sink::escape::printable;

pub use build::build;
pub use inject::{Inject, inject};
pub use package::{package, package_name};
pub use probe::build_probe;

/// The sources: paths in the driver's folder, and contents.
pub const SOURCES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/driver_sources.rs"));

/// The module's name.
pub const MODULE: &str = "virtio_trace";

/// How much of what a program says an error quotes.
const QUOTED: usize = 2000;

/// The driver did not get where it should.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Of what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A program does not run.
    #[error("cannot run {program}: {source}; on Debian: apt-get install {debian}")]
    Run {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
        /// The package that has it.
        debian: &'static str,
    },
    /// A program failed.
    #[error("{program}: {status}\n{said}")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// There are no kernel headers.
    #[error(
        "{} is no build folder of a kernel ({missing} is missing): name /lib/modules/RELEASE/build \
         of the guest's kernel (on Debian: apt-get install linux-headers-RELEASE)",
        path.display()
    )]
    NoHeaders {
        /// What was named.
        path: PathBuf,
        /// What it lacks.
        missing: &'static str,
    },
    /// There is nothing to build.
    #[error("{}: {why}", path.display())]
    NoSource {
        /// What was named.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// It is no kernel module of ours.
    #[error("{} is no {MODULE}.ko: {why}", path.display())]
    NoModule {
        /// What was named.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
}

/// Write the sources to a folder.
pub fn unpack(dir: &Path) -> Result<(), DriverError> {
    for (name, content) in SOURCES {
        write(&dir.join(name), content)?;
    }
    Ok(())
}

/// Write a file and the folders above it.
fn write(path: &Path, content: &[u8]) -> Result<(), DriverError> {
    let io = |source| DriverError::Io {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(io)?;
    fs::write(path, content).map_err(io)
}

/// A folder that goes with its handle.
fn scratch() -> Result<tempfile::TempDir, DriverError> {
    let builder = tempfile::Builder::new().prefix(MODULE).tempdir();
    builder.map_err(|source| DriverError::Io {
        path: std::env::temp_dir(),
        source,
    })
}

/// Run a program of Debian's package `debian` to its end.
fn run(command: &mut Command, debian: &'static str) -> Result<(), DriverError> {
    let name = |program: &OsStr| printable(program.as_encoded_bytes());
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| DriverError::Run {
            program: name(command.get_program()),
            source,
            debian,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let end = &said[said.len().saturating_sub(QUOTED)..];
    let lines = end.split(|&byte| byte == b'\n').map(printable);
    Err(DriverError::Failed {
        program: name(command.get_program()),
        status: output.status,
        said: lines.collect::<Vec<_>>().join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attach_driver_sources_are_complete() {
        let text = |wanted: &str| {
            let (_, content) = SOURCES.iter().find(|(name, _)| *name == wanted).unwrap();
            std::str::from_utf8(content).unwrap()
        };
        let kbuild = text("Kbuild").split_whitespace();
        for object in kbuild.filter(|word| word.ends_with(".o") && *word != "virtio_trace.o") {
            let stem = object.trim_end_matches(".o");
            let found = |(name, _): &(&str, _)| {
                [".c", ".S"]
                    .iter()
                    .any(|end| *name == format!("{stem}{end}"))
            };
            assert!(SOURCES.iter().any(found), "{object}");
        }
        text("vtrace_abi.h");
        text("LICENSE");
        let version = format!("PACKAGE_VERSION=\"{}\"", env!("CARGO_PKG_VERSION"));
        assert!(text("dkms.conf").contains(&version), "{version}");
    }
}
