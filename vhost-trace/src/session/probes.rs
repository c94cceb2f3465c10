//! Probe definitions that the user wants, whether or not a guest is there to
//! have them, and what has become of each.

use std::sync::Arc;

use host_sink::schema::{EventClass, Schema};

use crate::probe::Definition;
use crate::session::commands::{Command, Outcome, TIMEOUT};
use crate::session::{Guest, Session};
use crate::wire::{self, probe};

/// A definition, and where it is.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it is.
    pub definition: Definition,
    /// The set that it is of.
    pub set: Option<String>,
    /// Where it is.
    pub state: State,
    /// It has been taken by a driver, or by nobody yet: an error does not end it.
    settled: bool,
}

/// Where a definition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No driver has it.
    Waiting,
    /// The driver was told, by this command.
    Sent(u32),
    /// The driver has it.
    On,
    /// The driver cannot have it, for this reason.
    Failed(String),
}

/// A wish that is not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Refused {
    #[error("there is a probe definition {0} already: `vhost-trace probe del` takes it away")]
    Exists(String),
    #[error(
        "there is no probe definition {0}; `vhost-trace probe list` shows those that there are"
    )]
    None(String),
    #[error("there is no probe definition of a set {0}")]
    NoSet(String),
    #[error("more than {} probe definitions: delete some first", probe::MAX)]
    Many,
    #[error(
        "the guest's driver is too old for probe definitions: install the driver of this \
         vhost-trace in the guest"
    )]
    Driver,
}

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub struct Probes(Vec<Probe>);

impl Probes {
    /// Whether one that the driver has makes events of this class.
    pub fn has_class(&self, class: &EventClass) -> bool {
        let mut on = self.0.iter().filter(|probe| probe.state == State::On);
        on.any(|probe| is_class(&probe.definition, class))
    }

    /// Ids of their classes.
    pub fn ids<'a>(&'a self, schema: &'a Schema) -> impl Iterator<Item = u16> + 'a {
        let classes: Vec<&Arc<EventClass>> = schema.iter().collect();
        self.0.iter().filter_map(move |probe| {
            let mut classes = classes.iter();
            classes
                .find(|class| is_class(&probe.definition, class))
                .map(|class| class.id)
        })
    }

    /// The driver is gone, and the next one is told of all of them.
    pub fn forget_driver(&mut self) {
        for probe in &mut self.0 {
            probe.state = State::Waiting;
            probe.settled = true;
        }
    }
}

fn is_class(definition: &Definition, class: &EventClass) -> bool {
    class.name == definition.name() && class.fields == definition.class().fields
}

impl Session {
    /// All definitions, in the order in which they came.
    pub fn probes(&self) -> &[Probe] {
        &self.probes.0
    }

    /// Want these, too: all are taken, or none. Those that a driver gets at once
    /// are forgotten if it cannot have them. Returns the numbers of the commands
    /// that this takes.
    pub fn add_probes(
        &mut self,
        new: Vec<(Definition, Option<String>)>,
    ) -> Result<Vec<u32>, Refused> {
        if self.guest.is_some() && !self.can_probe() {
            return Err(Refused::Driver);
        }
        let known = self.probes.0.len();
        if known + new.len() > probe::MAX {
            return Err(Refused::Many);
        }
        for (definition, set) in new {
            let name = definition.name();
            let mut all = self.probes.0.iter();
            if all.any(|probe| probe.definition.name() == name) {
                let name = name.to_owned();
                self.probes.0.truncate(known);
                return Err(Refused::Exists(name));
            }
            self.probes.0.push(Probe {
                definition,
                set,
                state: State::Waiting,
                settled: !self.guest.as_ref().is_some_and(Guest::is_ready),
            });
        }
        Ok(self.send_probes())
    }

    /// Take these away; returns each with the number of the command that this
    /// takes, if a driver has it.
    pub fn delete_probes(
        &mut self,
        names: &[String],
    ) -> Result<Vec<(Probe, Option<u32>)>, Refused> {
        let is = |probe: &Probe, name: &String| probe.definition.name() == name;
        let unknown = |name: &&String| !self.probes.0.iter().any(|probe| is(probe, name));
        if let Some(name) = names.iter().find(unknown) {
            return Err(Refused::None(name.clone()));
        }
        let of_these = |probe: &mut Probe| names.iter().any(|name| is(probe, name));
        let gone: Vec<Probe> = self.probes.0.extract_if(.., of_these).collect();
        let gone = gone.into_iter().map(|probe| {
            let there = matches!(probe.state, State::On | State::Sent(_));
            let name = probe.definition.name().to_owned();
            let seq = there.then(|| self.command(Command::ProbeDel(name)));
            (probe, seq.flatten())
        });
        Ok(gone.collect())
    }

    /// Names of the definitions of a set.
    pub fn probes_of(&self, set: &str) -> Result<Vec<String>, Refused> {
        let of_it = self
            .probes
            .0
            .iter()
            .filter(|probe| probe.set.as_deref() == Some(set));
        let names: Vec<String> = of_it
            .map(|probe| probe.definition.name().to_owned())
            .collect();
        if names.is_empty() {
            return Err(Refused::NoSet(set.to_owned()));
        }
        Ok(names)
    }

    /// Ask the driver what its definitions have counted; returns the number of
    /// the command for each that it has.
    pub fn count_probes(&mut self) -> Vec<(String, Option<u32>)> {
        let all = self.probes.0.iter().map(|probe| {
            let name = probe.definition.name().to_owned();
            (name, probe.state == State::On)
        });
        let all: Vec<(String, bool)> = all.collect();
        let asked = all.into_iter().map(|(name, on)| {
            let seq = on.then(|| self.command(Command::ProbeCounts(name.clone())));
            (name, seq.flatten())
        });
        asked.collect()
    }

    /// Tell a driver that is ready of all that it does not know.
    pub(super) fn send_probes(&mut self) -> Vec<u32> {
        let ready = self.guest.as_ref().is_some_and(Guest::is_ready);
        if !ready || !self.can_probe() {
            return Vec::new();
        }
        let mut sent = Vec::new();
        for index in 0..self.probes.0.len() {
            let probe = &self.probes.0[index];
            if probe.state != State::Waiting {
                continue;
            }
            let payload = probe.definition.payload();
            if let Some(seq) = self.command(Command::ProbeAdd(payload)) {
                self.probes.0[index].state = State::Sent(seq);
                sent.push(seq);
            }
        }
        sent
    }

    /// A command has a result: it may be one of a definition.
    pub(super) fn probe_answered(&mut self, seq: u32, outcome: &Outcome) {
        let sent = |probe: &Probe| probe.state == State::Sent(seq);
        let Some(index) = self.probes.0.iter().position(sent) else {
            return;
        };
        let probe = &mut self.probes.0[index];
        let name = probe.definition.name().to_owned();
        let failed = match outcome {
            Outcome::Done => None,
            Outcome::Failed(errno, text) => Some(format!("{text} (errno {errno})")),
            Outcome::TimedOut => Some(format!("no answer within {} s", TIMEOUT.as_secs())),
            Outcome::Gone => {
                probe.state = State::Waiting;
                return;
            }
        };
        match failed {
            None => {
                probe.state = State::On;
                probe.settled = true;
            }
            Some(why) if probe.settled => {
                log::warn!(
                    "VM {}: probe definition {name} is not in the guest: {why}",
                    self.vm
                );
                probe.state = State::Failed(why);
            }
            Some(_) => drop(self.probes.0.remove(index)),
        }
        // It may have come too late to be told, but not too late to be done.
        if *outcome == Outcome::TimedOut {
            self.command(Command::ProbeDel(name));
        }
    }

    fn can_probe(&self) -> bool {
        self.features & 1 << wire::F_PROBE != 0
    }
}
