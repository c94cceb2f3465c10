//! When the program of a watch came to run, by the host's clock.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The present, since 1970.
pub fn now() -> Result<Duration> {
    Ok(std::time::UNIX_EPOCH.elapsed()?)
}

/// Writes the present to a FIFO, which somebody reads.
pub fn put(fifo: &Path) -> Result<()> {
    let now = now()?;
    let mut fifo = fs::OpenOptions::new().write(true).open(fifo)?;
    writeln!(fifo, "{}", now.as_nanos())?;
    Ok(())
}

/// Makes a FIFO.
pub fn make(fifo: &Path) -> Result<()> {
    let status = Command::new("mkfifo").arg(fifo).status()?;
    ensure!(status.success(), "mkfifo: {status}");
    Ok(())
}

/// Waits for what [`put`] writes.
pub fn take(fifo: &Path) -> Result<Duration> {
    let text = fs::read_to_string(fifo)?;
    let nanos = text.trim().parse().with_context(|| format!("{text:?}"))?;
    Ok(Duration::from_nanos(nanos))
}
