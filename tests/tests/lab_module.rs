//! The lab builds modules for its guests.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use vhost_trace_lab::{Lab, build_module, module_dir, target_dir, workspace_dir};

fn names(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut names: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn lab_module_is_built_once_and_loads() -> Result<()> {
    let lab = Lab::prepare()?;
    let source = workspace_dir().join("tests/guest/hello");
    let before = names(&source)?;
    let out = module_dir(&lab.kernel, "hello");
    let start = Instant::now();
    let module = build_module(&lab.kernel, &source, &out)?;
    println!("built in {:.1} s", start.elapsed().as_secs_f64());
    ensure!(
        names(&source)? == before,
        "the build left something in {source:?}"
    );

    let built = fs::metadata(&module)?.modified()?;
    let module = build_module(&lab.kernel, &source, &out)?;
    ensure!(
        fs::metadata(&module)?.modified()? == built,
        "built again for nothing"
    );

    let guest = lab.guest("lab-module").module(&module).boot()?;
    guest.sh("insmod /modules/hello.ko whom=lab")?;
    guest.sh("rmmod hello")?;
    let log = guest.sh("dmesg")?;
    ensure!(
        log.contains("hello, lab") && log.contains("bye, lab"),
        "{log}"
    );
    Ok(())
}

#[test]
fn lab_module_warnings_are_errors() -> Result<()> {
    let lab = Lab::prepare()?;
    let source = target_dir().join("lab/modules/warns-source");
    fs::create_dir_all(&source)?;
    fs::write(source.join("Kbuild"), "obj-m := warns.o\n")?;
    fs::write(
        source.join("warns.c"),
        "#include <linux/module.h>\nstatic int unused;\nMODULE_LICENSE(\"GPL\");\n",
    )?;
    let out = module_dir(&lab.kernel, "warns");
    let error = build_module(&lab.kernel, &source, &out).expect_err("a warning was accepted");
    let error = format!("{error:#}");
    ensure!(error.contains("unused"), "{error}");
    Ok(())
}
