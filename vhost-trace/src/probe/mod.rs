//! Probe definitions: places in the guest's kernel, in the syntax of its own
//! `kprobe_events`, and what an event of each has. The text is parsed and checked
//! here; the guest's driver gets a list of steps.

mod argument;
mod compile;
mod error;
mod parse;
mod set;

use crate::filter::Filter;
use crate::wire::ProbeStep;

pub use error::{ArgError, DefinitionError};
pub use set::{ProbeSet, SetError};

/// Events in a second that a vCPU may have of one definition, if nothing else is
/// said: a hot function costs then some percent of the vCPU, not all of it.
pub const DEFAULT_RATE: u32 = 20_000;

/// A probe definition that can be sent to a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    text: String,
    kind: Kind,
    name: String,
    symbol: String,
    offset: u64,
    max_active: u16,
    args: Vec<Arg>,
    stack: u8,
    filter: Option<Filter>,
    rate: u32,
}

/// Where a definition is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Entry,
    Return,
    Tracepoint,
}

/// One argument: a field of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arg {
    name: String,
    what: What,
    symbol: String,
    steps: Vec<ProbeStep>,
}

/// What an argument has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Int {
        size: u8,
        signed: bool,
        hex: bool,
        count: Option<u16>,
    },
    Text,
}

impl Definition {
    /// Of a text such as `p:opens do_sys_openat2 path=+0(%si):ustring if $tid > 1`;
    /// `rate` is how many events in a second each vCPU may have of it, 0: any
    /// number.
    pub fn new(text: &str, rate: u32) -> Result<Definition, DefinitionError> {
        let definition = parse::parse(text, rate)?;
        compile::payload(&definition)?;
        Ok(definition)
    }

    /// The text that it was made of.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its name, which is that of its events.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Events in a second and of a vCPU; 0: any number.
    pub fn rate(&self) -> u32 {
        self.rate
    }
}
