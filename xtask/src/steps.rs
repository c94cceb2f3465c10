//! The steps of `cargo xtask test` beside the tests of the crates. A new one is
//! an entry of [`STEPS`].

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tally::Tally;
use crate::test::cargo;
use crate::{kernels, ring};

/// A named step.
pub(crate) struct Step {
    /// What `cargo xtask test NAME` selects it by.
    pub(crate) name: &'static str,
    /// A line for who watches.
    pub(crate) about: &'static str,
    pub(crate) tier: Tier,
    /// Gets whether the full tier was asked for.
    pub(crate) run: fn(full: bool) -> Result<Outcome>,
}

/// When a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    Default,
    /// With `--full`, or when it is named.
    Full,
}

/// How a step ended.
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It could not run here, and why: said aloud, and counted.
    Skipped(String),
    /// It counted by itself.
    Tests(Tally),
}

/// All steps, the quick ones first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the Rust code is formatted",
        tier: Tier::Default,
        run: |_| component("fmt", &["--all", "--check"]),
    },
    Step {
        name: "clippy",
        about: "clippy has nothing to say",
        tier: Tier::Default,
        run: |_| {
            component(
                "clippy",
                &["--workspace", "--all-targets", "--", "-D", "warnings"],
            )
        },
    },
    Step {
        name: "checkpatch",
        about: "the driver follows the kernel's style",
        tier: Tier::Default,
        run: |_| checkpatch(),
    },
    Step {
        name: "ring-loom",
        about: "what writer and host share, in every order two processors may see",
        tier: Tier::Default,
        run: ring::loom,
    },
    Step {
        name: "ring-valgrind",
        about: "the driver's writer and the reader touch no byte but theirs",
        tier: Tier::Default,
        run: ring::valgrind,
    },
    Step {
        name: "ring-fuzz",
        about: "ring memory that changes while it is read",
        tier: Tier::Default,
        run: ring::fuzz,
    },
    Step {
        name: "kernels-6.12",
        about: "a guest with Debian 13's kernel",
        tier: Tier::Full,
        run: kernels::linux_6_12,
    },
    Step {
        name: "kernels-7.2",
        about: "a guest with a kernel of Debian 13's backports",
        tier: Tier::Default,
        run: kernels::linux_7_2,
    },
];

/// A step that is one command: its exit status is the result.
pub(crate) fn status(command: &mut Command) -> Result<Outcome> {
    let status = command
        .status()
        .with_context(|| format!("running {command:?}"))?;
    Ok(if status.success() {
        Outcome::Passed
    } else {
        Outcome::Failed
    })
}

/// A step that is one of cargo's commands that not every Rust comes with.
fn component(name: &str, args: &[&str]) -> Result<Outcome> {
    let version = cargo().args([name, "--version"]).output()?;
    if !version.status.success() {
        return Ok(Outcome::Skipped(format!("this Rust has no cargo {name}")));
    }
    status(cargo().arg(name).args(args))
}

/// What checkpatch cannot know of code out of the kernel's tree.
const CHECKPATCH_IGNORE: &[&str] = &[
    // One source for several kernels needs the version, in one header.
    "LINUX_VERSION_CODE",
];

fn checkpatch() -> Result<Outcome> {
    let mut sources = Vec::new();
    find_sources(&lab::workspace_dir().join("guest-driver"), &mut sources)?;
    sources.sort();
    if sources.is_empty() {
        return Ok(Outcome::Passed);
    }
    let script = lab::checkpatch()?;
    status(
        Command::new(script)
            .args([
                "--no-tree",
                "--no-summary",
                "--terse",
                "--show-types",
                "--color=never",
            ])
            .args(["--ignore", &CHECKPATCH_IGNORE.join(","), "-f"])
            .args(&sources)
            .current_dir(lab::workspace_dir()),
    )
}

fn find_sources(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {dir:?}"))? {
        let path = entry?.path();
        if path.is_dir() {
            find_sources(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "c" || e == "h")
            && !path.to_string_lossy().ends_with(".mod.c")
        {
            found.push(path);
        }
    }
    Ok(())
}
