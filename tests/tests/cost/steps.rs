//! What an event's instructions are for, told from the source lines that they
//! come from.

use std::collections::BTreeMap;

use crate::module_code::Frame;

const ENTER: &str = "enter the handler, preemption off";
const ENABLED: &str = "is the event enabled?";
const FILTER: &str = "does it pass the filter?";
const RING: &str = "the vCPU's ring";
const LEVEL: &str = "nesting level";
const CLOCK: &str = "clock";
const STAMP: &str = "stamps in order";
const ROOM: &str = "position, room in the sub-buffer";
const OPEN: &str = "open record";
const CMPXCHG: &str = "compare and exchange";
const HEADER: &str = "event header";
const PAYLOAD: &str = "fields";
const COMMIT: &str = "commit";
const CLOSE: &str = "close the record, level";
const LEAVE: &str = "preemption on, leave";
const SLOW: &str = "out of line: switch, retry, wake-up";
const OTHER: &str = "anything else of the driver";

/// The steps, in the order in which an event takes them.
pub const STEPS: &[&str] = &[
    ENTER, ENABLED, FILTER, RING, LEVEL, CLOCK, STAMP, ROOM, OPEN, CMPXCHG, HEADER, PAYLOAD,
    COMMIT, CLOSE, LEAVE, SLOW, OTHER,
];

/// An instruction is looked at from the innermost function inlined around it
/// outwards. The first rule whose function that is, and whose text is in the
/// line there, says its step. A function ending in `*`: any that begins so;
/// a text beginning with `=`: all of the line.
const RULES: &[(&str, &str, &str)] = &[
    ("vtrace_reserve_slow", "", SLOW),
    ("vtrace_kick", "", SLOW),
    ("kick", "", SLOW),
    ("__preempt_count_add", "", ENTER),
    ("__preempt_count_sub", "", LEAVE),
    ("__preempt_count_dec_and_test", "", LEAVE),
    ("*", "preempt_disable_notrace", ENTER),
    ("*", "preempt_enable_notrace", LEAVE),
    ("vtrace_now", "", CLOCK),
    ("vtrace_stamp", "", CLOCK),
    ("vtrace_scale", "", CLOCK),
    ("vtrace_this_ring", "", RING),
    ("*", "(!r", RING),
    ("vtrace_reserve*", "vtrace_reserve_slow", SLOW),
    ("vtrace_reserve*", "open[", OPEN),
    ("vtrace_reserve*", "active", LEVEL),
    ("vtrace_reserve*", "r->guest", LEVEL),
    ("vtrace_reserve*", "clock", CLOCK),
    ("vtrace_reserve*", "counter", CLOCK),
    ("vtrace_reserve*", "cmpxchg(&g->pos", CMPXCHG),
    ("vtrace_reserve*", "seen", STAMP),
    ("vtrace_reserve*", "pos = vtrace_load", ROOM),
    ("vtrace_reserve*", "pos + size", ROOM),
    ("vtrace_reserve*", "sub_", ROOM),
    ("vtrace_reserve*", "VTRACE_HEADER + (u64)payload", ROOM),
    ("vtrace_reserve*", "r->mask", HEADER),
    ("vtrace_reserve*", "r->data", HEADER),
    ("vtrace_reserve*", ")p", HEADER),
    ("vtrace_reserve*", ")(p + ", HEADER),
    ("vtrace_reserve*", "VTRACE_HEADER", HEADER),
    ("vtrace_reserve*", "amount", COMMIT),
    ("vtrace_commit*", "open[", CLOSE),
    ("vtrace_commit*", "active", CLOSE),
    ("vtrace_commit*", "", COMMIT),
    ("vtrace_payload", "", PAYLOAD),
    ("put_arg*", "", PAYLOAD),
    ("*", "vtrace_reserve", ROOM),
    ("write_quick*", "op", PAYLOAD),
    ("handle_filtered", "", FILTER),
    ("write_filtered", "", FILTER),
    ("vtrace_syscall_*", "", FILTER),
    ("vtrace_program_step", "", FILTER),
    ("in_ia32_syscall", "", ENABLED),
    ("handle_mode", "", ENABLED),
    ("syscall_get_nr", "", ENABLED),
    ("handle*", "VTRACE_NUM_SYSCALLS", ENABLED),
    ("handle*", "in_ia32_syscall", ENABLED),
    ("handle*", "mode", ENABLED),
    ("handle*", "table[number]", ENABLED),
    ("*", "={", ENTER),
    ("*", "=}", LEAVE),
    ("vtrace_handle_sys_*", "", ENABLED),
];

/// The step of an instruction.
fn step_of(frames: &[Frame]) -> &'static str {
    let rule = frames.iter().find_map(|frame| {
        RULES.iter().find(|(function, text, _)| {
            let function = match function.strip_suffix('*') {
                Some(begin) => frame.function.starts_with(begin),
                None => *function == frame.function,
            };
            let text = match text.strip_prefix('=') {
                Some(all) => frame.text == all,
                None => frame.text.contains(text),
            };
            function && text
        })
    });
    rule.map_or(OTHER, |(_, _, step)| step)
}

/// A line of source and how often its instructions were executed.
#[derive(Debug, Clone)]
pub struct Line {
    /// The step that it is part of.
    pub step: &'static str,
    /// The function that it is in.
    pub function: String,
    /// Its text.
    pub text: String,
    /// Instructions executed.
    pub count: u64,
}

/// Sums executions by address to lines, in the order of the code.
pub fn lines(counts: &BTreeMap<u64, u64>, sources: &BTreeMap<u64, Vec<Frame>>) -> Vec<Line> {
    let mut lines: Vec<(Frame, Line)> = Vec::new();
    for (address, frames) in sources {
        let step = step_of(frames);
        // The innermost line of the driver's own says most.
        let Some(frame) = frames.iter().find(|frame| frame.own) else {
            continue;
        };
        let count = counts.get(address).copied().unwrap_or(0);
        match lines
            .iter_mut()
            .find(|(known, line)| known == frame && line.step == step)
        {
            Some((_, line)) => line.count += count,
            None => lines.push((
                frame.clone(),
                Line {
                    step,
                    function: frame.function.clone(),
                    text: frame.text.clone(),
                    count,
                },
            )),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Instructions of one step.
pub fn sum(lines: &[Line], step: &str) -> u64 {
    lines
        .iter()
        .filter(|line| line.step == step)
        .map(|line| line.count)
        .sum()
}
