//! `cargo xtask test`: the steps, then the tests of the crates, then the sum.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::steps::{Outcome, STEPS, Tier};
use crate::tally::Tally;

/// What the whole default tier may take on 2 cores.
const BUDGET: Duration = Duration::from_secs(30 * 60);

/// Runs what `name` selects (all, without one). Returns whether all passed.
pub(crate) fn test(name: Option<&str>, full: bool) -> Result<bool> {
    let start = Instant::now();
    let mut sum = Tally::default();
    let selected = STEPS
        .iter()
        .filter(|step| name.is_none_or(|name| step.name.starts_with(name)));
    for step in selected {
        if step.tier == Tier::Full && !full && name.is_none() {
            continue;
        }
        println!("==> {}: {}", step.name, step.about);
        let begin = Instant::now();
        let (tally, word) = match (step.run)(full) {
            Ok(Outcome::Passed) => (Tally::PASSED, "passed".to_string()),
            Ok(Outcome::Failed) => (Tally::FAILED, "FAILED".to_string()),
            Ok(Outcome::Skipped(why)) => (Tally::SKIPPED, format!("SKIPPED: {why}")),
            Ok(Outcome::Tests(tally)) => (tally, tally.to_string()),
            Err(error) => {
                eprintln!("error: {error:#}");
                (Tally::FAILED, "FAILED".to_string())
            }
        };
        sum += tally;
        println!("<== {}: {word}, {}", step.name, seconds(begin));
    }

    println!("==> tests: the tests of all crates");
    let begin = Instant::now();
    // Here, where their progress is seen; a test's output is captured. What
    // goes wrong fails the tests that need it.
    let lab = lab::Lab::prepare().map(|_| ());
    for ready in [lab, lab::prebuild_vhost_trace()] {
        if let Err(error) = ready {
            eprintln!("error: {error:#}");
        }
    }
    let mut cargo = cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast", "--"]);
    cargo.args(name);
    let tally = count_tests(&mut cargo, full)?;
    println!("<== tests: {tally}, {}", seconds(begin));
    sum += tally;

    if let Some(name) = name {
        ensure!(sum.all() > 0, "no step and no test is called {name}");
    }
    println!("time: {}", minutes(start.elapsed()));
    if !full && start.elapsed() > BUDGET {
        println!("WARNING: the default tier's budget is {}", minutes(BUDGET));
    }
    println!("{sum}");
    Ok(sum.failed == 0)
}

/// This workspace's cargo.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(lab::workspace_dir());
    cargo
}

/// Runs a `cargo test` whose arguments end with the tests', shows what it says
/// and sums its result lines. A run that fails without a failed test (it did
/// not compile) counts as one.
///
/// Tests of the full tier alone are marked as ignored.
pub(crate) fn count_tests(cargo: &mut Command, full: bool) -> Result<Tally> {
    if full {
        cargo.env("VHOST_TRACE_FULL", "1").arg("--include-ignored");
    }
    // A failed test says what it expected; where it was, its name says.
    if std::env::var_os("RUST_LIB_BACKTRACE").is_none() {
        cargo.env("RUST_LIB_BACKTRACE", "0");
    }
    let mut child = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {cargo:?}"))?;
    let stdout = child.stdout.take().context("no stdout")?;
    let mut sum = Tally::default();
    let mut ours = std::io::stdout().lock();
    // A crate without a matching test is not worth its three lines.
    let mut empty = false;
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line?;
        empty |= line == b"running 0 tests";
        if !empty && !line.is_empty() {
            ours.write_all(&line)?;
            ours.write_all(b"\n")?;
        }
        if let Some(tally) = Tally::parse(&String::from_utf8_lossy(&line)) {
            sum += tally;
            empty = false;
        }
    }
    if !child.wait()?.success() && sum.failed == 0 {
        sum += Tally::FAILED;
    }
    Ok(sum)
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

fn minutes(time: Duration) -> String {
    format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
}
