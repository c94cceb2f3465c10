//! The driver as a module for one kernel.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use super::{DriverError, MODULE, run, scratch, unpack};

/// What a build folder of a kernel has.
const NEEDED: [&str; 2] = ["Makefile", "include/config/kernel.release"];

/// Build the module for the kernel with these headers; where it is then.
pub fn build(headers: &Path, out: &Path) -> Result<PathBuf, DriverError> {
    let folder = scratch()?;
    unpack(folder.path())?;
    run(&mut make(headers, folder.path())?, "make gcc")?;
    take(&folder.path().join(format!("{MODULE}.ko")), out)
}

/// A make of the modules in `folder`.
pub(super) fn make(headers: &Path, folder: &Path) -> Result<Command, DriverError> {
    for missing in NEEDED {
        if !headers.join(missing).is_file() {
            return Err(DriverError::NoHeaders {
                path: headers.to_owned(),
                missing,
            });
        }
    }
    let jobs = available_parallelism().map_or(1, NonZero::get);
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(headers)
        .arg(format!("M={}", folder.display()))
        .arg(format!("-j{jobs}"))
        .arg("modules")
        .env("LC_ALL", "C");
    // Those of a make that runs this are not for the kernel's.
    for variable in ["MAKEFLAGS", "MFLAGS", "ARCH"] {
        make.env_remove(variable);
    }
    Ok(make)
}

/// Copy what was made to a folder; where it is then.
pub(super) fn take(module: &Path, out: &Path) -> Result<PathBuf, DriverError> {
    let target = out.join(module.file_name().unwrap_or_default());
    let copied = fs::create_dir_all(out)
        .and_then(|()| fs::copy(module, &target))
        .map_err(|source| DriverError::Io {
            path: target.clone(),
            source,
        });
    copied.map(|_| target)
}
