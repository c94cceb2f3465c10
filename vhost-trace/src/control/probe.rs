//! A client's wish about probe definitions, on its way through the guest.

use std::collections::BTreeMap;

use super::message::{NewProbe, Probe, ProbeAction, Reply};
use super::pending::Pending;
use crate::probe::Definition;
use crate::session::commands::{CommandResult, Outcome, TIMEOUT};
use crate::session::probes::{self, State};
use crate::vm::Vm;

/// Bytes of a set's name.
const MAX_SET: usize = 63;

/// A wish whose commands have not all been answered.
#[derive(Debug)]
pub struct ProbeWish {
    /// Commands without an answer, each with the place of its definition.
    open: BTreeMap<u32, usize>,
    probes: Vec<Probe>,
    /// If one cannot be, none is.
    adds: bool,
    remembered: bool,
    errors: Vec<String>,
}

impl ProbeWish {
    /// Make it so, as far as it can be done at once.
    pub fn start(vm: &Vm, action: ProbeAction) -> Result<ProbeWish, String> {
        let wish = match action {
            ProbeAction::Add(new) => add(vm, &new)?,
            ProbeAction::Delete(names) => delete(vm, &names)?,
            ProbeAction::DeleteSet(set) => {
                let names = vm.with_session(|session| session.probes_of(&set));
                delete(vm, &names.map_err(|error| error.to_string())?)?
            }
            ProbeAction::List => list(vm),
        };
        vm.queues().wake();
        Ok(wish)
    }
}

fn add(vm: &Vm, new: &[NewProbe]) -> Result<ProbeWish, String> {
    let mut definitions = Vec::new();
    for probe in new {
        if let Some(set) = probe.set.as_ref().filter(|set| !is_set_name(set)) {
            return Err(format!(
                "{set:?} is no name of a set: use up to {MAX_SET} of A-Z a-z 0-9 _ . -"
            ));
        }
        let definition = Definition::new(&probe.define, probe.rate);
        let definition = definition.map_err(|error| error.to_string())?;
        definitions.push((definition, probe.set.clone()));
    }
    let names: Vec<String> = definitions
        .iter()
        .map(|(definition, _)| definition.name().to_owned())
        .collect();
    vm.with_session(|session| {
        let sent = session.add_probes(definitions);
        let sent = sent.map_err(|error| error.to_string())?;
        let all = session.probes();
        let mine = |name: &String| all.iter().find(|probe| probe.definition.name() == name);
        let mine: Vec<&probes::Probe> = names.iter().filter_map(mine).collect();
        let place = |seq: &u32| {
            mine.iter()
                .position(|probe| probe.state == State::Sent(*seq))
        };
        Ok(ProbeWish {
            open: sent
                .iter()
                .filter_map(|seq| Some((*seq, place(seq)?)))
                .collect(),
            probes: mine.into_iter().map(described).collect(),
            adds: true,
            remembered: sent.is_empty(),
            errors: Vec::new(),
        })
    })
}

fn is_set_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (1..=MAX_SET).contains(&name.len()) && name.chars().all(good)
}

fn delete(vm: &Vm, names: &[String]) -> Result<ProbeWish, String> {
    let gone = vm.with_session(|session| session.delete_probes(names));
    let gone = gone.map_err(|error| error.to_string())?;
    Ok(ProbeWish {
        open: open(gone.iter().map(|(_, seq)| *seq)),
        probes: gone.iter().map(|(probe, _)| described(probe)).collect(),
        adds: false,
        remembered: false,
        errors: Vec::new(),
    })
}

fn list(vm: &Vm) -> ProbeWish {
    vm.with_session(|session| {
        let asked = session.count_probes();
        ProbeWish {
            open: open(asked.iter().map(|(_, seq)| *seq)),
            probes: session.probes().iter().map(described).collect(),
            adds: false,
            remembered: false,
            errors: Vec::new(),
        }
    })
}

fn open(commands: impl Iterator<Item = Option<u32>>) -> BTreeMap<u32, usize> {
    let places = commands.enumerate();
    places
        .filter_map(|(place, seq)| Some((seq?, place)))
        .collect()
}

fn described(probe: &probes::Probe) -> Probe {
    Probe {
        name: probe.definition.name().to_owned(),
        define: probe.definition.text().to_owned(),
        rate: probe.definition.rate(),
        set: probe.set.clone(),
        state: match &probe.state {
            State::Waiting => "waits for the guest's driver".into(),
            State::Sent(_) => "the guest's driver was told".into(),
            State::On => "on".into(),
            State::Failed(why) => format!("not in the guest: {why}"),
        },
        counts: String::new(),
    }
}

impl Pending for ProbeWish {
    fn note(&mut self, result: &CommandResult) {
        let Some(place) = self.open.remove(&result.seq) else {
            return;
        };
        let Some(probe) = self.probes.get_mut(place) else {
            return;
        };
        let mut failed = |why: String| {
            self.errors
                .push(format!("probe definition {}: {why}", probe.name));
        };
        match &result.outcome {
            Outcome::Done => probe.counts = result.said.join(" "),
            Outcome::Failed(errno, text) => failed(format!("{text} (errno {errno})")),
            Outcome::TimedOut => failed(format!(
                "the guest's driver has not answered within {} s; is the guest paused?",
                TIMEOUT.as_secs()
            )),
            Outcome::Gone => self.remembered = true,
        }
    }

    fn reply(&mut self, vm: &Vm) -> Option<Reply> {
        if !self.open.is_empty() {
            return None;
        }
        if self.adds && !self.errors.is_empty() {
            vm.with_session(|session| {
                let there = |probe: &&Probe| {
                    let mut all = session.probes().iter();
                    all.any(|known| known.definition.name() == probe.name)
                };
                let names = self.probes.iter().filter(there);
                let names: Vec<String> = names.map(|probe| probe.name.clone()).collect();
                // All of them are there: nobody else has had the session since.
                let _ = session.delete_probes(&names);
            });
            vm.queues().wake();
        }
        Some(Reply::Probes {
            probes: self.probes.clone(),
            remembered: self.remembered,
            errors: self.errors.clone(),
        })
    }
}
