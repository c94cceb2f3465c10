//! Where the lab keeps what it has fetched, and how a part of it appears: whole
//! or not at all.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

/// The folder that outlives `cargo clean`: `$VHOST_TRACE_LAB`, or
/// `vhost-trace` in the user's cache folder.
pub fn cache_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = var("VHOST_TRACE_LAB") {
        return std::path::absolute(&dir).unwrap_or_else(|_| dir.into());
    }
    let base = match (var("XDG_CACHE_HOME"), var("HOME")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => PathBuf::from("/var/cache"),
    };
    base.join("vhost-trace")
}

/// The workspace's root folder.
pub fn workspace_dir() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// Cargo's target folder, below which the lab builds modules and programs.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => workspace_dir().join(dir),
        None => workspace_dir().join("target"),
    }
}

/// A lock between processes, held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock file `path`, creating it when missing.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {parent:?}"))?;
        }
        let file = File::create(path).with_context(|| format!("creating {path:?}"))?;
        if file.try_lock().is_err() {
            progress(&format!("waiting for another process ({path:?})"));
            file.lock().with_context(|| format!("locking {path:?}"))?;
        }
        Ok(Self { _file: file })
    }
}

/// Says on stderr what the lab does now.
pub(crate) fn progress(what: &str) {
    eprintln!("lab: {what}");
}

/// Runs `work`, says before what it is and afterwards how long it took.
pub(crate) fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    progress(&format!("{what} ..."));
    let start = Instant::now();
    let result = work().with_context(|| what.to_string())?;
    progress(&format!("{what}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(result)
}

/// Returns the folder `name` of the cache, filled by `fill` when it is not
/// there yet. `fill` gets an empty folder beside it that is renamed when it is
/// complete, and the final name, for what has to be written into files. What
/// changes the content changes `name` too.
pub(crate) fn folder(name: &str, fill: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let done = cache_dir().join(name);
    if done.is_dir() {
        return Ok(done);
    }
    let part = cache_dir().join(format!("{name}.part"));
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("removing {part:?}"))?;
    }
    fs::create_dir_all(&part).with_context(|| format!("creating {part:?}"))?;
    fill(&part, &done)?;
    fs::rename(&part, &done).with_context(|| format!("renaming {part:?}"))?;
    Ok(done)
}
