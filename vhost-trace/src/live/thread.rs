//! The thread that decodes and sends.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use host_sink::decode::Events;
use host_sink::text::Lines;
use host_sink::value::Event;
use serde::Serialize;

use super::batch::Batch;
use super::merge::Merge;
use super::waiter::Waiter;
use super::watcher::{Line, Watcher};
use super::{Audience, New, Shared, Tap};
use crate::control::{Connection, Reply};
use crate::session::Session;
use crate::session::desired::Rule;
use crate::vm::Vm;

/// Most clients that watch at a time, and most that wait.
const MAX_WATCHERS: usize = 16;

/// The thread's state.
#[derive(Debug)]
pub struct Thread {
    vm: Arc<Vm>,
    shared: Arc<Shared>,
    tap: Tap,
    batches: Receiver<Batch>,
    watchers: Vec<Watcher>,
    waiters: Vec<Waiter>,
    audience: Audience,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<&'a str>,
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
            waiters: Vec::new(),
            audience: Audience::default(),
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
                self.tell(&batch);
                self.show(batch);
                self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
            }
            if self.shared.news.swap(false, Ordering::AcqRel) {
                self.tell_of_guest();
            }
            self.keep_those(Watcher::proceed);
            self.keep_waiting(Waiter::proceed);
            self.attend();
        }
    }

    fn wait(&self) -> io::Result<()> {
        let of = |fd, is_behind| {
            let out = if is_behind { libc::POLLOUT } else { 0 };
            (fd, libc::POLLIN | out)
        };
        let event = (self.shared.event.as_raw_fd(), libc::POLLIN);
        let watchers = self.watchers.iter();
        let waiters = self.waiters.iter();
        let mut fds: Vec<libc::pollfd> = std::iter::once(event)
            .chain(watchers.map(|client| of(client.as_raw_fd(), client.is_behind())))
            .chain(waiters.map(|client| of(client.as_raw_fd(), client.is_behind())))
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
        for client in new {
            match client {
                New::Watches(connection, json) => {
                    if self.watchers.len() == MAX_WATCHERS {
                        let vm = self.vm.name();
                        log::warn!("VM {vm}: more than {MAX_WATCHERS} clients want to watch");
                        continue;
                    }
                    if self.watchers.is_empty() {
                        self.shown = None;
                    }
                    self.watchers.push(Watcher::new(connection, json));
                }
                New::Waits(connection, rules) => self.take_waiter(connection, rules),
            }
        }
        self.attend();
    }

    /// A client's watch begins before the guest is asked for its events, so that
    /// none of them is missed.
    fn take_waiter(&mut self, mut connection: Connection, rules: Vec<Rule>) {
        let started = if self.waiters.len() == MAX_WATCHERS {
            Err(format!("{MAX_WATCHERS} watches are all that is possible"))
        } else {
            self.listen(Audience {
                waits: true,
                ..self.audience
            });
            self.vm.drain().settle();
            self.change_watches(|session| session.watch(rules.clone()))
                .map_err(|error| error.to_string())
        };
        match started {
            Ok(id) => {
                self.waiters.push(Waiter::new(connection, id, rules));
                self.tell_of_guest();
            }
            // A client that has gone need not know.
            Err(message) => drop(connection.send(&Reply::Error { message })),
        }
    }

    /// Change what the guest is to watch, and tell it.
    fn change_watches<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let result = self.vm.with_session(|session| {
            let result = change(session);
            session.reconcile();
            result
        });
        self.vm.queues().wake();
        result
    }

    /// Have the drain know who is there.
    fn attend(&mut self) {
        self.listen(Audience {
            sees: !self.watchers.is_empty(),
            waits: !self.waiters.is_empty(),
        });
    }

    fn listen(&mut self, audience: Audience) {
        if self.audience != audience {
            self.audience = audience;
            let anybody = audience.sees || audience.waits;
            let to = anybody.then(|| (self.tap.clone(), audience));
            self.vm.drain().watch(to);
        }
    }

    /// Do something with each client, and keep those that stay.
    fn keep_those(&mut self, mut stays: impl FnMut(&mut Watcher) -> io::Result<bool>) {
        self.watchers
            .retain_mut(|watcher| stays(watcher).unwrap_or(false));
    }

    /// The same with those that wait; what only the others waited for ends.
    fn keep_waiting(&mut self, mut stays: impl FnMut(&mut Waiter) -> io::Result<bool>) {
        let leaving = |waiter: &mut Waiter| !stays(waiter).unwrap_or(false);
        let left: Vec<Waiter> = self.waiters.extract_if(.., leaving).collect();
        if !left.is_empty() {
            self.change_watches(|session| left.iter().for_each(|w| session.unwatch(w.id())));
        }
    }

    /// Tell those who wait how far the guest is.
    fn tell_of_guest(&mut self) {
        let vm = self.vm.clone();
        self.keep_waiting(|waiter| {
            let state = vm.with_session(|session| session.watch_state(waiter.id()));
            waiter.tell(state)
        });
    }

    /// Tell those who wait of their events.
    fn tell(&mut self, batch: &Batch) {
        if self.waiters.is_empty() {
            return;
        }
        let name = self.vm.name().to_string();
        let mut told: Vec<Vec<(u64, String)>> = vec![Vec::new(); self.waiters.len()];
        for piece in &batch.pieces {
            let (channel, vcpu) = (piece.stream.channel, piece.stream.vcpu);
            for event in Events::new(&batch.schema, channel, &piece.content, piece.begin) {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        // Who sees all is told by what comes next.
                        if self.watchers.is_empty() {
                            self.vm
                                .complain(format_args!("vCPU {vcpu}: unreadable events: {error}"));
                        }
                        break;
                    }
                };
                for (waiter, told) in self.waiters.iter_mut().zip(&mut told) {
                    if waiter.wants(batch.trace.epoch, &batch.schema, vcpu, &event) {
                        let json = Json {
                            vm: Some(&name),
                            vcpu,
                            event: &event,
                        };
                        let line = serde_json::to_string(&json).unwrap_or_default();
                        told.push((event.stamp, line));
                    }
                }
            }
        }
        let mut told = told.into_iter();
        self.keep_waiting(|waiter| {
            let mut events = told.next().unwrap_or_default();
            // Stable: those of one vCPU keep their order.
            events.sort_by_key(|(stamp, _)| *stamp);
            let lines = events.into_iter().map(|(_, line)| line).collect();
            waiter.show(lines, batch.missed, batch.lost)?;
            Ok(true)
        });
    }

    fn show(&mut self, batch: Batch) {
        if self.watchers.is_empty() {
            return;
        }
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
                line.json = serde_json::to_string(&Json {
                    vm: None,
                    vcpu,
                    event,
                })
                .unwrap_or_default();
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
