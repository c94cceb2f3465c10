//! The plugin `benches/plugin/insn_count.c`: its arguments and its output.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use vhost_trace_lab::{compile_c, target_dir, workspace_dir};

/// The plugin, compiled.
pub fn plugin() -> Result<PathBuf> {
    let source = workspace_dir().join("benches/plugin/insn_count.c");
    let library = target_dir().join("lab/libinsn_count.so");
    let flags = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden"];
    compile_c(
        &[&source],
        &library,
        &[&flags[..], &["-Wl,-z,now"]].concat(),
    )?;
    Ok(library)
}

/// The plugin's arguments.
pub fn arguments(out: &Path, watched: &[Range<u64>]) -> String {
    let mut args = format!("out={}", out.display());
    for range in watched {
        args.push_str(&format!(",watch={:x}-{:x}", range.start, range.end));
    }
    args
}

/// What was executed between two marks.
#[derive(Debug, Clone, Default)]
pub struct Section {
    /// Instructions of each vCPU.
    pub vcpus: Vec<u64>,
    /// Executions by address, of watched addresses.
    pub watched: BTreeMap<u64, u64>,
}

impl Section {
    /// Instructions of all vCPUs.
    pub fn total(&self) -> u64 {
        self.vcpus.iter().sum()
    }

    /// Instructions in a range of watched addresses.
    pub fn within(&self, range: Range<u64>) -> u64 {
        self.watched.range(range).map(|(_, count)| count).sum()
    }
}

/// Reads the plugin's output.
pub fn sections(out: &Path) -> Result<Vec<Section>> {
    let text = std::fs::read_to_string(out).with_context(|| format!("reading {out:?}"))?;
    let mut done = Vec::new();
    let mut now = Section::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["section", _] => now = Section::default(),
            ["vcpu", _, count] => now.vcpus.push(count.parse()?),
            ["insn", address, count] => {
                now.watched
                    .insert(u64::from_str_radix(address, 16)?, count.parse()?);
            }
            ["end", number] => {
                done.push(std::mem::take(&mut now));
                ensure!(number.parse() == Ok(done.len()), "{out:?}: {line}");
            }
            ["unwatched", count] => bail!("{out:?}: {count} watched addresses were not counted"),
            _ => bail!("{out:?}: a line that the plugin does not write: {line}"),
        }
    }
    Ok(done)
}
