//! Sockets that one process at a time listens on.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error("socket {0} is in use: another process serves this VM, or another one with this path")]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{0} exists and is not a socket; remove it or choose another path")]
    NoSocket(PathBuf),
    /// The system says no.
    #[error("socket {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A socket that is listened on, and removed when it is not any more.
#[derive(Debug)]
pub struct OwnSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Listen on a socket of our own at `path`, for this user and the members of
/// `group` if there is one. What a process that is gone has left there is
/// replaced.
pub fn listen(path: &Path, group: Option<u32>) -> Result<OwnSocket, ListenError> {
    let io = |source| ListenError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                log::info!("replacing {}, which nobody listens on", path.display());
                std::fs::remove_file(path).map_err(io)?;
            }
            Err(error) => return Err(io(error)),
            Ok(_) => return Err(ListenError::InUse(path.to_owned())),
        },
    }
    let listener = UnixListener::bind(path).map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            ListenError::InUse(path.to_owned())
        } else {
            io(error)
        }
    })?;
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    chown(path, None, group).map_err(io)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io)?;
    Ok(OwnSocket {
        listener,
        path: path.to_owned(),
    })
}

impl OwnSocket {
    /// What accepts connections.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::debug!("{}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_sockets_have_one_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm.ctl");
        let first = listen(&path, None).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let error = listen(&path, None).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        assert!(!path.exists());

        // SAFETY: getegid() cannot fail and touches no memory.
        let group = unsafe { libc::getegid() };
        let shared = listen(&path, Some(group)).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o660
        );
        drop(shared);

        // What a killed process leaves.
        drop(UnixListener::bind(&path).unwrap());
        let again = listen(&path, None).unwrap();
        drop(again);

        std::fs::write(&path, "precious").unwrap();
        let error = listen(&path, None).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
