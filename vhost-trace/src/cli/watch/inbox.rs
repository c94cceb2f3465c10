//! What a watch waits for: the serve's replies, and signals, those of its own
//! children among them.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread::Builder;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::control::{Client, ClientError, Reply};

/// Replies that wait, at most; then the serve's own bound counts.
const MAX_WAITING: usize = 16;

/// The signals that end a watch, and that of a program which has ended.
const SIGNALS: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGCHLD];

/// Something has happened.
#[derive(Debug)]
pub enum News {
    /// The serve says something.
    Reply(Reply),
    /// The serve has ended.
    End,
    /// The serve says that it cannot be done, or cannot be understood.
    Error(ClientError),
    /// A child may have ended.
    Child,
    /// This signal ends us.
    Signal(u8),
}

/// Where news come in.
#[derive(Debug)]
pub struct Inbox(Receiver<News>);

/// The signals, which do nothing else any more.
#[derive(Debug)]
pub struct Signals(OwnedFd);

impl Signals {
    /// Take them from this thread and those that it will start.
    pub fn new() -> io::Result<Signals> {
        // SAFETY: all zeros are a valid sigset_t, which sigemptyset makes anew.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: set is a sigset_t; the signals' numbers are valid.
        let fd = unsafe {
            libc::sigemptyset(&mut set);
            for signal in SIGNALS {
                libc::sigaddset(&mut set, signal);
            }
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            libc::signalfd(-1, &set, libc::SFD_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: signalfd() has just made it, and nobody else has it.
        Ok(Signals(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Wait for one.
    fn next(&self) -> Option<News> {
        // SAFETY: all zeros are a valid signalfd_siginfo.
        let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: info is writable and of that size.
        let got = unsafe { libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size) };
        (got == size as isize).then_some(match info.ssi_signo as libc::c_int {
            libc::SIGCHLD => News::Child,
            number => News::Signal(number as u8),
        })
    }
}

impl Inbox {
    /// Hear of all replies to `client`, and of signals, on a thread for each.
    pub fn open(mut client: Client, signals: Signals) -> io::Result<Inbox> {
        let (news, inbox): (Sender<News>, Receiver<News>) = bounded(MAX_WAITING);
        let of_signals = news.clone();
        Builder::new().name("replies".into()).spawn(move || {
            loop {
                let (next, is_last) = match client.receive() {
                    Ok(Some(reply)) => (News::Reply(reply), false),
                    Ok(None) => (News::End, true),
                    Err(error) => (News::Error(error), true),
                };
                if news.send(next).is_err() || is_last {
                    return;
                }
            }
        })?;
        Builder::new().name("signals".into()).spawn(move || {
            while let Some(next) = signals.next() {
                if of_signals.send(next).is_err() {
                    return;
                }
            }
        })?;
        Ok(Inbox(inbox))
    }

    /// The next news. `None`: the time is over.
    pub fn next(&self, deadline: Option<Instant>) -> Option<News> {
        let next = match deadline {
            Some(deadline) => self.0.recv_deadline(deadline),
            None => self.0.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(news) => Some(news),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(News::End),
        }
    }
}
