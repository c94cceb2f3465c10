//! The tests of the whole way, once more in guests with other kernels.

use anyhow::Result;

use crate::steps::Outcome;
use crate::test::{cargo, count_tests};

/// What depends on the kernel most: exactness, nested writers, deaths, filters,
/// contexts, hot plug, probe modules, and the instructions of an event.
const TESTS: &[&str] = &[
    "exact::",
    "stress::",
    "life::",
    "calls::",
    "contexts::",
    "filter::",
    "size_grows",
    "modules::frozen",
    "modules::use_it",
    "cost_of_an_event",
];

/// With Debian 13's kernel.
pub(crate) fn linux_6_12(full: bool) -> Result<Outcome> {
    run("6.12", full)
}

/// With a kernel of Debian 13's backports.
pub(crate) fn linux_7_2(full: bool) -> Result<Outcome> {
    run("7.2", full)
}

fn run(kernel: &str, full: bool) -> Result<Outcome> {
    let mut cargo = cargo();
    cargo
        .args(["test", "--package", "vhost-trace-lab", "--no-fail-fast"])
        .args(["--test", "trace", "--test", "probe", "--test", "cost", "--"])
        .args(TESTS)
        .env("VHOST_TRACE_KERNEL", kernel);
    Ok(Outcome::Tests(count_tests(&mut cargo, full)?))
}
