//! The code of a module that a guest has loaded: where it is, and which source
//! each of its instructions comes from.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use vhost_trace_lab::{BUILD_DIR, Guest};

/// A loaded module.
#[derive(Debug)]
pub struct ModuleCode {
    file: PathBuf,
    sections: BTreeMap<String, Range<u64>>,
}

/// A line of source, in the function that it was compiled into or that was
/// inlined there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function's name.
    pub function: String,
    /// The source file.
    pub file: PathBuf,
    /// The line's number.
    pub line: usize,
    /// The line's text, without white space at its ends.
    pub text: String,
    /// Whether the file is one of the module's own, not of the kernel's.
    pub own: bool,
}

impl ModuleCode {
    /// Asks the guest where it has put the code of module `name`, built as
    /// `file`. What is used only once, at the start, is left out.
    pub fn locate(guest: &Guest, name: &str, file: &Path) -> Result<Self> {
        let mut sections = BTreeMap::new();
        for (section, size) in code_sections(file)? {
            if section == ".init.text" || size == 0 {
                continue;
            }
            let base = guest.sh(&format!("cat /sys/module/{name}/sections/{section}"))?;
            let base = u64::from_str_radix(base.trim_start_matches("0x"), 16)
                .with_context(|| format!("{section} of {name} is at {base:?}"))?;
            ensure!(base != 0, "the guest hides where {section} of {name} is");
            sections.insert(section, base..base + size);
        }
        Ok(Self {
            file: file.to_path_buf(),
            sections,
        })
    }

    /// The source of each of `addresses` that is in this module: the line that
    /// the instruction is of, then the calls that were inlined around it.
    pub fn sources(
        &self,
        addresses: impl Iterator<Item = u64>,
    ) -> Result<BTreeMap<u64, Vec<Frame>>> {
        let addresses: Vec<u64> = addresses.collect();
        let home = self.file.parent().context("a file without a folder")?;
        let mut texts = HashMap::new();
        let mut found = BTreeMap::new();
        for (section, range) in &self.sections {
            let offsets: Vec<u64> = addresses
                .iter()
                .filter(|address| range.contains(address))
                .map(|address| address - range.start)
                .collect();
            for (offset, frames) in self.addr2line(section, &offsets)? {
                let frames = frames
                    .into_iter()
                    .map(|(function, file, line)| {
                        let own = file.strip_prefix(BUILD_DIR).map(|name| home.join(name));
                        let (own, file) = (own.is_ok(), own.unwrap_or(file));
                        let text = text_of(&mut texts, &file, line);
                        Frame {
                            function,
                            file,
                            line,
                            text,
                            own,
                        }
                    })
                    .collect();
                found.insert(range.start + offset, frames);
            }
        }
        Ok(found)
    }

    fn addr2line(&self, section: &str, offsets: &[u64]) -> Result<Vec<(u64, Vec<Place>)>> {
        let mut child = Command::new("addr2line")
            .args(["-a", "-f", "-i", "-j", section, "-e"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("running addr2line (binutils)")?;
        let mut input = child.stdin.take().context("no stdin")?;
        let asked: String = offsets.iter().map(|at| format!("{at:#x}\n")).collect();
        let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success() && matches!(writer.join(), Ok(Ok(()))),
            "addr2line of {:?}: {}",
            self.file,
            output.status
        );
        let mut found: Vec<(u64, Vec<Place>)> = Vec::new();
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(at) = line.strip_prefix("0x") {
                found.push((u64::from_str_radix(at, 16)?, Vec::new()));
                continue;
            }
            let place = lines.next().unwrap_or_default();
            let place = place.split(" (discriminator").next().unwrap_or(place);
            let (file, number) = place.rsplit_once(':').context("addr2line: no line")?;
            let Some((_, frames)) = found.last_mut() else {
                bail!("addr2line: {line:?} of no address");
            };
            frames.push((line.to_string(), file.into(), number.parse().unwrap_or(0)));
        }
        ensure!(
            found.len() == offsets.len(),
            "addr2line: not all addresses were answered"
        );
        Ok(found)
    }
}

/// A function, a file and a line.
type Place = (String, PathBuf, usize);

fn text_of(texts: &mut HashMap<PathBuf, Vec<String>>, file: &Path, line: usize) -> String {
    let lines = texts.entry(file.to_path_buf()).or_insert_with(|| {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|line| line.trim().to_string()).collect()
    });
    lines.get(line.wrapping_sub(1)).cloned().unwrap_or_default()
}

/// Name and size of the sections with code.
fn code_sections(file: &Path) -> Result<Vec<(String, u64)>> {
    let output = Command::new("readelf").arg("-SW").arg(file).output()?;
    ensure!(output.status.success(), "readelf of {file:?} failed");
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        // [ 2] .text PROGBITS address offset size entry-size flags ...
        let Some((_, line)) = line.split_once(']') else {
            continue;
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, "PROGBITS", _, _, size, _, flags, ..] = words[..]
            && flags.contains('A')
            && flags.contains('X')
        {
            found.push((name.to_string(), u64::from_str_radix(size, 16)?));
        }
    }
    ensure!(!found.is_empty(), "{file:?} has no code");
    Ok(found)
}
