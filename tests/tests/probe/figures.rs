//! What the command line says of probe definitions.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use vhost_trace_lab::Serve;

use crate::rig::TIME;

/// Adds a definition, which must be possible.
pub fn add(serve: &Serve, definition: &str) -> Result<()> {
    serve.vm2(&["probe", "add"], &[definition]).map(|_| ())
}

/// A figure of a definition: `recorded`, `limited` or `missed`.
pub fn counted(serve: &Serve, name: &str, figure: &str) -> Result<u64> {
    let list = serve.vm2(&["probe", "list"], &["--json"])?;
    let list: Value = serde_json::from_str(&list)?;
    let mut probes = list["definitions"].as_array().context("no list")?.iter();
    let probe = probes.find(|probe| probe["name"] == name);
    let counts = probe.with_context(|| format!("no {name}"))?["counts"].clone();
    let counts = counts.as_str().context("no counts")?;
    let words = counts
        .split(", ")
        .find_map(|count| count.strip_prefix(figure));
    let words = words.with_context(|| format!("{name}: {counts:?}"))?;
    Ok(words.trim().parse()?)
}

/// What `probe del` says of a definition.
pub fn recorded(said: &str, name: &str) -> Option<u64> {
    let begin = format!(" {name} is deleted: recorded ");
    said.split_once(&begin)?.1.split(',').next()?.parse().ok()
}

/// Waits until the driver has a definition that was remembered.
pub fn wait_for(serve: &Serve, name: &str) -> Result<()> {
    let begin = Instant::now();
    loop {
        let list = serve.vm2(&["probe", "list"], &["--json"])?;
        let list: Value = serde_json::from_str(&list)?;
        let mut probes = list["definitions"].as_array().context("no list")?.iter();
        let on = |probe: &Value| probe["name"] == name && probe["state"] == "on";
        if probes.any(on) {
            return Ok(());
        }
        ensure!(begin.elapsed() < TIME, "{list}");
    }
}
