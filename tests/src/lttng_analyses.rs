//! lttng-analyses 0.6.1, which reads traces with Babeltrace 1.

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{Lock, cache_dir, folder, timed};
use crate::debian::{install_packages, unknown_package};
use crate::process::{command, output, stdout};

const VERSION: &str = "0.6.1";

/// Babeltrace 1 with its Python module, which Debian may drop one day.
const READER: &[&str] = &["babeltrace", "python3-babeltrace", "python3-pyparsing"];

/// Debian's own, to which its packages of modules belong; the first one in the
/// path may be another.
const PYTHON: &str = "/usr/bin/python3";

/// What newer Pythons need; Python runs a file `sitecustomize.py` before all
/// else. What was published runs up to 3.9, where `collections` still has that
/// name. Babeltrace 1 leaves the number of fields open where an event has none
/// of a kind, which is 0 by chance up to 3.12 (Debian 13 has 3.13).
const SITE: &str = "\
import collections.abc
import babeltrace.babeltrace as babeltrace

collections.Mapping = collections.abc.Mapping
list_fields = babeltrace._bt_python_field_listcaller


def list_fields_or_none(event, scope):
    found = list_fields(event, scope)
    return found if isinstance(found, list) and found[0] else 0


babeltrace._bt_python_field_listcaller = list_fields_or_none
";

/// The analyses, in a folder of the cache.
#[derive(Debug)]
pub struct LttngAnalyses {
    dir: PathBuf,
}

impl LttngAnalyses {
    /// Installed when the cache does not have them. `None`, said on stderr,
    /// where this machine's Debian does not have what they read traces with.
    pub fn prepare() -> Result<Option<Self>> {
        let _lock = Lock::take(&cache_dir().join("lttng-analyses.lock"))?;
        if let Some(name) = unknown_package(READER)? {
            // Not a macro's output, which a test that passes does not show.
            let _ = writeln!(
                stderr(),
                "SKIPPED: lttng-analyses, which need {name}: apt does not know it"
            );
            return Ok(None);
        }
        install_packages(READER)?;
        let dir = folder(&format!("lttng-analyses-{VERSION}-2"), |part, _| {
            install_packages(&["python3-pip"])?;
            timed("fetching lttng-analyses", || fill(part))
        })?;
        Ok(Some(Self { dir }))
    }

    /// What `lttng-NAME ARGS TRACE` prints. Any exit status but 0 is an error.
    pub fn run(&self, name: &str, args: &[&str], trace: &Path) -> Result<String> {
        let program = self.dir.join("bin").join(format!("lttng-{name}"));
        stdout(
            command(PYTHON)
                .env("PYTHONPATH", &self.dir)
                .arg(program)
                .args(args)
                .args(["--no-progress", "--no-color", "--gmt"])
                .arg(trace),
        )
    }
}

fn fill(part: &Path) -> Result<()> {
    output(
        command(PYTHON)
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--root-user-action=ignore"])
            .arg("--target")
            .arg(part)
            .arg(format!("lttnganalyses=={VERSION}")),
    )?;
    fs::write(part.join("sitecustomize.py"), SITE).context("writing sitecustomize.py")
}
