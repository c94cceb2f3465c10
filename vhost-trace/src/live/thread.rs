//! The thread that decodes and sends.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use host_sink::text::Lines;
use host_sink::value::Event;
use serde::Serialize;

use super::batch::Batch;
use super::merge::Merge;
use super::watcher::{Line, Watcher};
use super::{Shared, Tap};
use crate::vm::Vm;

/// Most clients that watch at a time.
const MAX_WATCHERS: usize = 16;

/// The thread's state.
#[derive(Debug)]
pub struct Thread {
    vm: Arc<Vm>,
    shared: Arc<Shared>,
    tap: Tap,
    batches: Receiver<Batch>,
    watchers: Vec<Watcher>,
    shown: Option<Shown>,
}

/// The session whose events are being shown.
#[derive(Debug)]
struct Shown {
    epoch: u64,
    merge: Merge,
    text: Lines,
}

/// An event as JSON.
#[derive(Serialize)]
struct Json<'a> {
    vcpu: u32,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl Thread {
    /// A thread without clients; `tap` is where the drain is to put batches.
    pub fn new(vm: Arc<Vm>, shared: Arc<Shared>, tap: Tap, batches: Receiver<Batch>) -> Thread {
        Thread {
            vm,
            shared,
            tap,
            batches,
            watchers: Vec::new(),
            shown: None,
        }
    }

    /// Work for ever.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            self.wait()?;
            // Nothing to read: only a client had something.
            let _ = self.shared.event.read();
            self.take_new();
            while let Ok(batch) = self.batches.try_recv() {
                let bytes = batch.bytes();
                self.show(batch);
                self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
            }
            self.keep_those(Watcher::proceed);
        }
    }

    fn wait(&self) -> io::Result<()> {
        let of_watcher = |watcher: &Watcher| {
            let out = if watcher.is_behind() {
                libc::POLLOUT
            } else {
                0
            };
            (watcher.as_raw_fd(), libc::POLLIN | out)
        };
        let event = (self.shared.event.as_raw_fd(), libc::POLLIN);
        let mut fds: Vec<libc::pollfd> = std::iter::once(event)
            .chain(self.watchers.iter().map(of_watcher))
            .map(|(fd, events)| libc::pollfd {
                fd,
                events,
                revents: 0,
            })
            .collect();
        // SAFETY: fds has that many pollfds.
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(())
    }

    fn take_new(&mut self) {
        let new = std::mem::take(&mut *self.shared.lock_new());
        for (connection, json) in new {
            if self.watchers.len() == MAX_WATCHERS {
                let vm = self.vm.name();
                log::warn!("VM {vm}: more than {MAX_WATCHERS} clients want to watch");
                break;
            }
            if self.watchers.is_empty() {
                self.shown = None;
                self.vm.drain().watch(Some(self.tap.clone()));
            }
            self.watchers.push(Watcher::new(connection, json));
        }
    }

    /// Do something with each client, and keep those that stay.
    fn keep_those(&mut self, mut stays: impl FnMut(&mut Watcher) -> io::Result<bool>) {
        let before = self.watchers.len();
        self.watchers
            .retain_mut(|watcher| stays(watcher).unwrap_or(false));
        if before > 0 && self.watchers.is_empty() {
            self.vm.drain().watch(None);
        }
    }

    fn show(&mut self, batch: Batch) {
        let epoch = batch.trace.epoch;
        if self.shown.as_ref().is_none_or(|shown| shown.epoch != epoch) {
            self.shown = Some(Shown {
                epoch,
                merge: Merge::default(),
                text: Lines::new(&batch.trace.vm, batch.trace.clock_offset),
            });
        }
        let Some(shown) = &mut self.shown else {
            return;
        };
        let (missed, lost) = (batch.missed, batch.lost);
        let json = self.watchers.iter().any(Watcher::wants_json);
        let text = &mut shown.text;
        let mut lines = Vec::new();
        let show = |vcpu: u32, event: &Event<'_>| {
            let mut line = Line::default();
            // A String takes everything.
            let _ = text.line(&mut line.text, vcpu, event);
            line.text.truncate(line.text.trim_end_matches('\n').len());
            if json {
                line.json = serde_json::to_string(&Json { vcpu, event }).unwrap_or_default();
            }
            lines.push(line);
        };
        let vm = &self.vm;
        shown.merge.pass(batch, show, |vcpu, error| {
            vm.complain(format_args!("vCPU {vcpu}: events cannot be shown: {error}"));
        });
        self.keep_those(|watcher| {
            watcher.show(&lines, missed, lost)?;
            Ok(true)
        });
    }
}
