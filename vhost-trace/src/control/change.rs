//! A client's wish for other events, on its way through the guest.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use super::message::Reply;
use super::pending::Pending;
use crate::session::commands::{CommandResult, Outcome, TIMEOUT};
use crate::session::desired::{Pattern, Rule};
use crate::vm::Vm;

/// A change whose commands have not all been answered.
#[derive(Debug)]
pub struct Change {
    open: BTreeSet<u32>,
    unmatched: Vec<String>,
    remembered: bool,
    errors: Vec<String>,
}

impl Change {
    /// Make it so, as far as it can be done at once.
    pub fn start(vm: &Vm, enable: &[String], disable: &[String]) -> Result<Change, String> {
        let (enable, disable) = (parse::<Rule>(enable)?, parse::<Pattern>(disable)?);
        let change = vm.with_session(|session| {
            let admitted = session.commands().admit();
            admitted.map_err(|busy| busy.to_string())?;
            session
                .desire(&disable, &enable)
                .map_err(|error| error.to_string())?;
            let open = session.reconcile().into_iter().collect();
            let known = session
                .guest()
                .is_some_and(|guest| !guest.schema.is_empty());
            let unmatched = enable
                .iter()
                .map(|rule| &rule.pattern)
                .chain(&disable)
                .filter(|pattern| known && !session.has_match(pattern));
            Ok::<_, String>(Change {
                open,
                unmatched: unmatched.map(Pattern::to_string).collect(),
                remembered: !known,
                errors: Vec::new(),
            })
        })?;
        vm.queues().wake();
        Ok(change)
    }
}

impl Pending for Change {
    fn note(&mut self, result: &CommandResult) {
        if !self.open.remove(&result.seq) {
            return;
        }
        match &result.outcome {
            Outcome::Done => {}
            Outcome::Failed(errno, text) if text.is_empty() => {
                self.errors
                    .push(format!("the guest's driver failed with errno {errno}"));
            }
            Outcome::Failed(errno, text) => self.errors.push(format!("{text} (errno {errno})")),
            Outcome::TimedOut => self.errors.push(format!(
                "the guest's driver has not answered within {} s; is the guest paused?",
                TIMEOUT.as_secs()
            )),
            Outcome::Gone => self.remembered = true,
        }
    }

    fn reply(&mut self, vm: &Vm) -> Option<Reply> {
        self.open.is_empty().then(|| Reply::Changed {
            enabled: vm
                .with_session(|session| session.driver_status().map_or(0, |driver| driver.enabled)),
            unmatched: self.unmatched.clone(),
            remembered: self.remembered,
            errors: self.errors.clone(),
        })
    }
}

/// What a client has written.
pub fn parse<T: FromStr<Err: Display>>(texts: &[String]) -> Result<Vec<T>, String> {
    let parsed = texts.iter().map(|text| text.parse());
    parsed
        .collect::<Result<_, T::Err>>()
        .map_err(|error| error.to_string())
}
