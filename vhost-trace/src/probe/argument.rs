//! What an argument fetches, and as what.

use super::error::ArgError;
use super::parse::is_symbol;
use super::{Kind, What};
use crate::wire::{ProbeStep, probe};

/// The parts of `FETCH`, before its type is known.
struct Fetch {
    op: u8,
    value: u64,
    symbol: String,
    /// What is loaded from there, first the innermost: an offset, and whether it
    /// is in user space.
    loads: Vec<(u64, bool)>,
}

impl Fetch {
    fn of(op: u8, value: u64) -> Fetch {
        Fetch {
            op,
            value,
            symbol: String::new(),
            loads: Vec::new(),
        }
    }
}

/// The words of `:TYPE`.
struct Type {
    what: What,
    user: bool,
    bits: Option<u64>,
}

/// Of `FETCH` or `FETCH:TYPE`, in a definition of this kind and offset.
pub(super) fn parse(
    place: (Kind, u64),
    text: &str,
) -> Result<(What, String, Vec<ProbeStep>), ArgError> {
    let (fetch, name) = match text.split_once(':') {
        Some((fetch, name)) => (fetch, Some(name)),
        None => (text, None),
    };
    let fetch = fetch_of(place, fetch)?;
    let default = if fetch.op == probe::COMM {
        "string"
    } else {
        "x64"
    };
    let kind = type_of(name.unwrap_or(default))?;
    let steps = steps(&fetch, &kind)?;
    Ok((kind.what, fetch.symbol, steps))
}

/// An integer as C writes it, negative ones too.
pub(super) fn number(text: &str) -> Result<i128, ArgError> {
    let bad = || ArgError::Number(text.to_owned());
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    // What parse() takes and C does not.
    if digits.starts_with(['+', '-']) || digits[digits.len().min(2)..].starts_with('+') {
        return Err(bad());
    }
    let value = i128::from(value.map_err(|_| bad())?);
    Ok(if negative { -value } else { value })
}

fn fetch_of((kind, offset): (Kind, u64), text: &str) -> Result<Fetch, ArgError> {
    let bad = || ArgError::Fetch(text.to_owned());
    let mut chars = text.chars();
    let first = chars.next().ok_or_else(bad)?;
    let rest = chars.as_str();
    match first {
        '%' => {
            only(kind != Kind::Tracepoint, "a register", "p: and r:")?;
            let known = probe::REGISTERS.iter().position(|name| *name == rest);
            let code = known.ok_or_else(|| ArgError::Register { name: rest.into() })?;
            Ok(Fetch::of(probe::REGISTER, code as u64))
        }
        '$' => variable(kind, offset, rest).ok_or_else(bad)?,
        '@' => at(rest),
        '\\' => Ok(Fetch::of(probe::IMMEDIATE, bits(number(rest)?, rest)?)),
        '+' | '-' => {
            let (user, rest) = match rest.strip_prefix('u') {
                Some(rest) => (true, rest),
                None => (false, rest),
            };
            let (distance, inner) = rest.split_once('(').ok_or_else(bad)?;
            let inner = inner.strip_suffix(')').ok_or(ArgError::Parenthesis)?;
            let distance = bits(number(distance)?, distance)?;
            if text.matches('(').count() > probe::MAX_STEPS {
                return Err(ArgError::Steps);
            }
            let mut fetch = fetch_of((kind, offset), inner)?;
            let distance = match first {
                '-' => distance.wrapping_neg(),
                _ => distance,
            };
            fetch.loads.push((distance, user));
            Ok(fetch)
        }
        _ => Err(bad()),
    }
}

fn only(is: bool, what: &'static str, kinds: &'static str) -> Result<(), ArgError> {
    if is {
        Ok(())
    } else {
        Err(ArgError::Kind { what, kinds })
    }
}

/// In two's complement.
fn bits(value: i128, text: &str) -> Result<u64, ArgError> {
    if value < i128::from(i64::MIN) {
        return Err(ArgError::Number(text.to_owned()));
    }
    Ok(value as u64)
}

/// What is behind a `$`; `None`: nothing that there is.
fn variable(kind: Kind, offset: u64, name: &str) -> Option<Result<Fetch, ArgError>> {
    let fetch = |is, what, kinds, op, value| only(is, what, kinds).map(|()| Fetch::of(op, value));
    let in_function = kind != Kind::Tracepoint;
    if let Some(digits) = name.strip_prefix("arg") {
        let number: u64 = digits.parse().ok()?;
        if !(1..=probe::NUM_ARGUMENTS).contains(&number) {
            return Some(Err(ArgError::Argument));
        }
        let is = kind == Kind::Tracepoint || (kind == Kind::Entry && offset == 0);
        let kinds = "t:, and p: at the begin of a function";
        return Some(fetch(is, "$argN", kinds, probe::ARGUMENT, number - 1));
    }
    let is_return = kind == Kind::Return;
    Some(match name {
        "retval" => fetch(is_return, "$retval", "r:", probe::RETVAL, 0),
        "comm" | "COMM" => fetch(true, "$comm", "", probe::COMM, 0),
        "stack" => fetch(in_function, "$stack", "p: and r:", probe::SP, 0),
        _ => {
            let word: u64 = name.strip_prefix("stack")?.parse().ok()?;
            fetch(in_function, "$stackN", "p: and r:", probe::STACK, word)
        }
    })
}

/// What is behind an `@`: memory at an address, or at a symbol.
fn at(text: &str) -> Result<Fetch, ArgError> {
    let mut fetch = if text.starts_with(|c: char| c.is_ascii_digit()) {
        Fetch::of(probe::IMMEDIATE, bits(number(text)?, text)?)
    } else {
        let end = text.find(['+', '-']).unwrap_or(text.len());
        let (symbol, offset) = text.split_at(end);
        if !is_symbol(symbol) {
            return Err(ArgError::Symbol(symbol.to_owned()));
        }
        let distance = match offset.strip_prefix('+').unwrap_or(offset) {
            "" => 0,
            offset => bits(number(offset)?, offset)?,
        };
        let mut fetch = Fetch::of(probe::SYMBOL, distance);
        fetch.symbol = symbol.to_owned();
        fetch
    };
    fetch.loads.push((0, false));
    Ok(fetch)
}

fn type_of(name: &str) -> Result<Type, ArgError> {
    let bad = || ArgError::Type(name.to_owned());
    let (single, count) = match name.split_once('[') {
        Some((single, count)) => {
            let count = count.strip_suffix(']').ok_or_else(bad)?;
            let count = count.parse().map_err(|_| bad())?;
            if !(1..=probe::MAX_COUNT).contains(&count) {
                return Err(ArgError::Array);
            }
            (single, Some(count))
        }
        None => (name, None),
    };
    if single == "string" || single == "ustring" {
        if count.is_some() {
            return Err(ArgError::Array);
        }
        return Ok(Type {
            what: What::Text,
            user: single == "ustring",
            bits: None,
        });
    }
    let (letter, rest) = single.split_at_checked(1).ok_or_else(bad)?;
    let (size, bits) = match letter {
        "b" if count.is_none() => {
            let (width, rest) = rest.split_once('@').ok_or_else(bad)?;
            let (offset, size) = rest.split_once('/').ok_or_else(bad)?;
            let parse = |text: &str| text.parse::<u64>().map_err(|_| bad());
            let (width, offset, size) = (parse(width)?, parse(offset)?, parse(size)?);
            if width == 0 || width > size || offset > size - width || size > 64 {
                return Err(bad());
            }
            // Shifted left until nothing is above, then right.
            let bits = (64 - width - offset) | (64 - width) << 8;
            (size, Some(bits))
        }
        "u" | "s" | "x" => (rest.parse().map_err(|_| bad())?, None),
        _ => return Err(bad()),
    };
    if ![8, 16, 32, 64].contains(&size) {
        return Err(bad());
    }
    Ok(Type {
        what: What::Int {
            size: (size / 8) as u8,
            signed: letter == "s",
            hex: letter == "x",
            count,
        },
        user: false,
        bits,
    })
}

fn steps(fetch: &Fetch, kind: &Type) -> Result<Vec<ProbeStep>, ArgError> {
    let (size, array) = match kind.what {
        What::Int { size, count, .. } => (size, count.is_some()),
        What::Text => (0, false),
    };
    if fetch.op == probe::COMM && (kind.what != What::Text || !fetch.loads.is_empty()) {
        return Err(ArgError::Comm);
    }
    if kind.what == What::Text && fetch.op != probe::COMM && fetch.loads.is_empty() {
        return Err(ArgError::Text);
    }
    if array && fetch.loads.is_empty() {
        return Err(ArgError::Array);
    }
    let mut steps = vec![ProbeStep {
        value: fetch.value,
        op: fetch.op,
        ..Default::default()
    }];
    let last = fetch.loads.len().saturating_sub(1);
    for (index, (offset, user)) in fetch.loads.iter().enumerate() {
        let user = *user || (kind.user && index == last);
        steps.push(ProbeStep {
            value: *offset,
            op: if user { probe::LOAD_USER } else { probe::LOAD },
            size: if index == last { size } else { 8 },
            ..Default::default()
        });
    }
    if let Some(bits) = kind.bits {
        steps.push(ProbeStep {
            value: bits,
            op: probe::BITS,
            ..Default::default()
        });
    }
    if steps.len() > probe::MAX_STEPS {
        return Err(ArgError::Steps);
    }
    Ok(steps)
}
