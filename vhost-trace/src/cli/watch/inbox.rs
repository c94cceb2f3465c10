//! What a watch waits for: the serve's replies, and signals, those of its own
//! children among them.

use std::io;
use std::thread::Builder;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::control::{Client, ClientError, Reply};
use crate::signals::Signals;

/// Replies that wait, at most; then the serve's own bound counts.
const MAX_WAITING: usize = 16;

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
            while let Some(signal) = signals.take() {
                let next = match signal {
                    libc::SIGCHLD => News::Child,
                    signal => News::Signal(signal as u8),
                };
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
