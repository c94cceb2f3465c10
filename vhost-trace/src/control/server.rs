//! `serve`'s main loop: control sockets, signals, results of commands.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use event_manager::{EventOps, EventSet, Events, MutEventSubscriber};

use super::change::{self, Change};
use super::connection::Connection;
use super::message::{Envelope, Reply, Request, VERSION};
use super::module::Wish;
use super::pending::Pending;
use super::probe::ProbeWish;
use super::status::Status;
use crate::live::Live;
use crate::serve::OwnSocket;
use crate::session::desired::Rule;
use crate::signals::{self, Signals};
use crate::vm::Vm;

/// Most clients at a time.
const MAX_CLIENTS: usize = 32;

/// Where an event comes from; clients follow.
const LISTENER: u32 = 0;
const SIGNALS: u32 = 1;
const RESULTS: u32 = 2;
const TICK: u32 = 3;
const FIRST_CLIENT: u32 = 4;

/// What does not change while a VM is served.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Socket that the front end connects to.
    pub socket: String,
    /// Virtio id of the device.
    pub virtio_id: u32,
    /// When `serve` started.
    pub started: Instant,
}

/// The subscriber of all events of the main thread.
#[derive(Debug)]
pub struct Server {
    vm: Arc<Vm>,
    facts: Facts,
    socket: OwnSocket,
    signals: Signals,
    live: Live,
    clients: BTreeMap<u32, Client>,
    last_client: u32,
    ending: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Client {
    connection: Connection,
    pending: Option<Box<dyn Pending>>,
    interest: EventSet,
}

/// What becomes of a client.
#[derive(PartialEq, Eq)]
enum Next {
    Stays,
    Leaves,
    Watches { json: bool },
    Waits(Vec<Rule>),
}

impl Server {
    /// A server of one VM; `ending` is set when it is told to end.
    pub fn new(
        vm: Arc<Vm>,
        facts: Facts,
        socket: OwnSocket,
        signals: Signals,
        live: Live,
        ending: Arc<AtomicBool>,
    ) -> io::Result<Server> {
        socket.listener().set_nonblocking(true)?;
        Ok(Server {
            vm,
            facts,
            socket,
            signals,
            live,
            clients: BTreeMap::new(),
            last_client: FIRST_CLIENT,
            ending,
        })
    }

    fn end(&self, why: &str) {
        log::info!(
            "VM {}: {why}: reading and writing what there is",
            self.vm.name()
        );
        self.ending.store(true, Ordering::Relaxed);
    }

    fn accept(&mut self, ops: &mut EventOps) {
        loop {
            let stream = match self.socket.listener().accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::warn!("VM {}: control socket: {error}", self.vm.name());
                    return;
                }
            };
            if let Err(error) = self.take_in(stream, ops) {
                log::warn!(
                    "VM {}: a client of the control socket: {error}",
                    self.vm.name()
                );
            }
        }
    }

    fn take_in(&mut self, stream: UnixStream, ops: &mut EventOps) -> io::Result<()> {
        let mut connection = Connection::new(stream)?;
        if self.clients.len() >= MAX_CLIENTS {
            return connection.send(&error("too many clients at once; try again"));
        }
        self.last_client = self.last_client.wrapping_add(1).max(FIRST_CLIENT);
        let token = self.last_client;
        let events = Events::with_data_raw(connection.as_raw_fd(), token, EventSet::IN);
        ops.add(events).map_err(io::Error::other)?;
        let client = Client {
            connection,
            pending: None,
            interest: EventSet::IN,
        };
        self.clients.insert(token, client);
        Ok(())
    }

    fn serve_client(&mut self, token: u32, gone: bool, ops: &mut EventOps) {
        let Some(mut client) = self.clients.remove(&token) else {
            return;
        };
        match self.talk(&mut client) {
            Ok(Next::Stays) if !gone => self.keep(token, client, ops),
            Ok(Next::Stays | Next::Leaves) => self.forget(client, ops),
            Ok(Next::Watches { json }) => {
                forget(&client, ops);
                self.live.attach(client.connection, json);
            }
            Ok(Next::Waits(rules)) => {
                forget(&client, ops);
                self.live.attach_waiting(client.connection, rules);
            }
            Err(error) => {
                log::debug!(
                    "VM {}: a client of the control socket: {error}",
                    self.vm.name()
                );
                self.forget(client, ops);
            }
        }
    }

    /// A client has left.
    fn forget(&self, mut client: Client, ops: &mut EventOps) {
        forget(&client, ops);
        if let Some(mut pending) = client.pending.take() {
            pending.cancel(&self.vm);
        }
    }

    fn talk(&self, client: &mut Client) -> io::Result<Next> {
        client.connection.flush()?;
        for line in client.connection.read_lines()? {
            let reply = match parse(&line) {
                _ if client.pending.is_some() => error("one request at a time"),
                Err(message) => error(&message),
                Ok(Request::Live { json }) => return Ok(Next::Watches { json }),
                Ok(Request::Watch { on }) => match change::parse(&on) {
                    Ok(rules) => return Ok(Next::Waits(rules)),
                    Err(message) => error(&message),
                },
                Ok(Request::Change { enable, disable }) => {
                    let change = Change::start(&self.vm, &enable, &disable);
                    match self.begin(client, change) {
                        Some(reply) => reply,
                        None => continue,
                    }
                }
                Ok(Request::Module(wish)) => {
                    let file = client.connection.take_file();
                    match self.begin(client, Wish::start(&self.vm, wish, file)) {
                        Some(reply) => reply,
                        None => continue,
                    }
                }
                Ok(Request::Probe { action }) => {
                    let wish = ProbeWish::start(&self.vm, action);
                    match self.begin(client, wish) {
                        Some(reply) => reply,
                        None => continue,
                    }
                }
                Ok(Request::Status) => Reply::Status(Box::new(self.status())),
                Ok(Request::Events) => self.vm.with_session(|session| Reply::Events {
                    rules: session.rules(),
                    events: session.events(),
                }),
                Ok(Request::Stop) => {
                    self.end("a client asks to stop");
                    Reply::Stopping
                }
            };
            client.connection.send(&reply)?;
        }
        let finished = client.connection.is_at_end()
            && client.pending.is_none()
            && client.connection.waiting() == 0;
        Ok(if finished { Next::Leaves } else { Next::Stays })
    }

    /// The answer, if it is known already; else the client waits for it.
    fn begin<P: Pending + 'static>(
        &self,
        client: &mut Client,
        started: Result<P, String>,
    ) -> Option<Reply> {
        let mut pending = match started {
            Ok(pending) => pending,
            Err(message) => return Some(error(&message)),
        };
        let reply = pending.reply(&self.vm);
        if reply.is_none() {
            client.pending = Some(Box::new(pending));
        }
        reply
    }

    /// Keep a client and listen for what it may do next.
    fn keep(&mut self, token: u32, mut client: Client, ops: &mut EventOps) {
        let mut interest = EventSet::empty();
        if !client.connection.is_at_end() {
            interest |= EventSet::IN;
        }
        if client.connection.waiting() > 0 {
            interest |= EventSet::OUT;
        }
        if interest != client.interest {
            let events = Events::with_data_raw(client.connection.as_raw_fd(), token, interest);
            if let Err(error) = ops.modify(events) {
                log::warn!("VM {}: a client: {error}", self.vm.name());
                self.forget(client, ops);
                return;
            }
            client.interest = interest;
        }
        self.clients.insert(token, client);
    }

    fn pass_results(&mut self, ops: &mut EventOps) {
        let results = self.vm.outbox().take();
        self.live.look_at_guest();
        let waiting: Vec<u32> = self
            .clients
            .iter()
            .filter(|(_, client)| client.pending.is_some())
            .map(|(token, _)| *token)
            .collect();
        for token in waiting {
            let Some(mut client) = self.clients.remove(&token) else {
                continue;
            };
            let Some(mut pending) = client.pending.take() else {
                continue;
            };
            for result in &results {
                pending.note(result);
            }
            let sent = match pending.reply(&self.vm) {
                Some(reply) => client.connection.send(&reply),
                None => {
                    client.pending = Some(pending);
                    Ok(())
                }
            };
            match sent {
                Ok(()) => self.keep(token, client, ops),
                Err(_) => forget(&client, ops),
            }
        }
    }

    fn status(&self) -> Status {
        let (driver, rules) = self
            .vm
            .with_session(|session| (session.driver_status(), session.rules()));
        Status {
            vm: self.vm.name().to_string(),
            pid: std::process::id(),
            uptime: self.facts.started.elapsed().as_secs(),
            socket: self.facts.socket.clone(),
            virtio_id: self.facts.virtio_id,
            front_end: self.vm.is_connected(),
            driver,
            rules,
            kicks: self.vm.kicks(),
            complaints: self.vm.complaints(),
            drain: self.vm.drain().status().unwrap_or_default(),
        }
    }
}

impl MutEventSubscriber for Server {
    fn process(&mut self, events: Events, ops: &mut EventOps) {
        match events.data() {
            LISTENER => self.accept(ops),
            SIGNALS => {
                if let Some(signal) = self.signals.take() {
                    self.end(signals::name(signal));
                }
            }
            RESULTS => self.pass_results(ops),
            TICK => {
                self.vm.outbox().ticked();
                self.vm
                    .with_session(|session| session.expire(Instant::now()));
            }
            token => {
                // It is not there any more, whatever it still had to say.
                let gone = events.event_set().contains(EventSet::HANG_UP);
                self.serve_client(token, gone, ops);
            }
        }
    }

    fn init(&mut self, ops: &mut EventOps) {
        let outbox = self.vm.outbox();
        let sources: [(RawFd, u32); 4] = [
            (self.socket.listener().as_raw_fd(), LISTENER),
            (self.signals.as_raw_fd(), SIGNALS),
            (outbox.event_fd(), RESULTS),
            (outbox.timer_fd(), TICK),
        ];
        for (fd, data) in sources {
            if let Err(error) = ops.add(Events::with_data_raw(fd, data, EventSet::IN)) {
                log::error!("VM {}: cannot listen: {error}", self.vm.name());
            }
        }
    }
}

fn forget(client: &Client, ops: &mut EventOps) {
    let events = Events::empty(&client.connection);
    if let Err(error) = ops.remove(events) {
        log::debug!("a client: {error}");
    }
}

fn parse(line: &[u8]) -> Result<Request, String> {
    let envelope: Envelope =
        serde_json::from_slice(line).map_err(|error| format!("no request: {error}"))?;
    if envelope.version != VERSION {
        return Err(format!(
            "the client speaks version {}, this serve {VERSION}: use the vhost-trace that the \
             serve was started with",
            envelope.version
        ));
    }
    Ok(envelope.request)
}

fn error(message: &str) -> Reply {
    Reply::Error {
        message: message.to_owned(),
    }
}
