//! The driver that the program carries, on its way into a guest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{
    BUILD_DIR, Lab, copy_with_libraries, debian_12, install_packages, target_dir, vhost_trace,
};

/// Runs `driver` with these words and no libguestfs; whether it succeeded, and
/// what it says.
fn driver(words: &[&str]) -> Result<(bool, String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let output = Command::new(vhost_trace()?)
        .arg("driver")
        .args(words)
        .output()?;
    Ok((
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path of UTF-8")
}

#[test]
fn attach_driver_is_built_for_a_kernel() -> Result<()> {
    let lab = Lab::prepare()?;
    let out = target_dir().join("lab/driver-build");
    fs::create_dir_all(&out)?;
    let out = utf8(&out)?;
    let (done, _, why) = driver(&["build", "--headers", "/proc", "--out", out])?;
    ensure!(
        !done && why.contains("no build folder of a kernel"),
        "{why}"
    );
    // Where that kernel's modules can be built.
    let program = copy_with_libraries(vhost_trace()?, Path::new(out), BUILD_DIR)?;
    let kernel = &lab.kernel;
    let built = kernel
        .builder(Path::new(out))?
        .args(program)
        .args(["driver", "build", "--headers", &kernel.headers_dir()])
        .args(["--out", BUILD_DIR])
        .output()?;
    ensure!(built.status.success(), "{built:?}");
    let said = String::from_utf8(built.stdout)?;
    assert_eq!(said.trim(), format!("{BUILD_DIR}/virtio_trace.ko"));

    let module = &format!("{out}/virtio_trace.ko");
    let image = format!("{out}/image with a space");
    fs::write(&image, "")?;
    let output = Command::new(vhost_trace()?)
        .args(["driver", "inject", &image, "--module", module])
        .env("PATH", "")
        .output()?;
    ensure!(!output.status.success(), "without virt-customize");
    let line = String::from_utf8(output.stdout)?;
    let release = &kernel.release;
    for word in [
        "virt-customize -a '",
        &format!("{module}:/lib/modules/{release}/updates/virtio_trace.ko"),
        &format!("'depmod {release}'"),
    ] {
        ensure!(line.contains(word), "{word} is not in {line}");
    }
    fs::remove_dir_all(out)?;
    Ok(())
}

/// In a Debian of its own: the package builds the module for the kernel whose
/// headers are there, and takes all of it away again.
#[test]
#[ignore = "full tier"]
fn attach_driver_package_builds_with_dkms() -> Result<()> {
    install_packages(&["mmdebstrap"])?;
    let out = target_dir().join("lab/driver-deb");
    let (done, package, why) = driver(&["deb", "--out", utf8(&out)?])?;
    ensure!(done, "{why}");
    // With `set -x` their commands are told apart in what they say.
    let hook = |command: &str| format!("--customize-hook=set -ex; {command}");
    let in_root = |command: &str| hook(&format!("chroot \"$1\" sh -c '{command}'"));
    let output = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=apt"])
        .arg("--include=dkms,linux-headers-amd64")
        .arg(format!(
            "--customize-hook=copy-in {} /var/tmp",
            package.trim()
        ))
        .arg(in_root(
            "apt-get install -y /var/tmp/virtio-trace-dkms_*.deb",
        ))
        .arg(in_root(
            "cat /var/lib/dkms/virtio-trace/*/build/make.log || :",
        ))
        .arg(in_root(
            "modinfo /lib/modules/*/updates/dkms/virtio_trace.ko",
        ))
        .arg(in_root("apt-get purge -y virtio-trace-dkms"))
        .arg(in_root("! ls /lib/modules/*/updates/dkms/virtio_trace.ko"))
        .arg(in_root("! ls -d /usr/src/virtio-trace-*"))
        .args(["bookworm", "/dev/null"])
        .args(debian_12()?)
        .output()?;
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("virtio:d00000025v"), "{said}");
    fs::remove_dir_all(&out)?;
    Ok(())
}
