//! The folder in which `serve` and the other commands find each other.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::VmName;

/// Overrides where the folder is.
const OVERRIDE: &str = "VHOST_TRACE_RUN_DIR";

/// Ending of a control socket's name.
const CONTROL: &str = ".ctl";
/// Ending of a vhost-user socket's name.
const VHOST_USER: &str = ".sock";

/// The folder of all control sockets of a user.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// Nothing says where it is.
    #[error("no run directory: set XDG_RUNTIME_DIR, or {OVERRIDE}, or --run-dir")]
    Unknown,
    /// The system says no.
    #[error("run directory {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others could put sockets there.
    #[error(
        "run directory {path} belongs to user {owner} with mode {mode:o}: it must be yours with \
         mode 700"
    )]
    Unsafe {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who may use it.
        mode: u32,
    },
}

impl RunDir {
    /// The folder: `given`, or from the environment, or the usual place.
    pub fn find(given: Option<&Path>) -> Result<RunDir, RunDirError> {
        if let Some(path) = given {
            return Ok(RunDir(path.to_owned()));
        }
        if let Some(path) = std::env::var_os(OVERRIDE).filter(|path| !path.is_empty()) {
            return Ok(RunDir(path.into()));
        }
        if let Some(path) = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
            return Ok(RunDir(Path::new(&path).join("vhost-trace")));
        }
        if user() == 0 {
            return Ok(RunDir("/run/vhost-trace".into()));
        }
        Err(RunDirError::Unknown)
    }

    /// Make it if need be, and see that it is ours alone.
    pub fn prepare(&self) -> Result<(), RunDirError> {
        let io = |source| RunDirError::Io {
            path: self.0.clone(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(io)?;
        let meta = std::fs::metadata(&self.0).map_err(io)?;
        if meta.uid() == user() && meta.mode() & 0o077 != 0 {
            std::fs::set_permissions(&self.0, Permissions::from_mode(0o700)).map_err(io)?;
        } else if meta.uid() != user() {
            return Err(RunDirError::Unsafe {
                path: self.0.clone(),
                owner: meta.uid(),
                mode: meta.mode() & 0o777,
            });
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a VM's control socket is.
    pub fn control(&self, vm: &VmName) -> PathBuf {
        self.0.join(format!("{vm}{CONTROL}"))
    }

    /// Where a VM's vhost-user socket is, unless the user says otherwise.
    pub fn vhost_user(&self, vm: &VmName) -> PathBuf {
        self.0.join(format!("{vm}{VHOST_USER}"))
    }

    /// All VMs that have, or had, a control socket here.
    pub fn vms(&self) -> Result<Vec<VmName>, RunDirError> {
        let io = |source| RunDirError::Io {
            path: self.0.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(error)),
        };
        let mut vms = Vec::new();
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let vm = name.to_str().and_then(|name| name.strip_suffix(CONTROL));
            vms.extend(vm.and_then(|vm| vm.parse::<VmName>().ok()));
        }
        vms.sort();
        Ok(vms)
    }
}

fn user() -> u32 {
    // SAFETY: geteuid() cannot fail and touches no memory.
    unsafe { libc::geteuid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_run_dir_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let dir = RunDir::find(Some(&path)).unwrap();
        assert!(dir.vms().unwrap().is_empty());
        dir.prepare().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        dir.prepare().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);

        let vm: VmName = "web1.x".parse().unwrap();
        std::fs::write(dir.control(&vm), "").unwrap();
        std::fs::write(dir.vhost_user(&vm), "").unwrap();
        std::fs::write(path.join(".ctl"), "").unwrap();
        assert_eq!(dir.vms().unwrap(), [vm]);
    }
}
