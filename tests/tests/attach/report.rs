//! What `check --json` says.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vhost_trace_lab::Serve;

use crate::rig::Vm;

/// The checks of a VM.
#[derive(Debug)]
pub struct Report {
    checks: Vec<Value>,
    /// Whether the command succeeded.
    pub success: bool,
}

impl Report {
    /// `check` with these words, in the run directory of `serve`.
    pub fn new(serve: &Serve, words: &[&str]) -> Result<Self> {
        let args = [&["check", "--json"], words].concat();
        let output = serve.command(&args)?.output()?;
        let text = String::from_utf8(output.stdout)?;
        let report: Value = serde_json::from_str(&text)
            .with_context(|| format!("{text:?}, {:?}", String::from_utf8(output.stderr)))?;
        let checks = report["checks"].as_array().context("no checks")?.clone();
        let report = Self {
            checks,
            success: output.status.success(),
        };
        let failed = report.checks.iter().any(|check| check["state"] == "fail");
        ensure!(
            failed != report.success,
            "the exit status says otherwise: {report:?}"
        );
        Ok(report)
    }

    /// `check` of the VM `vm` and its QEMU.
    pub fn of(serve: &Serve, vm: &Vm) -> Result<Self> {
        Self::new(serve, &["vm", "--qmp", vm.monitor()?])
    }

    /// Asserts the state of a check, and that it says all of `words`, in what
    /// it found or what it proposes.
    pub fn assert(&self, check: &str, state: &str, words: &[&str]) -> Result<()> {
        let mut found = self.checks.iter().filter(|found| found["check"] == check);
        let row = found
            .next()
            .with_context(|| format!("no {check}: {self:#?}"))?;
        let text = format!("{} {}", row["finding"], row["remedy"]);
        ensure!(
            row["state"] == state && words.iter().all(|word| text.contains(word)),
            "{check} is not {state} with {words:?}: {row:#}"
        );
        ensure!(
            (row["state"] == "ok") == row["remedy"].is_null(),
            "no remedy, or one for nothing: {row:#}"
        );
        Ok(())
    }

    /// Asserts that exactly these checks fail.
    pub fn assert_failed(&self, checks: &[&str]) -> Result<()> {
        let failed = self.checks.iter().filter(|check| check["state"] == "fail");
        let failed: Vec<_> = failed.filter_map(|check| check["check"].as_str()).collect();
        ensure!(failed == checks, "expected {checks:?}: {self:#?}");
        Ok(())
    }
}
