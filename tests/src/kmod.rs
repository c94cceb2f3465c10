//! Building kernel modules out of tree, with the source folder left clean.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cache::{Lock, target_dir, timed};
use crate::kernel::Kernel;
use crate::process::tail;
use crate::toolchain::BUILD_DIR;

/// Builds the module in `src_dir` for `kernel` below `out_dir`; see
/// [`ModuleBuild`] for more to say about it.
pub fn build_module(kernel: &Kernel, src_dir: &Path, out_dir: &Path) -> Result<PathBuf> {
    ModuleBuild::new(src_dir).build(kernel, out_dir)
}

/// Where the module `name` is built for `kernel`.
pub fn module_dir(kernel: &Kernel, name: &str) -> PathBuf {
    target_dir().join("lab").join(&kernel.release).join(name)
}

/// What a module is built from.
#[derive(Debug, Clone)]
pub struct ModuleBuild {
    src_dir: PathBuf,
    also: Vec<PathBuf>,
    symbols: Vec<PathBuf>,
    make_args: Vec<String>,
}

impl ModuleBuild {
    /// The module whose sources and Kbuild (or Makefile) are in `src_dir`.
    pub fn new(src_dir: impl Into<PathBuf>) -> Self {
        Self {
            src_dir: src_dir.into(),
            also: Vec::new(),
            symbols: Vec::new(),
            make_args: Vec::new(),
        }
    }

    /// A file or folder from elsewhere that is copied beside the sources: a
    /// header that this module shares with another part.
    pub fn also(mut self, path: impl Into<PathBuf>) -> Self {
        self.also.push(path.into());
        self
    }

    /// The Module.symvers of a module built before, whose exported symbols
    /// this one uses.
    pub fn symbols(mut self, symvers: impl Into<PathBuf>) -> Self {
        self.symbols.push(symvers.into());
        self
    }

    /// One more argument for make, such as `CONFIG_X=m`.
    pub fn make_arg(mut self, arg: impl Into<String>) -> Self {
        self.make_args.push(arg.into());
        self
    }

    /// Copies the sources to `out_dir`, builds there, and returns the module.
    /// A warning is an error. Nothing is done when nothing has changed.
    pub fn build(&self, kernel: &Kernel, out_dir: &Path) -> Result<PathBuf> {
        let _lock = Lock::take(&out_dir.with_extension("lock"))?;
        let mut files = BTreeMap::new();
        collect(&self.src_dir, Path::new(""), &mut files)?;
        for path in &self.also {
            if path.is_dir() {
                collect(path, Path::new(""), &mut files)?;
            } else {
                let name = path.file_name().context("a file without a name")?;
                files.insert(PathBuf::from(name), read(path)?);
            }
        }
        for (index, symvers) in self.symbols.iter().enumerate() {
            files.insert(symbols_name(index).into(), read(symvers)?);
        }
        let mut make = kernel.builder(out_dir)?;
        make.args(["make", "-C", &kernel.headers_dir()])
            .arg(format!("M={BUILD_DIR}"))
            .arg("KCFLAGS=-Werror")
            .arg(format!(
                "-j{}",
                std::thread::available_parallelism().map_or(1, |n| n.get())
            ))
            .args(&self.make_args);
        if !self.symbols.is_empty() {
            let names: Vec<_> = (0..self.symbols.len())
                .map(|index| format!("{BUILD_DIR}/{}", symbols_name(index)))
                .collect();
            make.arg(format!("KBUILD_EXTRA_SYMBOLS={}", names.join(" ")));
        }
        make.arg("modules");

        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        kernel.release.hash(&mut hasher);
        format!("{make:?}").hash(&mut hasher);
        let wanted = format!("{:016x}", hasher.finish());
        let stamp = out_dir.join(".lab-stamp");
        if fs::read_to_string(&stamp).is_ok_and(|old| old == wanted) {
            return module_in(out_dir);
        }

        let name = self
            .src_dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        timed(&format!("building {name} for {}", kernel.release), || {
            sync(out_dir, &files)?;
            let built = make.output().context("running make")?;
            let said = [&built.stdout[..], &built.stderr[..]].concat();
            let warned = String::from_utf8_lossy(&said)
                .lines()
                .any(|line| line.contains("warning:") || line.contains("WARNING:"));
            if !built.status.success() || warned {
                bail!("{make:?}: {}\n{}", built.status, tail(&said, 60));
            }
            fs::write(&stamp, &wanted)?;
            Ok(())
        })?;
        module_in(out_dir)
    }
}

/// Reads all sources below `dir`; what a build leaves behind is none.
fn collect(dir: &Path, below: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("reading {dir:?}"))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), &name, files)?;
        } else if is_source(&name) {
            files.insert(name, read(&entry.path())?);
        }
    }
    Ok(())
}

/// What the exported symbols of another module are called beside the sources.
fn symbols_name(index: usize) -> String {
    format!("symbols-{index}.inc")
}

fn is_source(name: &Path) -> bool {
    match name.extension().and_then(|e| e.to_str()) {
        Some("c") => !name.to_string_lossy().ends_with(".mod.c"),
        Some("h" | "S" | "lds" | "in" | "mk" | "inc") => true,
        Some(_) => false,
        None => name
            .file_name()
            .is_some_and(|n| n == "Kbuild" || n == "Makefile" || n == "Kconfig"),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {path:?}"))
}

/// Makes the sources in `out_dir` those of `files`, touching only what differs
/// so that make rebuilds only that.
fn sync(out_dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    fs::create_dir_all(out_dir)?;
    let mut old = BTreeMap::new();
    collect(out_dir, Path::new(""), &mut old)?;
    for name in old.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(out_dir.join(name))?;
    }
    for (name, content) in files {
        if old.get(name) != Some(content) {
            let path = out_dir.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&path, content).with_context(|| format!("writing {path:?}"))?;
        }
    }
    for module in modules_in(out_dir)? {
        fs::remove_file(module)?;
    }
    Ok(())
}

fn modules_in(out_dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(fs::read_dir(out_dir)?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "ko"))
        .collect())
}

fn module_in(out_dir: &Path) -> Result<PathBuf> {
    let mut modules = modules_in(out_dir)?;
    ensure!(
        modules.len() == 1,
        "{out_dir:?} holds {modules:?}, not one module"
    );
    Ok(modules.remove(0))
}
