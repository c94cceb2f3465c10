//! One client that waits for some events.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

use host_sink::schema::{EventClass, Schema};
use host_sink::value::Event;

use crate::control::{Connection, Reply};
use crate::session::desired::Rule;
use crate::session::{WatchId, WatchState};
use crate::wire;

/// Bytes that may wait for a client; what comes then is missed.
const MAX_WAITING: usize = 1 << 20;

/// A client, what it waits for, and what it has missed.
#[derive(Debug)]
pub struct Waiter {
    connection: Connection,
    id: WatchId,
    rules: Vec<Rule>,
    // Of this epoch: what each kind of event has to pass.
    epoch: u64,
    tests: BTreeMap<u16, Test>,
    told: Option<Vec<String>>,
    missed: u64,
    lost: u64,
    told_missing: (u64, u64),
}

/// What is to be known of an event.
#[derive(Clone, Debug)]
enum Test {
    /// Nothing: all are waited for, or the guest records no others.
    Pass,
    /// Whether it passes one of these rules' filters.
    Any(Vec<usize>),
}

impl Waiter {
    /// A client that has just come, whose watch is `id`.
    pub fn new(connection: Connection, id: WatchId, rules: Vec<Rule>) -> Waiter {
        Waiter {
            connection,
            id,
            rules,
            epoch: 0,
            tests: BTreeMap::new(),
            told: None,
            missed: 0,
            lost: 0,
            told_missing: (0, 0),
        }
    }

    /// Its watch.
    pub fn id(&self) -> WatchId {
        self.id
    }

    /// Whether it waits for this event of this epoch.
    pub fn wants(&mut self, epoch: u64, schema: &Schema, vcpu: u32, event: &Event<'_>) -> bool {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.tests.clear();
        }
        let rules = &self.rules;
        let id = event.class.id;
        let test = self
            .tests
            .entry(id)
            .or_insert_with(|| test(rules, event.class, schema));
        match test {
            Test::Pass => true,
            Test::Any(which) => {
                let mut filters = which.iter().filter_map(|rule| rules[*rule].filter.as_ref());
                filters.any(|filter| filter.passes(vcpu, event) == Some(true))
            }
        }
    }

    /// Tell it of these events, and of what it may not have heard of.
    pub fn show(&mut self, events: Vec<String>, missed: u64, lost: u64) -> io::Result<()> {
        self.missed += missed;
        self.lost += lost;
        if self.connection.waiting() > MAX_WAITING {
            self.missed += events.len() as u64;
            return Ok(());
        }
        let missing = (self.missed, self.lost);
        if events.is_empty() && self.told_missing == missing {
            return Ok(());
        }
        self.told_missing = missing;
        self.connection.send(&Reply::Lines {
            lines: events,
            missed: self.missed,
            lost: self.lost,
        })
    }

    /// Tell it how far the guest is; `false`: that ends it.
    pub fn tell(&mut self, state: WatchState) -> io::Result<bool> {
        let events = match state {
            WatchState::Asked => return Ok(true),
            WatchState::Failed(message) => {
                self.connection.send(&Reply::Error { message })?;
                return Ok(false);
            }
            WatchState::Waiting => Vec::new(),
            WatchState::Armed(events) => events,
        };
        if self.told.as_ref() != Some(&events) {
            self.connection.send(&Reply::Watch {
                events: events.clone(),
            })?;
            self.told = Some(events);
        }
        Ok(true)
    }

    /// Send more of what waits; `false`: the client has gone.
    pub fn proceed(&mut self) -> io::Result<bool> {
        self.connection.flush()?;
        self.show(Vec::new(), 0, 0)?;
        // It has nothing to say any more.
        self.connection.read_lines()?;
        Ok(!self.connection.is_at_end())
    }

    /// Whether something waits to be sent.
    pub fn is_behind(&self) -> bool {
        self.connection.waiting() > 0
    }
}

impl AsRawFd for Waiter {
    fn as_raw_fd(&self) -> RawFd {
        self.connection.as_raw_fd()
    }
}

/// What events of this class have to pass.
fn test(rules: &[Rule], class: &EventClass, schema: &Schema) -> Test {
    let mut which = Vec::new();
    if class.channel == wire::CHANNEL_STATE {
        return Test::Any(which);
    }
    let carried = schema.contexts(class.channel);
    for (index, rule) in rules.iter().enumerate() {
        if !rule.pattern.matches(&class.name) {
            continue;
        }
        match &rule.filter {
            None => return Test::Pass,
            // One of the other events that the pattern means.
            Some(filter) if filter.compile(class).is_err() => {}
            // The session has seen to it that the guest looks.
            Some(filter) if filter.missing_context(carried).is_some() => return Test::Pass,
            Some(_) => which.push(index),
        }
    }
    Test::Any(which)
}
