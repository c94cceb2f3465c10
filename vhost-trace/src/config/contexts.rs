//! The contexts that events are to carry.

use crate::context::{CONTEXTS, Context};

/// A set of contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contexts(u32);

/// A context that events cannot carry.
#[derive(Debug, thiserror::Error)]
#[error("no event can carry a context {0:?}: use any of {list}", list = names())]
pub struct BadContext(String);

impl Contexts {
    /// Those with these names.
    pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Contexts, BadContext> {
        names.iter().try_fold(Contexts(0), |all, name| {
            let name = name.as_ref();
            let context = Context::named(name).filter(|context| context.is_for_events());
            let context = context.ok_or_else(|| BadContext(name.to_owned()))?;
            Ok(Contexts(all.0 | context.bit()))
        })
    }

    /// A bit each, as the configuration space has them.
    pub fn bits(self) -> u32 {
        self.0
    }
}

fn names() -> String {
    let names: Vec<&str> = CONTEXTS
        .iter()
        .filter(|context| context.is_for_events())
        .map(|context| context.name)
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_contexts_are_known() {
        let none: [&str; 0] = [];
        assert_eq!(Contexts::named(&none).unwrap().bits(), 0);
        assert_eq!(Contexts::named(&["tid", "vtid", "tid"]).unwrap().bits(), 5);
        for bad in ["", "cpu", "cpu_id", "color"] {
            let why = Contexts::named(&[bad]).unwrap_err().to_string();
            assert!(
                why.contains(&format!("{bad:?}: use any of tid, pid")),
                "{why}"
            );
        }
    }
}
