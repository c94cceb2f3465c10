//! A guest whose driver allows modules, and modules for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{
    GuestBuilder, Kernel, Lab, ModuleBuild, driver_module, module_dir, read_trace, target_dir,
    workspace_dir,
};

use crate::rig::{ROOMY, Rig};

/// How the driver is loaded that allows all.
pub const ALL: &str = "allow=native,probes,modules";

/// A guest, its `serve`, and the modules for its kernel.
#[derive(Debug)]
pub struct Kit {
    pub rig: Rig,
    name: &'static str,
}

impl Kit {
    /// Boots a guest and loads its driver with these parameters.
    pub fn boot(name: &'static str, parameters: &str) -> Result<Self> {
        Self::boot_with(name, parameters, |guest| guest)
    }

    /// The same, with whatever else the guest is to have.
    pub fn boot_with(
        name: &'static str,
        parameters: &str,
        describe: impl FnOnce(GuestBuilder) -> GuestBuilder,
    ) -> Result<Self> {
        Self::boot_on(&Lab::prepare()?.kernel, name, parameters, describe)
    }

    /// The same with this kernel.
    pub fn boot_on(
        kernel: &Kernel,
        name: &'static str,
        parameters: &str,
        describe: impl FnOnce(GuestBuilder) -> GuestBuilder,
    ) -> Result<Self> {
        let rig = Rig::boot_on(kernel, name, ROOMY, |guest| describe(guest.smp(2)))?;
        let kit = Self { rig, name };
        let load = format!("insmod /modules/virtio_trace.ko {parameters}");
        kit.rig.guest.sh(&load)?;
        Ok(kit)
    }

    pub fn name(&self) -> &str {
        self.name
    }

    /// Runs `probe WORD VM ..` to its end.
    pub fn probe(&self, word: &str, words: &[&str]) -> Result<Output> {
        let args = [&["probe", word, self.name], words].concat();
        Ok(self.rig.serve.command(&args)?.output()?)
    }

    /// The same; it must succeed. Returns what it prints.
    pub fn done(&self, word: &str, words: &[&str]) -> Result<String> {
        let output = self.probe(word, words)?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "probe {word} {words:?}: {error}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// The same; it must fail, and name this VM and these texts.
    pub fn fails(&self, word: &str, words: &[&str], texts: &[&str]) -> Result<()> {
        let output = self.probe(word, words)?;
        let error = String::from_utf8_lossy(&output.stderr);
        println!("probe {word} {words:?}: {}", error.trim());
        ensure!(output.status.code() == Some(1), "{words:?}: {output:?}");
        for text in [&[self.name], texts].concat() {
            ensure!(error.contains(text), "{words:?}: no {text:?} in {error}");
        }
        Ok(())
    }

    /// Loads one of the driver's own probes, or of the tests' modules.
    pub fn load(&self, module: &str, parameters: &[&str]) -> Result<String> {
        let file = module_file(module)?;
        self.done("load", &[&[utf8(&file)?], parameters].concat())
    }

    /// Ends all, and returns the fields of all events by the events' names.
    pub fn recorded(&mut self) -> Result<BTreeMap<String, Vec<String>>> {
        self.rig.finish()?;
        let mut recorded: BTreeMap<String, Vec<String>> = BTreeMap::new();
        read_trace(&self.rig.serve.trace(), |event| {
            let of = recorded.entry(event.name.to_owned()).or_default();
            of.push(event.fields.to_owned());
            Ok(())
        })?;
        Ok(recorded)
    }

    pub fn unload(&self, module: &str) -> Result<String> {
        self.done("unload", &[module])
    }

    /// A file for this test, with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        let dir = target_dir().join("lab/probe-files").join(self.name);
        fs::create_dir_all(&dir)?;
        let path = dir.join(name);
        fs::write(&path, content)?;
        Ok(path)
    }
}

/// The source of a probe, or of one of the tests' modules.
pub fn source(name: &str) -> PathBuf {
    let file = format!("{name}.c");
    let own = workspace_dir().join("guest-driver/probes").join(&file);
    match own.is_file() {
        true => own,
        false => workspace_dir().join("tests/guest/probes").join(&file),
    }
}

/// The module of that source, for the lab's kernel.
pub fn module_file(name: &str) -> Result<PathBuf> {
    module_for(&Lab::prepare()?.kernel, name)
}

fn module_for(kernel: &Kernel, name: &str) -> Result<PathBuf> {
    let driver = workspace_dir().join("guest-driver");
    driver_module(kernel)?;
    let folder = target_dir().join("lab/probe-sources").join(name);
    let kbuild = format!("obj-m := {name}.o\nccflags-y := -I$(src)\n");
    replace(&folder.join("Kbuild"), kbuild.as_bytes())?;
    let content = fs::read(source(name)).with_context(|| format!("source of {name}"))?;
    replace(&folder.join(format!("{name}.c")), &content)?;
    let built = ModuleBuild::new(folder)
        .also(driver.join("vtrace.h"))
        .also(driver.join("vtrace_abi.h"))
        .symbols(module_dir(kernel, "driver").join("Module.symvers"))
        .build(kernel, &module_dir(kernel, &format!("probe-{name}")))?;
    // As `probe build` does.
    let stripped = built.with_extension("stripped");
    let done = Command::new("strip")
        .args(["--strip-debug", "-o"])
        .args([&stripped, &built])
        .status()?;
    ensure!(done.success(), "strip: {done}");
    let module = module_dir(kernel, "probes").join(format!("{name}.ko"));
    replace(&module, &fs::read(stripped)?)?;
    Ok(module)
}

/// Another test may read it at this moment.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a folder")?)?;
    let new = path.with_extension(format!("{}-new", std::process::id()));
    fs::write(&new, content)?;
    Ok(fs::rename(&new, path)?)
}

pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path of UTF-8")
}
