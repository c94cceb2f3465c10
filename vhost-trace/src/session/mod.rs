//! What the device knows of the driver, and what becomes of its requests.
//!
//! A session lasts as long as `serve`. It changes under one lock and touches
//! nothing else: what the drain has to do about a request is queued as a
//! [`Message`] and handed over by the caller.

pub mod commands;
pub mod desired;
mod enable;
mod hello;
mod lent;
mod plan;
pub mod probes;
mod refusal;
mod request;
mod rings;
mod root;
#[cfg(test)]
mod tests;
pub mod uploads;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use host_sink::escape::escaped;
use host_sink::schema::Schema;
use vm_memory::GuestMemoryMmap;

use crate::context::CONTEXTS;
use crate::control::{DriverStatus, Policy};
use crate::drain::Message;
use crate::filter::Program;
use crate::guest::GuestMap;
use crate::guest::ranges::Ranges;
use crate::wire;

use commands::{Command, CommandResult, Commands, Outcome};
use desired::Desired;
use lent::Lent;
use uploads::Uploads;
use watch::Watches;

pub use hello::Driver;
pub use request::Answer;
pub use rings::Ring;
pub use root::Root;
pub use watch::{WatchId, WatchState};

/// The guest's memory at the moment of a request.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// The table that the queues use.
    pub mem: &'a GuestMemoryMmap,
    /// The same, with what keeps its mappings.
    pub map: &'a GuestMap,
}

/// Whether the device may write the rings of this guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The epoch lives.
    Live,
    /// The device was stopped: the rings may be read, not written.
    Stopped,
    /// It runs again and has asked the driver to acknowledge this epoch.
    Asked(u64),
}

/// A driver that has said HELLO, and what it has registered.
#[derive(Debug)]
pub struct Guest {
    /// Who it is.
    pub driver: Driver,
    /// Its epoch.
    pub epoch: u64,
    /// Whether the epoch lives.
    pub phase: Phase,
    /// All its events.
    pub schema: Arc<Schema>,
    root: Option<Root>,
    rings: BTreeMap<u32, Ring>,
    ranges: Ranges,
    schema_bytes: usize,
    enabled: BTreeMap<u16, Option<Program>>,
    lent: Lent,
    // Filters that events cannot have, which are off for that.
    unfit: Vec<String>,
    // Classes that are or were of a probe definition.
    probe_ids: BTreeSet<u16>,
    began: bool,
    // What is enabled may not be what the user wants.
    unsettled: bool,
    policy: Option<Policy>,
}

/// The state of the protocol.
#[derive(Debug)]
pub struct Session {
    vm: String,
    config: wire::Config,
    features: u64,
    epoch: u64,
    guest: Option<Guest>,
    last_ticket: u64,
    hellos: hello::Allowance,
    commands: Commands,
    desired: Desired,
    uploads: Uploads,
    probes: probes::Probes,
    watches: Watches,
    messages: Vec<Message>,
    results: Vec<CommandResult>,
    complaints: Vec<String>,
}

impl Session {
    /// A session without a driver.
    pub fn new(vm: String, config: wire::Config) -> Session {
        Session {
            vm,
            config,
            features: 0,
            epoch: 0,
            guest: None,
            last_ticket: 0,
            hellos: hello::Allowance::default(),
            commands: Commands::default(),
            desired: Desired::default(),
            uploads: Uploads::default(),
            probes: probes::Probes::default(),
            watches: Watches::default(),
            messages: Vec::new(),
            results: Vec::new(),
            complaints: Vec::new(),
        }
    }

    /// What the drain has to do, in this order.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }

    /// Commands that have got a result.
    pub fn take_results(&mut self) -> Vec<CommandResult> {
        std::mem::take(&mut self.results)
    }

    /// What the driver did wrong.
    pub fn take_complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// The driver, if there is one.
    pub fn guest(&self) -> Option<&Guest> {
        self.guest.as_ref()
    }

    /// How the driver is doing, if there is one.
    pub fn driver_status(&self) -> Option<DriverStatus> {
        let guest = self.guest.as_ref()?;
        let phase = match guest.phase {
            Phase::Live => "live",
            Phase::Stopped => "stopped",
            Phase::Asked(_) => "asked",
        };
        Some(DriverStatus {
            phase: phase.into(),
            epoch: guest.epoch,
            version: guest.driver.version,
            kernel: escaped(guest.driver.release.as_bytes()),
            nodename: escaped(guest.driver.nodename.as_bytes()),
            vcpus: guest.driver.num_vcpus,
            events: guest.schema.len(),
            enabled: guest.enabled.len(),
            lost_no_ring: guest.root.as_ref().map_or(0, Root::lost_no_ring),
            unfit: guest.unfit.clone(),
            contexts_missing: self.contexts_missing(guest),
            policy: guest.policy.clone(),
        })
    }

    /// What events were to carry and do not.
    fn contexts_missing(&self, guest: &Guest) -> Vec<String> {
        if !guest.began {
            return Vec::new();
        }
        let channels = self.config.channel.iter().zip(0..);
        let missing = channels.flat_map(|(channel, number)| {
            let there = guest.schema.contexts(number);
            CONTEXTS.iter().filter(move |context| {
                channel.contexts & context.bit() != 0
                    && !there.iter().any(|field| field.name == context.name)
            })
        });
        missing.map(|context| context.name.to_owned()).collect()
    }

    /// The epoch in which rings may be written, if any may.
    pub fn live_epoch(&self) -> Option<u64> {
        let live = self
            .guest
            .as_ref()
            .filter(|guest| guest.phase == Phase::Live);
        live.map(|guest| guest.epoch)
    }

    /// The driver has acknowledged these features.
    pub fn set_features(&mut self, features: u64) {
        self.features = features;
    }

    /// Commands on their way.
    pub fn commands(&mut self) -> &mut Commands {
        &mut self.commands
    }

    /// The queues are stopped: nothing of the guest's memory may be written
    /// until its driver agrees.
    pub fn stop(&mut self) {
        if let Some(guest) = &mut self.guest {
            guest.phase = Phase::Stopped;
        }
    }

    /// The queues run again, as they were left: ask the driver whether its
    /// rings are.
    pub fn restart(&mut self) {
        let Some(guest) = self
            .guest
            .as_mut()
            .filter(|guest| guest.phase == Phase::Stopped)
        else {
            return;
        };
        self.epoch += 1;
        guest.phase = Phase::Asked(self.epoch);
        let epoch = self.epoch;
        self.messages.push(Message::Runs);
        self.command(Command::Epoch(epoch));
    }

    /// The driver is gone: the queues were set up anew, or the front end has
    /// left.
    pub fn forget(&mut self) {
        if self.guest.take().is_some() {
            self.messages.push(Message::End);
        }
        for seq in self.commands.clear() {
            self.finish(seq, Outcome::Gone);
        }
        self.probes.forget_driver();
    }

    /// Memory has been taken away: end the rings that were in it.
    pub fn memory_changed(&mut self, memory: &Memory<'_>) {
        let Some(guest) = &mut self.guest else {
            return;
        };
        let gone: Vec<u32> = guest
            .rings
            .values()
            .filter(|ring| !ring.is_in(memory))
            .map(|ring| ring.id)
            .collect();
        for id in gone {
            let vcpu = guest.rings[&id].vcpu;
            log::error!(
                "VM {}: vCPU {vcpu}: the memory of ring {id} was removed; what it had is kept and the ring is given up",
                self.vm
            );
            rings::forget(guest, id);
            self.messages.push(Message::Remove {
                ring: id,
                ticket: None,
            });
        }
    }

    /// Give up the commands that are due.
    pub fn expire(&mut self, now: Instant) {
        for seq in self.commands.expire(now) {
            log::warn!(
                "VM {}: the guest's driver has not answered command {seq} in time",
                self.vm
            );
            self.finish(seq, Outcome::TimedOut);
        }
    }

    fn command(&mut self, command: Command) -> Option<u32> {
        match self.commands.push(command) {
            Ok(seq) => Some(seq),
            Err(error) => {
                log::error!("VM {}: {error}", self.vm);
                None
            }
        }
    }

    fn finish(&mut self, seq: u32, outcome: Outcome) {
        self.finish_with(seq, outcome, Vec::new());
    }

    fn finish_with(&mut self, seq: u32, outcome: Outcome, said: Vec<String>) {
        self.probe_answered(seq, &outcome);
        let result = CommandResult { seq, outcome, said };
        self.watches.note(&result);
        self.results.push(result);
    }
}
