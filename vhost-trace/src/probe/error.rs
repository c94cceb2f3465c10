//! What can be wrong with a definition.

use crate::filter::{CompileError, ParseError};
use crate::wire::probe;

/// Bytes of a definition's text.
pub(super) const MAX_TEXT: usize = 4096;

/// A text that is no definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum DefinitionError {
    #[error("a definition of {bytes} bytes: at most {MAX_TEXT} are possible")]
    Long { bytes: usize },
    #[error("the definition has a control character at {at}")]
    Control { at: usize },
    #[error(
        "{word:?}: a definition begins with p:NAME (a function or a place in one), r:NAME (the \
         return of a function) or t:NAME (a tracepoint)"
    )]
    Kind { word: String },
    #[error(
        "{name:?} is no name for events: use up to {} of A-Z a-z 0-9 _, and no digit first",
        probe::MAX_NAME
    )]
    Name { name: String },
    #[error(
        "definition {name}: {max:?} is no number of calls whose return is awaited, 1 to {} behind \
         the r",
        probe::MAX_ACTIVE
    )]
    MaxActive { name: String, max: String },
    #[error("definition {name}: what is to be probed is missing behind its name: {what}")]
    NoPlace { name: String, what: &'static str },
    #[error("definition {name}: {place:?} is no place to probe: {what}")]
    Place {
        name: String,
        place: String,
        what: &'static str,
    },
    #[error(
        "definition {name}: {word:?}: the stack has 1 to {} return addresses, as in stack[16]",
        probe::MAX_STACK
    )]
    Stack { name: String, word: String },
    #[error("definition {name}, argument {arg:?}: {why}")]
    Arg {
        name: String,
        arg: String,
        why: ArgError,
    },
    #[error("definition {name}: more than {} arguments", probe::MAX_ARGS)]
    Args { name: String },
    #[error(
        "definition {name}: its events could have more than {} bytes: use fewer or shorter arrays \
         and texts",
        probe::MAX_BYTES
    )]
    Large { name: String },
    #[error("definition {name}: it does not fit a command: use fewer arguments")]
    Command { name: String },
    #[error("definition {name}: {error}")]
    Filter { name: String, error: ParseError },
    #[error("definition {name}: {error}")]
    FilterFields { name: String, error: CompileError },
    #[error(
        "definition {name}: {rate} events in a second: at most {}, or 0 for any number",
        probe::MAX_RATE
    )]
    Rate { name: String, rate: u32 },
}

/// What can be wrong with one argument.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ArgError {
    #[error("{0:?} is no name of an argument: use A-Z a-z 0-9 _, and no digit first")]
    Name(String),
    #[error("the event has a field {0} of its own: choose another name")]
    Taken(String),
    #[error("two arguments are called {0}")]
    Twice(String),
    #[error(
        "{0:?} is nothing that can be fetched: use %REGISTER, $argN, $retval, $stack, $stackN, \
         $comm, @ADDRESS, @SYMBOL+OFFSET, +OFFSET(..), -OFFSET(..) or \\NUMBER"
    )]
    Fetch(String),
    #[error("there is no register {name:?}, only {}", probe::REGISTERS.join(", "))]
    Register { name: String },
    #[error("{0:?} is no integer of 64 bits")]
    Number(String),
    #[error("a parenthesis is missing")]
    Parenthesis,
    #[error("only $arg1 to $arg{} are possible", probe::NUM_ARGUMENTS)]
    Argument,
    #[error("{what} is only for {kinds}")]
    Kind {
        what: &'static str,
        kinds: &'static str,
    },
    #[error("{0:?} is no name of a symbol")]
    Symbol(String),
    #[error(
        "there is no type {0:?}: use u8 u16 u32 u64, s8.., x8.., string, ustring, \
         bWIDTH@OFFSET/SIZE, and u8[4] for an array"
    )]
    Type(String),
    #[error("$comm is a text: its type is string, and it has no address")]
    Comm,
    #[error("a text is in memory: use +0(..), @SYMBOL or $comm")]
    Text,
    #[error(
        "an array is in memory, as integers: use +0(..) or @SYMBOL, and up to {} of them",
        probe::MAX_COUNT
    )]
    Array,
    #[error("more than {} steps", probe::MAX_STEPS)]
    Steps,
}
