//! A module that SystemTap makes.

use std::fs;

use anyhow::{Result, ensure};
use vhost_trace_lab::{
    BUILD_DIR, Flavour, Kernel, Series, driver_module, module_dir, workspace_dir,
};

use super::kit::{ALL, Kit, utf8};

/// What `stap -p4` makes of the tests' script. Returns its folder.
fn build(kernel: &Kernel) -> Result<std::path::PathBuf> {
    driver_module(kernel)?;
    let out = module_dir(kernel, "systemtap");
    fs::create_dir_all(&out)?;
    let driver = workspace_dir().join("guest-driver");
    for file in ["vtrace.h", "vtrace_abi.h"] {
        fs::copy(driver.join(file), out.join(file))?;
    }
    let script = "tests/guest/systemtap/stap_api.stp";
    fs::copy(workspace_dir().join(script), out.join("stap_api.stp"))?;
    let symbols = module_dir(kernel, "driver").join("Module.symvers");
    fs::copy(symbols, out.join("symbols.inc"))?;
    let stap = format!(
        "cd {BUILD_DIR} && HOME=/tmp stap -g -p4 -r {} -m stap_api \
         -B KBUILD_EXTRA_SYMBOLS={BUILD_DIR}/symbols.inc stap_api.stp && \
         strip --strip-debug stap_api.ko",
        kernel.headers_dir()
    );
    let built = kernel
        .builder_with(&out, "systemtap")?
        .args(["sh", "-c", &stap])
        .output()?;
    ensure!(built.status.success(), "{built:?}");
    Ok(out)
}

/// Debian 12's SystemTap does not know all of Debian 12's kernel any more, and
/// none knows the newest: Debian 13's it is.
#[test]
#[ignore = "full tier"]
fn probe_module_of_systemtap() -> Result<()> {
    let kernel = Series::Linux6_12.kernel(Flavour::Generic)?;
    let module = build(&kernel)?.join("stap_api.ko");
    let mut kit = Kit::boot_on(&kernel, "probe-stap", ALL, |guest| guest)?;
    kit.done("load", &[utf8(&module)?, "number=42"])?;
    let number = "/sys/module/stap_api/parameters/number";
    kit.rig.guest.sh(&format!("echo 43 >{number}"))?;
    assert_eq!(kit.done("list", &[])?, "stap_api");
    kit.unload("stap_api")?;
    let recorded = kit.recorded()?;
    assert_eq!(recorded["stap_number"], ["number = 42", "number = 43"]);
    Ok(())
}
