//! Traces as babeltrace2 reads them: the tests' witness for files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::process::command;

/// An event as babeltrace2 prints it.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The clock, in cycles (ns).
    pub stamp: u64,
    /// The event's name.
    pub name: &'a str,
    /// The vCPU of its packet.
    pub cpu: u32,
    /// What all events of its channel have, as text: `tid = 1, procname = "x"`.
    pub contexts: &'a str,
    /// Its fields, as text: `a = 1, b = "x"`.
    pub fields: &'a str,
}

impl Event<'_> {
    /// An integer field of the event's own.
    pub fn int(&self, name: &str) -> Option<i64> {
        int_in(self.fields, name)
    }

    /// A field's text up to the next comma.
    pub fn text(&self, name: &str) -> Option<&str> {
        text_in(self.fields, name)
    }

    /// An integer that all events of its channel have.
    pub fn context_int(&self, name: &str) -> Option<i64> {
        int_in(self.contexts, name)
    }

    /// The same of a text.
    pub fn context_text(&self, name: &str) -> Option<&str> {
        text_in(self.contexts, name)
    }
}

fn int_in(fields: &str, name: &str) -> Option<i64> {
    let text = text_in(fields, name)?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|value| value as i64),
        None => text
            .parse()
            .ok()
            .or_else(|| text.parse().ok().map(|value: u64| value as i64)),
    }
}

fn text_in<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    let pattern = format!("{name} = ");
    let at = fields
        .match_indices(&pattern)
        .find(|(at, _)| *at == 0 || fields[..*at].ends_with(' '))?
        .0;
    let rest = &fields[at + pattern.len()..];
    Some(rest.split([',', ' ']).next().unwrap_or(rest))
}

/// What a trace holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events by name.
    pub names: BTreeMap<String, u64>,
    /// Events by vCPU.
    pub cpus: BTreeMap<u32, u64>,
    /// The sum of babeltrace2's messages of discarded events.
    pub discarded: u64,
}

impl Summary {
    /// Events with this name.
    pub fn count(&self, name: &str) -> u64 {
        self.names.get(name).copied().unwrap_or(0)
    }

    /// All events.
    pub fn events(&self) -> u64 {
        self.names.values().sum()
    }
}

/// Reads the trace below `dir` with babeltrace2, gives each event to `visit`
/// and sums them. Any exit status but 0, and any message but those of
/// discarded events, is an error.
pub fn read_trace(dir: &Path, mut visit: impl FnMut(Event<'_>) -> Result<()>) -> Result<Summary> {
    let mut child = command("babeltrace2")
        .args(["--clock-cycles", "--no-delta", "--color=never"])
        .arg(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting babeltrace2")?;
    let mut stderr = child.stderr.take().context("no stderr")?;
    let messages = thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).map(|_| text)
    });
    let mut summary = Summary::default();
    let mut lines = BufReader::with_capacity(1 << 20, child.stdout.take().context("no stdout")?);
    let mut line = Vec::new();
    let mut outcome = Ok(());
    while lines.read_until(b'\n', &mut line)? > 0 {
        if outcome.is_ok() {
            outcome = visit_line(&line, &mut summary, &mut visit);
        }
        line.clear();
    }
    let status = child.wait()?;
    let messages = messages.join().expect("reads a pipe")?;
    let messages = String::from_utf8_lossy(&messages);
    ensure!(
        status.success(),
        "babeltrace2 {}: {status}\n{messages}",
        dir.display()
    );
    for message in messages.lines().filter(|line| !line.trim().is_empty()) {
        match discarded(message) {
            Some(count) => summary.discarded += count,
            None => bail!("babeltrace2 {}: {message}", dir.display()),
        }
    }
    outcome.map(|()| summary)
}

fn visit_line(
    line: &[u8],
    summary: &mut Summary,
    visit: &mut impl FnMut(Event<'_>) -> Result<()>,
) -> Result<()> {
    let text = String::from_utf8_lossy(line);
    let event = parse(text.trim_end()).with_context(|| format!("babeltrace2 printed {text:?}"))?;
    match summary.names.get_mut(event.name) {
        Some(count) => *count += 1,
        None => {
            summary.names.insert(event.name.to_string(), 1);
        }
    }
    *summary.cpus.entry(event.cpu).or_default() += 1;
    visit(event)
}

/// `[00000000000000012345678] host name: { cpu_id = 0, .. }, { contexts }, { fields }`
fn parse(line: &str) -> Option<Event<'_>> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let (head, rest) = rest.split_once(": { ")?;
    let (packet, rest) = rest.split_once(" }")?;
    let (contexts, fields) = match rest.strip_prefix(", {").map(|rest| (rest, block(rest))) {
        Some((rest, Some(end))) => match rest[end..].strip_prefix("}, {") {
            Some(fields) => (&rest[..end], fields.strip_suffix('}')?),
            None => ("", &rest[..end]),
        },
        _ => ("", ""),
    };
    let cpu = packet
        .split(", ")
        .find_map(|field| field.strip_prefix("cpu_id = "))?;
    Some(Event {
        stamp: stamp.parse().ok()?,
        name: head.rsplit(' ').next()?,
        cpu: cpu.parse().ok()?,
        contexts: contexts.trim(),
        fields: fields.trim(),
    })
}

/// Where the brace is that closes what begins here.
fn block(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'{' if !quoted => depth += 1,
            b'}' if !quoted && depth == 0 => return Some(at),
            b'}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `WARNING: Tracer discarded 12 events between ..`
fn discarded(message: &str) -> Option<u64> {
    let rest = message.split_once("racer discarded ")?.1;
    let (count, rest) = rest.split_once(' ')?;
    rest.starts_with("event").then(|| count.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_a_line_of_babeltrace_is_taken_apart() {
        let event =
            parse("[00000000000000000042] vm sched_x: { cpu_id = 3 }, { a = -1, aa = 0x10 }")
                .unwrap();
        assert_eq!((event.stamp, event.name, event.cpu), (42, "sched_x", 3));
        assert_eq!((event.int("a"), event.int("aa")), (Some(-1), Some(16)));
        assert_eq!((event.contexts, event.context_int("a")), ("", None));
    }

    #[test]
    fn lab_a_line_with_contexts_is_taken_apart() {
        let event = parse("[42] vm x: { cpu_id = 3 }, { a = 7, s = \"}\\\"\" }, { a = { b = 1 } }")
            .unwrap();
        assert_eq!(event.contexts, "a = 7, s = \"}\\\"\"");
        assert_eq!(event.context_int("a"), Some(7));
        assert_eq!(event.fields, "a = { b = 1 }");
        let event = parse("[42] vm x: { cpu_id = 3 }, { a = 7 }, { }").unwrap();
        assert_eq!((event.contexts, event.fields), ("a = 7", ""));
    }

    #[test]
    fn lab_a_message_of_discarded_events_has_its_count() {
        let message = "WARNING: Tracer discarded 17 events between [1] and [2] in trace";
        assert_eq!(discarded(message), Some(17));
        assert_eq!(discarded("WARNING: something else"), None);
    }
}
