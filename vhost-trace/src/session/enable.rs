//! From what the user wants to commands: which events the guest has to enable
//! or disable.

use std::collections::BTreeSet;

use crate::control::Event;
use crate::session::commands::Command;
use crate::session::desired::{Pattern, TooManyRules};
use crate::session::{Guest, Session};

impl Session {
    /// What the user wants of all events there are and will be: all of it is
    /// taken, or nothing.
    pub fn desire(&mut self, disable: &[Pattern], enable: &[Pattern]) -> Result<(), TooManyRules> {
        let mut desired = self.desired.clone();
        for pattern in disable {
            desired.set(false, pattern.clone())?;
        }
        for pattern in enable {
            desired.set(true, pattern.clone())?;
        }
        self.desired = desired;
        if let Some(guest) = &mut self.guest {
            guest.unsettled = true;
        }
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
            .map(|class| Event {
                name: class.name.clone(),
                enabled: guest.enabled.contains(&class.id),
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
        let ready = |guest: &&mut Guest| guest.is_ready() && guest.unsettled;
        let Some(guest) = self.guest.as_mut().filter(ready) else {
            return Vec::new();
        };
        guest.unsettled = false;
        let wanted: BTreeSet<u16> = guest
            .schema
            .iter()
            .filter(|class| self.desired.wants(&class.name))
            .map(|class| class.id)
            .collect();
        let on: Vec<u16> = wanted.difference(&guest.enabled).copied().collect();
        let off: Vec<u16> = guest.enabled.difference(&wanted).copied().collect();
        let first = guest.enabled.is_empty() && !on.is_empty();
        guest.enabled = wanted;

        let mut commands: Vec<Command> = Command::disable(&off).collect();
        commands.extend(Command::enable(&on));
        if first {
            commands.push(Command::StateDump);
        }
        commands
            .into_iter()
            .filter_map(|command| self.command(command))
            .collect()
    }
}
