//! What the rules come to for the events that there are.

use std::collections::BTreeMap;

use host_sink::schema::{EventClass, Schema};

use crate::filter::{CompileError, Filter, Program};
use crate::session::desired::{Desired, Rule};
use crate::wire;

/// Which events to enable, and with what.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Events by id; those without a program are recorded all.
    pub wanted: BTreeMap<u16, Option<Program>>,
    /// Rules whose filter an event cannot have, which is off then.
    pub unfit: Vec<(&'a Rule, Unfit)>,
}

/// Why an event cannot have a filter.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unfit {
    /// Its fields are others.
    #[error(transparent)]
    Fields(#[from] CompileError),
    /// It is no event that comes and goes.
    #[error("event {0} is part of the state dump, which is always written as a whole")]
    State(String),
    /// Its driver knows no filters.
    #[error(
        "the guest's driver is too old for the filter of event {0}: install the driver of this \
         vhost-trace in the guest"
    )]
    Driver(String),
}

impl Unfit {
    /// Whether a pattern that means many events may mean this one without its
    /// filter being wrong.
    fn is_other_event(&self) -> bool {
        matches!(
            self,
            Unfit::State(_) | Unfit::Fields(CompileError::NoField { .. })
        )
    }
}

/// What has become of one rule.
#[derive(Default)]
struct Fate {
    fits: bool,
    other: Option<Unfit>,
    wrong: Option<Unfit>,
}

impl<'a> Plan<'a> {
    /// For a driver with this schema.
    pub fn new(desired: &'a Desired, schema: &Schema, can_filter: bool) -> Plan<'a> {
        let mut plan = Plan::default();
        let mut fates: BTreeMap<usize, (&Rule, Fate)> = BTreeMap::new();
        for class in schema.iter() {
            let Some((index, rule)) = desired.rule_of(&class.name) else {
                continue;
            };
            let Some(filter) = &rule.filter else {
                plan.wanted.insert(class.id, None);
                continue;
            };
            let (_, fate) = fates.entry(index).or_insert((rule, Fate::default()));
            match program(filter, class, can_filter) {
                Ok(program) => {
                    plan.wanted.insert(class.id, Some(program));
                    fate.fits = true;
                }
                Err(unfit) if unfit.is_other_event() => {
                    fate.other.get_or_insert(unfit);
                }
                Err(unfit) => {
                    fate.wrong.get_or_insert(unfit);
                }
            }
        }
        for (rule, fate) in fates.into_values() {
            let other = fate.other.filter(|_| !fate.fits);
            if let Some(unfit) = fate.wrong.or(other) {
                plan.unfit.push((rule, unfit));
            }
        }
        plan
    }
}

fn program(filter: &Filter, class: &EventClass, can_filter: bool) -> Result<Program, Unfit> {
    if !can_filter {
        return Err(Unfit::Driver(class.name.clone()));
    }
    if class.channel == wire::CHANNEL_STATE {
        return Err(Unfit::State(class.name.clone()));
    }
    Ok(filter.compile(class)?)
}
