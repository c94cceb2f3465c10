//! Events that somebody waits for: what is to be watched, and how far the guest
//! is with it.

use std::collections::{BTreeMap, BTreeSet};

use super::commands::{CommandResult, Outcome, TIMEOUT};
use super::desired::{Pattern, Rule};
use super::enable::Unwanted;
use super::plan::{Abilities, Plan};
use super::{Guest, Phase, Session};

/// Rules of one watch, at most.
const MAX_RULES: usize = 16;

/// Which watch; no other ever has the same.
pub type WatchId = u64;

/// All watches.
#[derive(Debug, Default)]
pub struct Watches {
    last: WatchId,
    all: BTreeMap<WatchId, Watch>,
    told: Option<Progress>,
}

/// One of them.
#[derive(Debug)]
struct Watch {
    rules: Vec<Rule>,
    events: Vec<String>,
    // Commands for it that have no result yet.
    open: BTreeSet<u32>,
    failed: Option<String>,
}

/// How far a watch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// There is no driver, or it does not have the events.
    Waiting,
    /// The driver has been asked.
    Asked,
    /// These events wake us.
    Armed(Vec<String>),
    /// It cannot be; why.
    Failed(String),
}

/// What the state of any watch depends on.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    guest: Option<(u64, Phase, bool)>,
    open: usize,
    failed: usize,
}

impl Watches {
    /// The rules that mean events of this name, with their places.
    pub fn of(&self, name: &str) -> impl Iterator<Item = ((WatchId, usize), &Rule)> {
        let rules = self.all.iter().flat_map(|(id, watch)| {
            let rules = watch.rules.iter().enumerate();
            rules.map(move |(index, rule)| ((*id, index), rule))
        });
        rules.filter(move |(_, rule)| rule.pattern.matches(name))
    }

    /// The watches that a plan would end.
    pub fn ended_by(&self, plan: &Plan<'_>) -> Option<String> {
        let mut unfit = plan.unfit_watches.iter();
        let (_, why) = unfit.find(|(id, _)| self.all[id].failed.is_none())?;
        Some(why.to_string())
    }

    /// Take note of what a driver was asked to do.
    pub fn asked(&mut self, plan: &Plan<'_>, guest: &Guest, asked: &[(u32, Vec<u16>)]) {
        for (id, watch) in &mut self.all {
            if let Some(unfit) = plan.unfit_watches.get(id) {
                watch.failed = Some(unfit.to_string());
            }
            let ids = plan.watched.get(id).map_or(&[][..], Vec::as_slice);
            let classes = ids.iter().filter_map(|id| guest.schema.get(*id));
            watch.events = classes.map(|class| class.name.clone()).collect();
            for (seq, of) in asked {
                if of.iter().any(|id| ids.contains(id)) {
                    watch.open.insert(*seq);
                }
            }
        }
    }

    /// Take note of a result.
    pub fn note(&mut self, result: &CommandResult) {
        for watch in self.all.values_mut() {
            if !watch.open.remove(&result.seq) {
                continue;
            }
            match &result.outcome {
                Outcome::Done | Outcome::Gone => {}
                Outcome::Failed(errno, text) => {
                    watch.failed = Some(format!("{text} (errno {errno} of the guest's driver)"));
                }
                Outcome::TimedOut => {
                    watch.failed = Some(format!(
                        "the guest's driver has not answered within {} s; is the guest paused?",
                        TIMEOUT.as_secs()
                    ));
                }
            }
        }
    }
}

impl Session {
    /// Have the guest wake us at these events, until [`Session::unwatch`].
    pub fn watch(&mut self, rules: Vec<Rule>) -> Result<WatchId, Unwanted> {
        if rules.is_empty() || rules.len() > MAX_RULES {
            return Err(Unwanted::Number);
        }
        self.watches.last += 1;
        let id = self.watches.last;
        let watch = Watch {
            rules,
            events: Vec::new(),
            open: BTreeSet::new(),
            failed: None,
        };
        self.watches.all.insert(id, watch);
        if let Err(error) = self.check_watch(id) {
            self.watches.all.remove(&id);
            return Err(error);
        }
        if let Some(guest) = &mut self.guest {
            guest.unsettled = true;
        }
        Ok(id)
    }

    fn check_watch(&self, id: WatchId) -> Result<(), Unwanted> {
        let Some(guest) = self.guest.as_ref().filter(|guest| !guest.schema.is_empty()) else {
            return Ok(());
        };
        let can = Abilities::new(self.features);
        let mut plan = Plan::new(&self.desired, &self.watches, &guest.schema, can);
        if let Some(unfit) = plan.unfit_watches.remove(&id) {
            return Err(unfit.into());
        }
        if let Some(why) = self.watches.ended_by(&plan) {
            return Err(Unwanted::Watched(why));
        }
        let rules = self.watches.all[&id].rules.iter();
        let mut patterns = rules.map(|rule| &rule.pattern);
        match patterns.find(|pattern| !self.has_match(pattern)) {
            Some(pattern) => Err(Unwanted::NoEvent(Pattern::clone(pattern))),
            None => Ok(()),
        }
    }

    /// Nobody waits any more.
    pub fn unwatch(&mut self, id: WatchId) {
        self.watches.all.remove(&id);
        if let Some(guest) = &mut self.guest {
            guest.unsettled = true;
        }
    }

    /// How far a watch is.
    pub fn watch_state(&self, id: WatchId) -> WatchState {
        let Some(watch) = self.watches.all.get(&id) else {
            return WatchState::Failed("there is no such watch".into());
        };
        if let Some(why) = &watch.failed {
            return WatchState::Failed(why.clone());
        }
        let Some(guest) = self.guest.as_ref().filter(|guest| guest.is_ready()) else {
            return WatchState::Waiting;
        };
        if guest.unsettled || !watch.open.is_empty() {
            return WatchState::Asked;
        }
        if watch.events.is_empty() {
            return WatchState::Waiting;
        }
        WatchState::Armed(watch.events.clone())
    }

    /// Whether the state of a watch may be another than when this was last
    /// asked.
    pub fn take_watch_news(&mut self) -> bool {
        let watches = self.watches.all.values();
        let progress = (!self.watches.all.is_empty()).then(|| Progress {
            guest: self
                .guest
                .as_ref()
                .map(|guest| (guest.epoch, guest.phase, guest.began && !guest.unsettled)),
            open: watches.clone().map(|watch| watch.open.len()).sum(),
            failed: watches.filter(|watch| watch.failed.is_some()).count(),
        });
        let has_news = progress.is_some() && self.watches.told != progress;
        self.watches.told = progress;
        has_news
    }
}
