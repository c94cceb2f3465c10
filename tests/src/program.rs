//! Small C programs for guests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, target_dir};
use crate::process::{command, output};

/// Compiles `tests/guest/NAME.c` to a static program, and returns it.
pub fn static_program(name: &str) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("guest")
        .join(name)
        .with_extension("c");
    let program = target_dir().join("lab/programs").join(name);
    compile_c(&[&source], &program, &["-O2", "-static", "-pthread"])?;
    Ok(program)
}

/// Compiles C sources with gcc and all warnings as errors, when one of them,
/// or a header in their folders, is newer than `program`, or `flags` changed.
pub fn compile_c(sources: &[&Path], program: &Path, flags: &[&str]) -> Result<()> {
    ensure!(!sources.is_empty(), "nothing to compile");
    let stamp = program.with_extension("cmd");
    let _lock = Lock::take(&program.with_extension("lock"))?;
    let mut gcc = command("gcc");
    gcc.args(["-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .args(sources);
    let wanted = format!("{gcc:?}");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == wanted) && is_current(sources, program)? {
        return Ok(());
    }
    let part = program.with_extension("part");
    output(gcc.arg("-o").arg(&part))?;
    fs::rename(&part, program).with_context(|| format!("renaming {part:?}"))?;
    fs::write(&stamp, wanted)?;
    Ok(())
}

fn is_current(sources: &[&Path], program: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(program).and_then(|m| m.modified()) else {
        return Ok(false);
    };
    for source in sources {
        let folder = source.parent().unwrap_or(Path::new("."));
        let headers = fs::read_dir(folder)
            .with_context(|| format!("reading {folder:?}"))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "h"));
        for file in headers.chain([source.to_path_buf()]) {
            let changed = fs::metadata(&file).and_then(|m| m.modified());
            if changed.with_context(|| format!("reading {file:?}"))? >= built {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
