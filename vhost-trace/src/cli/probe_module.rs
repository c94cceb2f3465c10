//! `probe load`, `unload` and `build`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};

use clap::Args;

use super::Target;
use crate::control::{ModuleWish, Reply, Request};
use crate::{driver, wire};

/// Arguments of `probe load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    target: Target,
    /// The module.
    #[arg(value_name = "FILE.ko")]
    file: PathBuf,
    /// Its parameters.
    #[arg(value_name = "PARAM=VALUE")]
    parameters: Vec<String>,
}

/// Arguments of `probe unload`.
#[derive(Debug, Args)]
pub struct UnloadArgs {
    #[command(flatten)]
    target: Target,
    /// The module's name.
    #[arg(value_name = "NAME")]
    name: String,
}

/// Arguments of `probe build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// A C file, or a folder of them with a Kbuild.
    #[arg(value_name = "SRC")]
    source: PathBuf,
    /// Build folder of the guest's kernel: /lib/modules/RELEASE/build.
    #[arg(long, value_name = "DIR")]
    headers: PathBuf,
    /// Where to write the module.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

impl LoadArgs {
    /// Load it, and say what it is called.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let vm = &self.target.vm;
        let failed = |error: io::Error| format!("VM {vm}: {}: {error}", self.file.display());
        let file = sealed(&self.file).map_err(failed)?;
        let mut client = self.target.connect()?;
        let wish = ModuleWish::Load {
            parameters: self.parameters.join(" "),
        };
        let reply = client.ask_with(Request::Module(wish), &file);
        let reply = reply.map_err(|error| format!("{error} [{}]", self.file.display()))?;
        let Reply::Modules { names } = reply else {
            return Err(client.unexpected().into());
        };
        println!("VM {vm}: {} is loaded", names.join(" "));
        Ok(())
    }
}

/// The modules that were loaded into a VM's kernel; none of a guest that does not
/// allow them.
pub fn list(target: &Target) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut client = target.connect()?;
    let Reply::Status(status) = client.ask(Request::Status)? else {
        return Err(client.unexpected().into());
    };
    let policy = status.driver.and_then(|driver| driver.policy);
    if !policy.is_some_and(|policy| policy.allow.iter().any(|class| class == "modules")) {
        return Ok(Vec::new());
    }
    let Reply::Modules { names } = client.ask(Request::Module(ModuleWish::List))? else {
        return Err(client.unexpected().into());
    };
    Ok(names)
}

impl UnloadArgs {
    /// Unload it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        let wish = ModuleWish::Unload { name: self.name };
        let Reply::Modules { names } = client.ask(Request::Module(wish))? else {
            return Err(client.unexpected().into());
        };
        println!("VM {}: {} is unloaded", self.target.vm, names.join(" "));
        Ok(())
    }
}

impl BuildArgs {
    /// Build it, and say where it is.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let made = driver::build_probe(&self.headers, &self.source, &self.out)?;
        println!("{}", made.display());
        Ok(())
    }
}

/// A copy in memory that nobody can change: the serve that gets it will not wait
/// for a disk, and knows what it has.
fn sealed(path: &Path) -> io::Result<File> {
    let from = File::open(path)?;
    // SAFETY: the name ends with a NUL; the call makes a descriptor.
    let fd = unsafe {
        libc::memfd_create(
            c"vhost-trace-module".as_ptr(),
            libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was made just now, and nobody else has it.
    let mut copy = unsafe { File::from_raw_fd(fd) };
    let limit = u64::from(wire::MAX_UPLOAD);
    if io::copy(&mut from.take(limit + 1), &mut copy)? > limit {
        return Err(io::Error::other(format!(
            "more than {limit} bytes, which no guest takes"
        )));
    }
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: the call changes what may be done to the file, and no memory.
    if unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(copy)
}
