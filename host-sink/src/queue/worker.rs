//! The sink's side of its queue: a thread that feeds it and keeps its accounts.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

use super::budget::{Cost, Shared};
use crate::ledger::{Account, ByStream, Skips};
use crate::packet::{Packet, StreamEnd};
use crate::schema::Schema;
use crate::session::Session;
use crate::sink::{Sink, SinkError};

/// What goes through the channel.
pub(super) enum Message {
    Begin(Arc<Session>, Arc<Schema>),
    Schema(Arc<Schema>),
    Packet {
        packet: Packet,
        provisional: bool,
        skips: Option<Skips>,
    },
    End {
        ends: Vec<StreamEnd>,
        skips: ByStream<Skips>,
    },
    Flush(Sender<Result<(), SinkError>>),
}

/// The sink's thread.
pub(super) struct Worker {
    name: String,
    sink: Box<dyn Sink>,
    shared: Arc<Shared>,
    accounts: ByStream<Account>,
    in_session: bool,
    /// Dropped with the thread, which wakes [`super::SinkQueue::close`].
    _alive: Sender<()>,
}

impl Worker {
    pub(super) fn new(
        name: &str,
        sink: Box<dyn Sink>,
        shared: Arc<Shared>,
        alive: Sender<()>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            sink,
            shared,
            accounts: ByStream::new(),
            in_session: false,
            _alive: alive,
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Begin(session, schema) => {
                    self.in_session = true;
                    let begun = self.sink.begin(&session, &schema);
                    self.note(begun);
                }
                Message::Schema(schema) => {
                    let taken = self.sink.schema(&schema);
                    self.note(taken);
                }
                Message::Packet {
                    packet,
                    provisional,
                    skips,
                } => {
                    let cost = Cost::from(&packet.payload);
                    self.packet(packet, provisional, skips.unwrap_or_default());
                    self.shared.finish(cost);
                }
                Message::End { ends, skips } => self.end(&ends, skips),
                Message::Flush(reply) => {
                    // Nobody waits any more if the reply cannot be sent.
                    let _ = reply.send(self.sink.flush());
                }
            }
        }
        self.end(&[], ByStream::new());
    }

    fn packet(&mut self, mut packet: Packet, provisional: bool, skips: Skips) {
        let status = &self.shared.status;
        let account = self.accounts.entry(packet.info.stream).or_default();
        let events = packet.info.events;
        status.events_lost(account.skipped(skips));
        status.events_lost(account.offered(packet.info.position, events));
        account.framing(packet.info.discarded, packet.info.end);
        packet.info.discarded = account.discarded();
        let result = match provisional {
            true => self.sink.provisional(packet),
            false => self.sink.packet(packet),
        };
        match result {
            Ok(written) => status.taken(provisional, written, account.taken(events)),
            Err(error) => status.failed(&self.name, &error),
        }
        if !provisional {
            status.events_lost(account.settle());
        }
    }

    fn end(&mut self, last_words: &[StreamEnd], skips: ByStream<Skips>) {
        for (stream, skips) in skips {
            let lost = self.accounts.entry(stream).or_default().skipped(skips);
            self.shared.status.events_lost(lost);
        }
        for last in last_words {
            self.accounts
                .entry(last.stream)
                .or_default()
                .framing(last.discarded, last.end);
        }
        let mut ends = Vec::with_capacity(self.accounts.len());
        for (stream, mut account) in std::mem::take(&mut self.accounts) {
            self.shared.status.events_lost(account.settle());
            ends.push(StreamEnd {
                stream,
                end: account.end(),
                discarded: account.discarded(),
            });
        }
        if std::mem::take(&mut self.in_session) {
            let ended = self.sink.end(&ends);
            self.note(ended);
        }
    }

    fn note(&self, result: Result<(), SinkError>) {
        if let Err(error) = result {
            self.shared.status.failed(&self.name, &error);
        }
    }
}
