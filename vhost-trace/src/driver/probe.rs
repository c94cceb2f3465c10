//! Probe modules: of the user's own source, against the driver's exported
//! functions, for one kernel.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::build::{make, take};
use super::{DriverError, SOURCES, run, scratch, unpack, write};

/// What of the driver a probe sees.
const HEADERS: [&str; 2] = ["vtrace.h", "vtrace_abi.h"];
/// What a kernel's module may be called, with its NUL.
const NAME_LEN: usize = 56;

/// The parts of the driver that export something, and its licence: enough to learn the versions
/// of what they export, as this kernel counts them.
const EXPORTS: &str =
    "\nvirtio_trace-y := vtrace_main.o vtrace_attach.o vtrace_class.o vtrace_writer.o\n";

/// Build the module of one C file, or of a folder with a Kbuild; where it is
/// then.
pub fn build_probe(headers: &Path, source: &Path, out: &Path) -> Result<PathBuf, DriverError> {
    let exports = scratch()?;
    unpack(exports.path())?;
    let kbuild = [source_of("Kbuild"), EXPORTS.as_bytes()].concat();
    write(&exports.path().join("Kbuild"), &kbuild)?;
    // The rest of the driver is missing, on purpose.
    let mut symbols = make(headers, exports.path())?;
    run(symbols.arg("KBUILD_MODPOST_WARN=1"), "make gcc")?;

    let folder = scratch()?;
    fill(folder.path(), source)?;
    for name in HEADERS {
        write(&folder.path().join(name), source_of(name))?;
    }
    let mut probe = make(headers, folder.path())?;
    let versions = exports.path().join("Module.symvers");
    probe.arg(format!("KBUILD_EXTRA_SYMBOLS={}", versions.display()));
    run(&mut probe, "make gcc")?;
    let module = module_in(folder.path(), source)?;
    // What a debugger wants is most of it, and the guest has to keep it.
    let mut strip = Command::new("strip");
    run(strip.arg("--strip-debug").arg(&module), "binutils")?;
    take(&module, out)
}

fn source_of(wanted: &str) -> &'static [u8] {
    let found = SOURCES.iter().find(|(name, _)| *name == wanted);
    found.map_or(&[], |(_, content)| content)
}

/// Copy the sources; a file by itself gets a Kbuild.
fn fill(folder: &Path, source: &Path) -> Result<(), DriverError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| DriverError::Io { path, source }
    };
    let copy = |from: &Path| {
        let to = folder.join(from.file_name().unwrap_or_default());
        fs::copy(from, &to).map(|_| ()).map_err(io(from))
    };
    if source.is_dir() {
        for entry in fs::read_dir(source).map_err(io(source))? {
            let path = entry.map_err(io(source))?.path();
            if path.is_file() {
                copy(&path)?;
            }
        }
        if !folder.join("Kbuild").is_file() && !folder.join("Makefile").is_file() {
            return Err(DriverError::NoSource {
                path: source.to_owned(),
                why: "it has neither a Kbuild nor a Makefile",
            });
        }
        return Ok(());
    }
    let name = module_name(source).ok_or_else(|| DriverError::NoSource {
        path: source.to_owned(),
        why: "it is no C file whose name, of A-Z a-z 0-9 _, a module can have",
    })?;
    copy(source)?;
    let kbuild = format!("obj-m := {name}.o\nccflags-y := -I$(src)\n");
    write(&folder.join("Kbuild"), kbuild.as_bytes())
}

/// The name that the module of a C file has.
fn module_name(source: &Path) -> Option<&str> {
    let name = source.file_stem().and_then(OsStr::to_str)?;
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_c = source.extension().is_some_and(|end| end == "c");
    (is_c && name.len() < NAME_LEN && name.chars().all(good)).then_some(name)
}

/// The one module that was made.
fn module_in(folder: &Path, source: &Path) -> Result<PathBuf, DriverError> {
    let entries = fs::read_dir(folder).map_err(|source| DriverError::Io {
        path: folder.to_owned(),
        source,
    })?;
    let mut modules: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "ko"))
        .collect();
    match (modules.pop(), modules.is_empty()) {
        (Some(module), true) => Ok(module),
        _ => Err(DriverError::NoSource {
            path: source.to_owned(),
            why: "it makes not exactly one module",
        }),
    }
}
