//! Events as lines of text, as babeltrace2 prints them and safe for a terminal.

use std::fmt::{self, Write};

use crate::escape::escape;
use crate::schema::Base;
use crate::value::{Event, Fields, Integer, Value, labels_of};

/// Elements of a list that are shown: what a person reads of one event.
const MAX_SHOWN: usize = 256;
/// Bytes of text that are shown: a path's limit in Linux.
const MAX_TEXT: usize = 4096;

/// Formats the events of one guest, line by line.
#[derive(Clone, Debug)]
pub struct Lines {
    vm: String,
    /// What a stamp becomes wall-clock time with.
    clock_offset: u64,
    last: Option<u64>,
}

impl Lines {
    /// For the VM called `vm`. `clock_offset` is what must be added to a stamp
    /// to get the time of day that is shown, in nanoseconds since 1970: the
    /// session's for UTC, more or less for another time zone.
    pub fn new(vm: &str, clock_offset: u64) -> Self {
        Self {
            vm: vm.to_owned(),
            clock_offset,
            last: None,
        }
    }

    /// Appends a line, with its newline:
    /// `[HH:MM:SS.nnnnnnnnn] (+S.nnnnnnnnn) VM:VCPU NAME: { CONTEXTS }, { FIELDS }`.
    /// The time in parentheses is that since the line before, which may be
    /// negative. An event without contexts has no braces for them.
    ///
    /// Fails only when `out` does.
    pub fn line(&mut self, out: &mut impl Write, vcpu: u32, event: &Event<'_>) -> fmt::Result {
        let wall = event.stamp.wrapping_add(self.clock_offset);
        let of_day = wall / SECOND % 86_400;
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            out,
            "[{hour:02}:{minute:02}:{second:02}.{:09}] ",
            wall % SECOND
        )?;
        match self.last.replace(event.stamp) {
            Some(last) => {
                let sign = if event.stamp < last { '-' } else { '+' };
                let since = event.stamp.abs_diff(last);
                write!(out, "({sign}{}.{:09}) ", since / SECOND, since % SECOND)?;
            }
            None => out.write_str("(+?.?????????) ")?,
        }
        escape(out, self.vm.as_bytes())?;
        write!(out, ":{vcpu} {}: ", event.class.name)?;
        if !event.contexts.0.is_empty() {
            fields(out, &event.contexts)?;
            out.write_str(", ")?;
        }
        fields(out, &event.fields)?;
        out.write_char('\n')
    }
}

/// Nanoseconds.
const SECOND: u64 = 1_000_000_000;

fn fields(out: &mut impl Write, fields: &Fields<'_>) -> fmt::Result {
    out.write_char('{')?;
    for (number, (name, field)) in fields.0.iter().enumerate() {
        write!(out, "{} {name} = ", if number == 0 { "" } else { "," })?;
        value(out, field)?;
    }
    out.write_str(" }")
}

fn value(out: &mut impl Write, value: &Value<'_>) -> fmt::Result {
    match value {
        Value::Int(value) => integer(out, *value),
        Value::Ints(values) => list(out, values.iter(), |out, value| integer(out, value)),
        Value::Text(bytes) => text(out, bytes),
        Value::Enum(value, labels) => {
            out.write_str("( ")?;
            let mut names = labels_of(*value, labels);
            match names.next() {
                Some(name) => text(out, name)?,
                None => out.write_str("<unknown>")?,
            }
            for name in names {
                out.write_str(", ")?;
                text(out, name)?;
            }
            out.write_str(" : container = ")?;
            integer(out, *value)?;
            out.write_str(" )")
        }
        Value::Struct(inner) => fields(out, inner),
        Value::Structs(all) => list(out, all.iter(), fields),
    }
}

fn list<W: Write, T>(
    out: &mut W,
    values: impl ExactSizeIterator<Item = T>,
    show: impl Fn(&mut W, T) -> fmt::Result,
) -> fmt::Result {
    let more = values.len().saturating_sub(MAX_SHOWN);
    out.write_char('[')?;
    for (number, value) in values.take(MAX_SHOWN).enumerate() {
        write!(out, "{} [{number}] = ", if number == 0 { "" } else { "," })?;
        show(out, value)?;
    }
    if more > 0 {
        write!(out, ", ... {more} more")?;
    }
    out.write_str(" ]")
}

fn integer(out: &mut impl Write, value: Integer) -> fmt::Result {
    let masked = value.bits & u64::MAX >> (64 - 8 * u32::from(value.int.size));
    match value.int.base {
        Base::Decimal => write!(out, "{}", value.value()),
        Base::Hexadecimal => write!(out, "0x{masked:X}"),
        Base::Octal => write!(out, "0{masked:o}"),
    }
}

fn text(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    escape(out, &bytes[..bytes.len().min(MAX_TEXT)])?;
    out.write_char('"')?;
    match bytes.len().saturating_sub(MAX_TEXT) {
        0 => Ok(()),
        more => write!(out, "... {more} more"),
    }
}
