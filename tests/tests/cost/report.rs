//! The measurements as tables, on the terminal and in `docs/cost.md`.

use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result};
use vhost_trace_lab::workspace_dir;

use crate::measure::{CALLS, Run};
use crate::module_code::ModuleCode;
use crate::steps::{self, Line, STEPS};

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// What one kind of event costs in the driver.
#[derive(Debug)]
pub struct EventCost {
    /// Its name.
    pub name: &'static str,
    /// The driver's lines.
    lines: Vec<Line>,
}

impl EventCost {
    /// The driver's share of a run whose only events are `name`.
    pub fn new(name: &'static str, run: &Run, code: &ModuleCode) -> Result<Self> {
        let sources = code.sources(run.counted.watched.keys().copied())?;
        Ok(Self {
            name,
            lines: steps::lines(&run.counted.watched, &sources),
        })
    }

    /// Instructions in the driver's text, of one event.
    pub fn total(&self) -> f64 {
        self.lines.iter().map(|line| line.count).sum::<u64>() as f64 / CALLS as f64
    }

    fn step(&self, step: &str) -> f64 {
        steps::sum(&self.lines, step) as f64 / CALLS as f64
    }
}

/// All runs.
pub fn runs(runs: &[Run]) -> String {
    let mut text = String::from(
        "| traced | instructions of a call | of an event, over nothing traced \
         | device interrupts | irq_work |\n|---|---|---|---|---|\n",
    );
    for run in runs {
        let over = match run.events() {
            0 => String::new(),
            _ => format!("{:.1}", run.over(&runs[0])),
        };
        let _ = writeln!(
            text,
            "| {} | {:.1} | {over} | {} | {} |",
            run.name,
            run.per_call(),
            run.device_interrupts,
            run.own_interrupts
        );
    }
    text
}

/// The driver's instructions by step.
pub fn by_step(events: &[&EventCost]) -> String {
    let mut text = String::from("| step |");
    for event in events {
        let _ = write!(text, " {} |", event.name);
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(events.len()));
    text.push('\n');
    for step in STEPS {
        if events.iter().any(|event| event.step(step) >= 0.005) {
            let _ = write!(text, "| {step} |");
            for event in events {
                let _ = write!(text, " {:.2} |", event.step(step));
            }
            text.push('\n');
        }
    }
    text.push_str("| all |");
    for event in events {
        let _ = write!(text, " {:.2} |", event.total());
    }
    text.push('\n');
    text
}

/// The driver's instructions by line of source, in the order of the steps.
pub fn by_line(event: &EventCost) -> String {
    let mut text = String::new();
    for step in STEPS {
        let lines: Vec<&Line> = event
            .lines
            .iter()
            .filter(|line| line.step == *step && 100 * line.count >= CALLS)
            .collect();
        if lines.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{step}");
        for line in lines {
            let count = line.count as f64 / CALLS as f64;
            let _ = writeln!(text, "{count:6.2}  {}: {}", line.function, line.text);
        }
    }
    text
}

/// Puts `measured` into `docs/cost.md`.
pub fn document(measured: &str) -> Result<()> {
    let file = workspace_dir().join("docs/cost.md");
    let old = fs::read_to_string(&file).with_context(|| format!("reading {file:?}"))?;
    let (head, rest) = old.split_once(BEGIN).context("no mark of the begin")?;
    let (_, tail) = rest.split_once(END).context("no mark of the end")?;
    fs::write(&file, format!("{head}{BEGIN}{measured}{END}{tail}"))?;
    Ok(())
}
