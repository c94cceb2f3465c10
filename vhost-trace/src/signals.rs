//! Signals as events, which do nothing else any more.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The signals that ask a process to end.
pub const ENDING: [libc::c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// A descriptor that is readable when a signal has come.
#[derive(Debug)]
pub struct Signals(OwnedFd);

/// Whether [`Signals::take`] waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Signals {
    /// Take these signals from this thread and those that it will start.
    pub fn new(signals: &[libc::c_int], wait: Wait) -> io::Result<Signals> {
        let flags = match wait {
            Wait::Yes => libc::SFD_CLOEXEC,
            Wait::No => libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        };
        // SAFETY: all zeros are a valid sigset_t, which sigemptyset makes anew.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: set is a sigset_t; a number that is none is not added.
        let fd = unsafe {
            libc::sigemptyset(&mut set);
            for signal in signals {
                libc::sigaddset(&mut set, *signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            libc::signalfd(-1, &set, flags)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd() has just made it, and nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The signal that has come, if one has.
    pub fn take(&self) -> Option<libc::c_int> {
        // SAFETY: all zeros are a valid signalfd_siginfo.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: info is writable and of that size.
        let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        (got == size as isize).then_some(info.ssi_signo as libc::c_int)
    }
}

/// The name of one of [`ENDING`].
pub fn name(signal: libc::c_int) -> &'static str {
    match signal {
        libc::SIGTERM => "SIGTERM",
        libc::SIGINT => "SIGINT",
        _ => "SIGHUP",
    }
}

impl AsRawFd for Signals {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
