//! From text to a definition: its words. What an argument says is `argument.rs`'s.

use super::argument;
use super::error::{ArgError, DefinitionError, MAX_TEXT};
use super::{Arg, Definition, Kind};
use crate::filter::Filter;
use crate::wire::probe;

/// Return addresses where only `stack` is said: as deep as most are.
const DEFAULT_STACK: u8 = 32;

/// Fields that events may have besides their arguments.
const TAKEN: [&str; 5] = ["ip", "parent_ip", "fault", "stack", "stack_length"];

pub(super) fn parse(text: &str, rate: u32) -> Result<Definition, DefinitionError> {
    if text.len() > MAX_TEXT {
        return Err(DefinitionError::Long { bytes: text.len() });
    }
    // It goes to logs and terminals as it is.
    if let Some(at) = text.find(char::is_control) {
        return Err(DefinitionError::Control { at });
    }
    let (body, filter) = match text.split_once(" if ") {
        Some((body, filter)) => (body, Some(filter)),
        None => (text, None),
    };
    let mut words = body.split_whitespace();
    let (kind, max_active, name) = head(words.next().unwrap_or_default())?;
    if rate > probe::MAX_RATE {
        return Err(DefinitionError::Rate { name, rate });
    }
    let (symbol, offset) = place(kind, &name, words.next())?;
    let mut definition = Definition {
        text: text.trim().to_owned(),
        kind,
        symbol,
        offset,
        max_active,
        args: Vec::new(),
        stack: 0,
        filter: None,
        rate,
        name,
    };
    for word in words {
        add(&mut definition, word)?;
    }
    if let Some(filter) = filter {
        let parsed: Result<Filter, _> = filter.trim().parse();
        let name = definition.name.clone();
        definition.filter = Some(parsed.map_err(|error| DefinitionError::Filter { name, error })?);
    }
    Ok(definition)
}

/// `p:NAME`, `rN:NAME`, `t:NAME`.
fn head(word: &str) -> Result<(Kind, u16, String), DefinitionError> {
    let none = || DefinitionError::Kind { word: word.into() };
    let (kind, name) = word.split_once(':').ok_or_else(none)?;
    let (letter, max) = kind.split_at_checked(1).ok_or_else(none)?;
    let kind = match letter {
        "p" if max.is_empty() => Kind::Entry,
        "r" => Kind::Return,
        "t" if max.is_empty() => Kind::Tracepoint,
        _ => return Err(none()),
    };
    let name = name.to_owned();
    if name.len() > probe::MAX_NAME || !is_identifier(&name) {
        return Err(DefinitionError::Name { name });
    }
    if max.is_empty() {
        return Ok((kind, 0, name));
    }
    match max.parse() {
        Ok(count @ 1..=probe::MAX_ACTIVE) => Ok((kind, count, name)),
        _ => Err(DefinitionError::MaxActive {
            name,
            max: max.into(),
        }),
    }
}

fn place(kind: Kind, name: &str, word: Option<&str>) -> Result<(String, u64), DefinitionError> {
    let what = match kind {
        Kind::Entry => "a function, FUNCTION+OFFSET, or MODULE:FUNCTION",
        Kind::Return => "a function, or MODULE:FUNCTION",
        Kind::Tracepoint => "a tracepoint, without the name of its subsystem",
    };
    let name = name.to_owned();
    let Some(word) = word else {
        return Err(DefinitionError::NoPlace { name, what });
    };
    let (symbol, offset) = match word.split_once('+') {
        Some((symbol, offset)) if kind == Kind::Entry => {
            let offset = argument::number(offset).ok();
            (symbol, offset.and_then(|offset| u32::try_from(offset).ok()))
        }
        Some(_) => (word, None),
        None => (word, Some(0)),
    };
    match offset {
        Some(offset) if is_symbol(symbol) => Ok((symbol.to_owned(), offset.into())),
        _ => Err(DefinitionError::Place {
            name,
            place: word.into(),
            what,
        }),
    }
}

/// One word behind the place.
fn add(definition: &mut Definition, word: &str) -> Result<(), DefinitionError> {
    let name = || definition.name.clone();
    if word == "stack" || word.starts_with("stack[") {
        let depth = match word {
            "stack" => Some(DEFAULT_STACK),
            _ => word[6..]
                .strip_suffix(']')
                .and_then(|depth| depth.parse().ok())
                .filter(|depth| (1..=probe::MAX_STACK).contains(depth)),
        };
        let bad = || DefinitionError::Stack {
            name: name(),
            word: word.into(),
        };
        definition.stack = depth.ok_or_else(bad)?;
        return Ok(());
    }
    if definition.args.len() == probe::MAX_ARGS {
        return Err(DefinitionError::Args { name: name() });
    }
    match arg(definition, word) {
        Ok(arg) => definition.args.push(arg),
        Err(why) => {
            return Err(DefinitionError::Arg {
                name: name(),
                arg: word.into(),
                why,
            });
        }
    }
    Ok(())
}

/// `NAME=FETCH:TYPE`; without a name it is `argN`, as the kernel counts them.
fn arg(definition: &Definition, word: &str) -> Result<Arg, ArgError> {
    let (name, fetch) = match word.split_once('=') {
        Some((name, fetch)) => (name.to_owned(), fetch),
        None => (format!("arg{}", definition.args.len() + 1), word),
    };
    if name.len() > probe::MAX_NAME || !is_identifier(&name) {
        return Err(ArgError::Name(name));
    }
    if TAKEN.contains(&name.as_str()) {
        return Err(ArgError::Taken(name));
    }
    if definition.args.iter().any(|arg| arg.name == name) {
        return Err(ArgError::Twice(name));
    }
    let place = (definition.kind, definition.offset);
    let (what, symbol, steps) = argument::parse(place, fetch)?;
    Ok(Arg {
        name,
        what,
        symbol,
        steps,
    })
}

fn is_identifier(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(good) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Also of a module, `MODULE:SYMBOL`, and what the compiler makes of names.
pub(super) fn is_symbol(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.:$".contains(c);
    (1..=probe::MAX_SYMBOL).contains(&text.len())
        && text.chars().all(good)
        && argument::number(text).is_err()
}
