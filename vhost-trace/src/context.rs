//! Contexts: what an event can say besides its own fields, of the thread that
//! runs and of its vCPU. A filter may look at most of them, and a channel's
//! events may carry most of them.

use crate::wire::context;

/// A context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Its name, which is LTTng's where that has it, and the name of the
    /// events' field.
    pub name: &'static str,
    /// Another name.
    pub also: Option<&'static str>,
    /// One of [`context`].
    pub code: u16,
}

const fn known(name: &'static str, also: Option<&'static str>, code: u16) -> Context {
    Context { name, also, code }
}

/// All of them, in the order of their codes.
pub const CONTEXTS: &[Context] = &[
    known("tid", None, context::TID),
    known("pid", None, context::PID),
    known("vtid", None, context::VTID),
    known("vpid", None, context::VPID),
    known("procname", None, context::PROCNAME),
    known("cpu_id", Some("cpu"), context::CPU),
    known("cgroup_id", Some("cgroup"), context::CGROUP),
    known("steal", None, context::STEAL),
    known("preemptible", None, context::PREEMPTIBLE),
    known("need_reschedule", None, context::NEED_RESCHEDULE),
    known("interruptible", None, context::INTERRUPTIBLE),
    known("perf_cpu_cycles", None, context::CYCLES),
    known("perf_cpu_instructions", None, context::INSTRUCTIONS),
    known("perf_cpu_cache_misses", None, context::CACHE_MISSES),
    known("perf_cpu_page_fault", None, context::PAGE_FAULTS),
    known("perf_cpu_context_switches", None, context::SWITCHES),
];

impl Context {
    /// The context of this name. LTTng writes a counter's name as
    /// `perf:cpu:cache-misses` where it is asked for.
    pub fn named(name: &str) -> Option<Context> {
        let name = name.replace([':', '-'], "_");
        let is = |context: &&Context| context.name == name || context.also == Some(&name);
        CONTEXTS.iter().find(is).copied()
    }

    /// Whether it is a text, not a number.
    pub fn is_text(self) -> bool {
        self.code == context::PROCNAME
    }

    /// Whether filters may look at it.
    pub fn is_for_filters(self) -> bool {
        self.code < context::FILTER_END
    }

    /// Whether events can carry it: their vCPU is the packet's, whatever they
    /// carry.
    pub fn is_for_events(self) -> bool {
        self.code != context::CPU
    }

    /// `VTRACE_CONTEXT_BIT`: its bit in the configuration space.
    pub fn bit(self) -> u32 {
        1 << (self.code - context::TID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_have_names_and_bits_of_their_own() {
        for (index, context) in CONTEXTS.iter().enumerate() {
            assert_eq!(Context::named(context.name), Some(*context));
            assert_eq!(context.bit(), 1 << index);
        }
        assert_eq!(CONTEXTS.len(), usize::from(context::END - context::TID));
        let misses = Context::named("perf:cpu:cache-misses").unwrap();
        assert_eq!(misses.name, "perf_cpu_cache_misses");
        assert_eq!(Context::named("cgroup"), Context::named("cgroup_id"));
        assert_eq!(Context::named("no_such"), None);
    }
}
