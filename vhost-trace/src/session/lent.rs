//! Classes of other modules are on by themselves when they come. One that is
//! watched and no rule's is on again afterwards, if it was before.

use std::collections::BTreeSet;

use host_sink::schema::Schema;

use super::desired::Desired;
use crate::wire::FIRST_CLASS;

/// How classes of other modules were before they were watched.
#[derive(Debug, Default)]
pub struct Lent {
    on: BTreeSet<u16>,
    off: BTreeSet<u16>,
}

impl Lent {
    /// These are to be enabled that were not.
    pub fn take(&mut self, ids: impl Iterator<Item = u16>) {
        for id in ids.filter(|id| *id >= FIRST_CLASS) {
            if !self.off.remove(&id) {
                self.on.insert(id);
            }
        }
    }

    /// What a rule wants is not as it was any more.
    pub fn forget(&mut self, desired: &Desired, schema: &Schema) {
        let is_rules = |id: &u16| {
            let class = schema.get(*id);
            class.is_some_and(|class| desired.rule_of(&class.name).is_some())
        };
        self.on.retain(|id| !is_rules(id));
    }

    /// Whether this one, which is not wanted any more, was on before.
    pub fn give_back(&mut self, id: u16) -> bool {
        let was_on = self.on.remove(&id);
        if !was_on && id >= FIRST_CLASS {
            self.off.insert(id);
        }
        was_on
    }
}
