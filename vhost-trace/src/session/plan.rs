//! What the rules and the watches come to for the events that there are.

use std::collections::BTreeMap;

use host_sink::schema::{EventClass, Schema};

use crate::filter::{CompileError, Filter, Program, Recorded};
use crate::session::desired::{Desired, Rule};
use crate::session::watch::{WatchId, Watches};
use crate::wire;

/// Which events to enable, and with what.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Events by id; those without a program are recorded all.
    pub wanted: BTreeMap<u16, Option<Program>>,
    /// Rules whose filter an event cannot have, which is off then.
    pub unfit: Vec<(&'a Rule, Unfit)>,
    /// The watches' events.
    pub watched: BTreeMap<WatchId, Vec<u16>>,
    /// Watches that cannot be.
    pub unfit_watches: BTreeMap<WatchId, Unfit>,
}

/// Why an event cannot have a filter, or be watched.
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
    /// Its driver cannot be told to wake anybody.
    #[error(
        "the guest's driver is too old for a watch of event {0}: install the driver of this \
         vhost-trace in the guest"
    )]
    Watch(String),
    /// The host cannot tell which events were recorded for a watch.
    #[error(
        "event {event} is watched by ${context}, which its events do not carry, and is recorded \
         for something else, too: give serve --context {context}, or disable the event"
    )]
    Blind {
        /// The event.
        event: String,
        /// What the watch looks at.
        context: &'static str,
    },
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

impl Fate {
    fn note(&mut self, unfit: Option<Unfit>) {
        match unfit {
            None => self.fits = true,
            Some(unfit) if unfit.is_other_event() => {
                self.other.get_or_insert(unfit);
            }
            Some(unfit) => {
                self.wrong.get_or_insert(unfit);
            }
        }
    }

    fn unfit(self) -> Option<Unfit> {
        let other = self.other.filter(|_| !self.fits);
        self.wrong.or(other)
    }
}

/// What a driver can do.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    filter: bool,
    watch: bool,
}

impl Abilities {
    /// Of a driver that has acknowledged these features.
    pub fn new(features: u64) -> Abilities {
        let filter = features & 1 << wire::F_FILTER != 0;
        Abilities {
            filter,
            watch: filter && features & 1 << wire::F_WATCH != 0,
        }
    }
}

impl<'a> Plan<'a> {
    /// For a driver with this schema.
    pub fn new(
        desired: &'a Desired,
        watches: &Watches,
        schema: &Schema,
        can: Abilities,
    ) -> Plan<'a> {
        let mut plan = Plan::default();
        let mut fates: BTreeMap<usize, (&Rule, Fate)> = BTreeMap::new();
        let mut watch_fates: BTreeMap<(WatchId, usize), Fate> = BTreeMap::new();
        for class in schema.iter() {
            let mut recorded = Recorded::Nothing;
            if let Some((index, rule)) = desired.rule_of(&class.name) {
                match &rule.filter {
                    None => recorded = Recorded::All,
                    Some(filter) => {
                        let (_, fate) = fates.entry(index).or_insert((rule, Fate::default()));
                        let program = program(filter, class, can);
                        if let Ok(program) = &program {
                            plan.wanted.insert(class.id, Some(program.clone()));
                            recorded = Recorded::Passing(filter);
                        }
                        fate.note(program.err());
                    }
                }
            }
            if matches!(recorded, Recorded::All) {
                plan.wanted.insert(class.id, None);
            }
            let wishes: Vec<_> = watches.of(&class.name).collect();
            let filters: Vec<_> = wishes
                .iter()
                .map(|(_, rule)| rule.filter.as_ref())
                .collect();
            let mut included = Vec::new();
            for (at, rule) in &wishes {
                let fits = watch(rule, class, can, recorded, &filters, schema);
                if fits.is_ok() {
                    plan.watched.entry(at.0).or_default().push(class.id);
                    if !included.contains(&rule.filter.as_ref()) {
                        included.push(rule.filter.as_ref());
                    }
                }
                watch_fates.entry(*at).or_default().note(fits.err());
            }
            if included.is_empty() {
                continue;
            }
            if is_of_module(class) {
                // The guest cannot look at what its events say; the host does.
                included = vec![None];
            }
            match Program::watching(class, recorded, &included) {
                Ok(program) => drop(plan.wanted.insert(class.id, Some(program))),
                Err(error) => {
                    for (at, _) in &wishes {
                        let fate = watch_fates.entry(*at).or_default();
                        fate.note(Some(error.clone().into()));
                    }
                }
            }
        }
        for (rule, fate) in fates.into_values() {
            plan.unfit.extend(fate.unfit().map(|unfit| (rule, unfit)));
        }
        for ((id, _), fate) in watch_fates {
            if let Some(unfit) = fate.unfit() {
                plan.unfit_watches.entry(id).or_insert(unfit);
            }
        }
        plan
    }
}

fn program(filter: &Filter, class: &EventClass, can: Abilities) -> Result<Program, Unfit> {
    if !can.filter {
        return Err(Unfit::Driver(class.name.clone()));
    }
    if class.channel == wire::CHANNEL_STATE {
        return Err(Unfit::State(class.name.clone()));
    }
    Ok(filter.compile(class)?)
}

/// Whether this event can be watched so, while it is `recorded` as the rules
/// have it, and watched with all of `filters`.
fn watch(
    rule: &Rule,
    class: &EventClass,
    can: Abilities,
    recorded: Recorded<'_>,
    filters: &[Option<&Filter>],
    schema: &Schema,
) -> Result<(), Unfit> {
    if class.channel == wire::CHANNEL_STATE {
        return Err(Unfit::State(class.name.clone()));
    }
    if !can.watch {
        return Err(Unfit::Watch(class.name.clone()));
    }
    let Some(filter) = &rule.filter else {
        return Ok(());
    };
    filter.compile(class)?;
    let Some(context) = filter.missing_context(schema.contexts(class.channel)) else {
        return Ok(());
    };
    let is_alone = matches!(recorded, Recorded::Nothing)
        && filters.iter().all(|other| *other == Some(filter))
        && !is_of_module(class);
    if is_alone {
        return Ok(());
    }
    Err(Unfit::Blind {
        event: class.name.clone(),
        context: context.name,
    })
}

/// Whether its fields are none that the guest's driver knows.
fn is_of_module(class: &EventClass) -> bool {
    class.id >= wire::FIRST_CLASS
}
