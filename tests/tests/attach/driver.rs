//! The driver that the program carries, on its way into a guest.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Lab, full_tier, install_packages, target_dir, vhost_trace};

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
    let out = utf8(&out)?;
    let (done, _, why) = driver(&["build", "--headers", "/proc", "--out", out])?;
    ensure!(
        !done && why.contains("no build folder of a kernel"),
        "{why}"
    );
    let headers = utf8(&lab.kernel.headers_dir)?;
    let (done, module, why) = driver(&["build", "--headers", headers, "--out", out])?;
    ensure!(done, "{why}");

    let module = module.trim();
    let image = format!("{out}/image with a space");
    fs::write(&image, "")?;
    let output = Command::new(vhost_trace()?)
        .args(["driver", "inject", &image, "--module", module])
        .env("PATH", "")
        .output()?;
    ensure!(!output.status.success(), "without virt-customize");
    let line = String::from_utf8(output.stdout)?;
    let release = &lab.kernel.release;
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
fn attach_driver_package_builds_with_dkms() -> Result<()> {
    if !full_tier() {
        return Ok(());
    }
    install_packages(&["mmdebstrap"])?;
    let out = target_dir().join("lab/driver-deb");
    let (done, package, why) = driver(&["deb", "--out", utf8(&out)?])?;
    ensure!(done, "{why}");
    let hook = |command: String| format!("--customize-hook={command}");
    let output = Command::new("mmdebstrap")
        .args(["--quiet", "--variant=apt"])
        .arg("--include=dkms,linux-headers-amd64")
        .arg(hook(format!("copy-in {} /var/tmp", package.trim())))
        .arg(hook(
            "chroot \"$1\" sh -c 'apt-get install -y /var/tmp/virtio-trace-dkms_*.deb'".into(),
        ))
        .arg(hook(
            "chroot \"$1\" sh -c 'modinfo -F alias /lib/modules/*/updates/dkms/virtio_trace.ko'"
                .into(),
        ))
        .arg(hook(
            "chroot \"$1\" apt-get purge -y virtio-trace-dkms".into(),
        ))
        .arg(hook(
            "find \"$1/lib/modules\" \"$1/usr/src\" -name 'virtio*trace*' -printf 'LEFT %p\\n'"
                .into(),
        ))
        .args(["bookworm", "-"])
        .stdout(fs::File::create(out.join("root.tar"))?)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    fs::remove_dir_all(&out)?;
    Ok(())
}
