//! From what the user wants to commands: which events the guest has to enable
//! or disable.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::Event;
use crate::filter::{Filter, Program};
use crate::session::commands::Command;
use crate::session::desired::{Pattern, Rule, TooManyRules};
use crate::session::plan::{Abilities, Plan, Unfit};
use crate::session::{Guest, Session};

/// A wish that is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Unwanted {
    /// There are too many.
    #[error(transparent)]
    Rules(#[from] TooManyRules),
    /// Its filter is not one for the events of this guest.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Something that is watched could not be any more.
    #[error("a watch is in the way: {0}")]
    Watched(String),
    /// There is nothing to watch.
    #[error("no event is called {0}; `vhost-trace events VM --list` shows all")]
    NoEvent(Pattern),
    /// Not that many at once.
    #[error("a watch is of 1 to 16 patterns of events")]
    Number,
}

impl Session {
    /// What the user wants of all events there are and will be: all of it is
    /// taken, or nothing.
    pub fn desire(&mut self, disable: &[Pattern], enable: &[Rule]) -> Result<(), Unwanted> {
        let mut desired = self.desired.clone();
        for pattern in disable {
            desired.disable(pattern.clone())?;
        }
        for rule in enable {
            desired.enable(rule.clone())?;
        }
        if let Some(guest) = &mut self.guest {
            let can = Abilities::new(self.features);
            let mut plan = Plan::new(&desired, &self.watches, &guest.schema, can);
            for (rule, unfit) in plan.unfit.drain(..) {
                if enable.contains(rule) {
                    return Err(unfit.into());
                }
            }
            if let Some(why) = self.watches.ended_by(&plan) {
                return Err(Unwanted::Watched(why));
            }
            guest.unsettled = true;
        }
        self.desired = desired;
        Ok(())
    }

    /// The rules in force, as text.
    pub fn rules(&self) -> Vec<String> {
        self.desired.rules()
    }

    /// All events of the guest's schema, and whether each is enabled.
    pub fn events(&self) -> Vec<Event> {
        let Some(guest) = &self.guest else {
            return Vec::new();
        };
        guest
            .schema
            .iter()
            .map(|class| {
                let enabled = guest.enabled.get(&class.id);
                let rule = self.desired.rule_of(&class.name).map(|(_, rule)| rule);
                Event {
                    name: class.name.clone(),
                    enabled: enabled.is_some() || self.probes.has_class(class),
                    filter: enabled
                        .and_then(Option::as_ref)
                        .and_then(|_| rule?.filter.as_ref().map(Filter::to_string)),
                }
            })
            .collect()
    }

    /// Whether some event of the guest's schema is meant.
    pub fn has_match(&self, pattern: &Pattern) -> bool {
        let mut classes = self.guest.iter().flat_map(|guest| guest.schema.iter());
        classes.any(|class| pattern.matches(&class.name))
    }

    /// Bring the guest to what the user wants, as far as it is ready for
    /// commands; returns the numbers of those that this takes. An event whose
    /// command fails counts as enabled: the driver does what it can of a
    /// command, and disabling takes all of it back.
    pub fn reconcile(&mut self) -> Vec<u32> {
        self.send_probes();
        let ready = |guest: &&mut Guest| guest.is_ready() && guest.unsettled;
        let Some(guest) = self.guest.as_mut().filter(ready) else {
            return Vec::new();
        };
        guest.unsettled = false;
        let can = Abilities::new(self.features);
        let mut plan = Plan::new(&self.desired, &self.watches, &guest.schema, can);
        // Those are on as long as they are there, whatever the rules say; they
        // may be watched, too.
        guest.probe_ids.extend(self.probes.ids(&guest.schema));
        let watched: BTreeSet<u16> = plan.watched.values().flatten().copied().collect();
        plan.wanted
            .retain(|id, _| !guest.probe_ids.contains(id) || watched.contains(id));
        let unfit: Vec<String> = plan.unfit.iter().map(|(_, why)| why.to_string()).collect();
        for why in unfit.iter().filter(|why| !guest.unfit.contains(why)) {
            log::warn!("VM {}: an event stays off: {why}", self.vm);
        }
        guest.unfit = unfit;
        let new = plan.wanted.keys().copied();
        guest
            .lent
            .take(new.filter(|id| !guest.enabled.contains_key(id)));
        guest.lent.forget(&self.desired, &guest.schema);
        let gone = guest.enabled.keys().copied();
        let (back, off): (Vec<u16>, Vec<u16>) = gone
            .filter(|id| !plan.wanted.contains_key(id))
            .partition(|id| guest.lent.give_back(*id));
        let mut commands: Vec<Command> = Command::disable(&off).collect();
        commands.extend(Command::enable(&back));
        let mut by_program: BTreeMap<&Option<Program>, Vec<u16>> = BTreeMap::new();
        for (id, program) in &plan.wanted {
            if guest.enabled.get(id) != Some(program) {
                by_program.entry(program).or_default().push(*id);
            }
        }
        let first = guest.enabled.is_empty() && !by_program.is_empty();
        for (program, ids) in by_program {
            match program {
                None => commands.extend(Command::enable(&ids)),
                Some(program) => commands.extend(Command::filter(program, &ids)),
            }
        }
        if first {
            commands.push(Command::StateDump);
        }
        guest.enabled = std::mem::take(&mut plan.wanted);
        let mut asked = Vec::new();
        for command in commands {
            let ids = command.ids().to_vec();
            match self.commands.push(command) {
                Ok(seq) => asked.push((seq, ids)),
                Err(error) => log::error!("VM {}: {error}", self.vm),
            }
        }
        self.watches.asked(&plan, guest, &asked);
        asked.into_iter().map(|(seq, _)| seq).collect()
    }
}
