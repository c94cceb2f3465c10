//! Judges a trace of the witness module's numbered events.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vhost_trace_lab::{Cpu, Event, Summary, read_trace};

/// The numbers that a trace has of one context of one vCPU.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// How many.
    pub count: u64,
    /// The last.
    pub last: u64,
}

/// What a trace has of each vCPU and context.
pub type Numbers = BTreeMap<(u32, usize), Seen>;

/// Reads a trace of numbered events: each is whole, and each context's numbers
/// ascend. Other events are counted in the summary only.
pub fn read_numbers(trace: &Path) -> Result<(Summary, Numbers)> {
    visit_numbers(trace, |_, _, _| ())
}

/// Like [`read_numbers`], and gives vCPU, context and number of each to `visit`.
pub fn visit_numbers(
    trace: &Path,
    mut visit: impl FnMut(u32, usize, u64),
) -> Result<(Summary, Numbers)> {
    let mut numbers = Numbers::new();
    let summary = read_trace(trace, |event| {
        if event.name != "vt_witness" {
            return Ok(());
        }
        let (context, sequence) = check(&event).with_context(|| format!("{event:?}"))?;
        let seen = numbers.entry((event.cpu, context)).or_default();
        ensure!(
            sequence > seen.last,
            "vCPU {} context {context}: number {sequence} after {}",
            event.cpu,
            seen.last
        );
        seen.count += 1;
        seen.last = sequence;
        visit(event.cpu, context, sequence);
        Ok(())
    })?;
    Ok((summary, numbers))
}

/// Context and number of an event whose payload is as the witness made it.
fn check(event: &Event<'_>) -> Result<(usize, u64)> {
    let int = |name| event.int(name).with_context(|| format!("no {name}"));
    let (context, sequence) = (int("context")? as u64, int("sequence")? as u64);
    let (checksum, bytes) = (int("checksum")? as u32, int("bytes")? as usize);
    let payload: Vec<u8> = event
        .fields
        .split_once("payload = [")
        .context("no payload")?
        .1
        .split(" = ")
        .skip(1)
        .map(|text| text.split([',', ' ', ']']).next().unwrap_or("").parse())
        .collect::<Result<_, _>>()?;
    ensure!(payload.len() == bytes, "{} bytes of payload", payload.len());
    for (index, &byte) in payload.iter().enumerate() {
        let expected = sequence
            .wrapping_mul(31)
            .wrapping_add(context * 7)
            .wrapping_add(index as u64) as u8;
        ensure!(byte == expected, "payload byte {index} is {byte}");
    }
    let hashed = (context as u32)
        .to_le_bytes()
        .into_iter()
        .chain(sequence.to_le_bytes())
        .chain(payload)
        .fold(2_166_136_261_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
        });
    ensure!(
        hashed == checksum,
        "checksum {checksum:#x}, not {hashed:#x}"
    );
    Ok((context as usize, sequence))
}

/// Sums of a status over the rings of one vCPU's event channel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub events: u64,
    pub lost: u64,
    pub overwritten: u64,
}

/// The account of a vCPU's event channel in `status --json`.
pub fn account(status: &Value, vcpu: u32) -> Result<Account> {
    let stream = stream(status, vcpu)?;
    let number = |value: &Value| value.as_u64().context("no number");
    let lost = stream["lost"].as_object().context("no lost")?;
    Ok(Account {
        events: number(&stream["events"])?,
        lost: lost.values().map(number).sum::<Result<u64>>()?,
        overwritten: number(&stream["overwritten"])?,
    })
}

/// The stream of a vCPU's event channel in `status --json`.
pub fn stream(status: &Value, vcpu: u32) -> Result<&Value> {
    let streams = status["streams"].as_array().context("no streams")?;
    streams
        .iter()
        .find(|stream| stream["vcpu"] == vcpu && stream["channel"] == 0)
        .with_context(|| format!("no stream of vCPU {vcpu} in {status:#}"))
}

/// Every number that the witness says was recorded is in the trace, and only
/// numbers that were attempted.
pub fn assert_complete(numbers: &Numbers, witness: &[Cpu]) {
    for (index, cpu) in witness.iter().enumerate() {
        for (context, counts) in cpu.contexts.iter().enumerate() {
            let seen = numbers
                .get(&(index as u32, context))
                .copied()
                .unwrap_or_default();
            let place = format!("vCPU {index} context {context}: {seen:?}, {counts:?}");
            // The one whose commit was not yet said may be there as well.
            assert!(seen.count >= counts.recorded, "lost numbers: {place}");
            assert!(seen.count <= counts.recorded + 1, "more numbers: {place}");
            assert!(seen.last >= counts.last, "the last is missing: {place}");
            assert!(seen.last <= counts.attempted, "never attempted: {place}");
        }
    }
}

/// As many numbers are in the trace as the witness says were recorded, with
/// gaps where nobody could record.
pub fn assert_recorded(numbers: &Numbers, witness: &[Cpu]) {
    for (index, cpu) in witness.iter().enumerate() {
        for (context, counts) in cpu.contexts.iter().enumerate() {
            let seen = numbers.get(&(index as u32, context)).copied();
            let seen = seen.unwrap_or_default();
            assert_eq!(
                seen.count, counts.recorded,
                "vCPU {index} context {context}"
            );
        }
    }
}
