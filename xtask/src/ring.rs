//! The steps that put the rings to other tests than cargo's.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::steps::{Outcome, status};
use crate::test::{cargo, count_tests};

const PACKAGE: &str = "vhost-trace-ringbuf";

/// Tests that are short enough for valgrind and still go through all of the
/// writer: its quick path, its slow one, switches, clocks and wake-ups.
const VALGRIND: &[&str] = &["ring_stepped_with_odd_sizes", "ring_kicks", "ring_clock"];

/// Seconds for each fuzz target.
const FUZZ: [u32; 2] = [40, 5];
const FUZZ_FULL: [u32; 2] = [600, 60];

/// The models, built apart: loom replaces the atomics.
pub(crate) fn loom(full: bool) -> Result<Outcome> {
    let mut cargo = cargo();
    cargo
        .args(["test", "--release", "--package", PACKAGE, "--test", "loom"])
        .arg("--target-dir")
        .arg(lab::target_dir().join("loom"))
        .args(["--", "--nocapture"])
        .env("RUSTFLAGS", "--cfg loom");
    Ok(Outcome::Tests(count_tests(&mut cargo, full)?))
}

/// The C writer, stepped, and the reader under valgrind.
pub(crate) fn valgrind(_full: bool) -> Result<Outcome> {
    lab::install_packages(&["valgrind", "libc6-dbg"])?;
    status(
        Command::new("valgrind")
            .args(["--quiet", "--error-exitcode=9"])
            .arg(ring_tests()?)
            .args(VALGRIND)
            .current_dir(lab::workspace_dir().join("ringbuf")),
    )
}

/// The program that cargo makes of the ring's integration tests.
fn ring_tests() -> Result<String> {
    let output = cargo()
        .args(["test", "--package", PACKAGE, "--test", "ring", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        // Its progress, and why it does not compile.
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo")?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "ring")
        .find_map(|message| message["executable"].as_str().map(str::to_string))
        .context("cargo built no test program of the rings")
}

/// libFuzzer needs a nightly toolchain.
pub(crate) fn fuzz(full: bool) -> Result<Outcome> {
    let nightly = Command::new("cargo")
        .args(["+nightly", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !nightly {
        return Ok(Outcome::Skipped(
            "no nightly toolchain: `rustup toolchain install nightly`".into(),
        ));
    }
    lab::install_packages(&["g++"])?;
    let times = if full { FUZZ_FULL } else { FUZZ };
    for (target, seconds) in ["reader", "descriptor"].iter().zip(times) {
        let run = status(
            Command::new(lab::workspace_dir().join("fuzz/run"))
                .args([target, seconds.to_string().as_str()])
                // What is found in the default tier is found again.
                .args((!full).then_some("-seed=1"))
                // Not this workspace's toolchain, nor its flags.
                .env_remove("RUSTUP_TOOLCHAIN")
                .env_remove("CARGO"),
        )?;
        if !matches!(run, Outcome::Passed) {
            return Ok(run);
        }
    }
    Ok(Outcome::Passed)
}
