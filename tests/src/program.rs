//! Small C programs for guests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, target_dir};
use crate::process::{command, output, stdout};

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

/// Copies a program and the libraries that it runs with into the folder `dir`;
/// returns the words that run it there when the folder is at `place`, whichever
/// libraries there are beside it.
pub fn copy_with_libraries(program: &Path, dir: &Path, place: &str) -> Result<Vec<String>> {
    let name = |path: &Path| -> Result<String> {
        let name = path.file_name().context("a path without a name")?;
        Ok(name.to_string_lossy().into_owned())
    };
    let listed = stdout(command("ldd").arg(program))?;
    let mut linker = None;
    let files = listed
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    for file in files.map(Path::new).chain([program]) {
        let name = name(file)?;
        fs::copy(file, dir.join(&name)).with_context(|| format!("copying {file:?}"))?;
        if name.starts_with("ld-linux") {
            linker = Some(name);
        }
    }
    let linker = linker.with_context(|| format!("{program:?} has no dynamic linker"))?;
    Ok(vec![
        format!("{place}/{linker}"),
        "--library-path".into(),
        place.into(),
        format!("{place}/{}", name(program)?),
    ])
}
