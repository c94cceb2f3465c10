//! The driver as a Debian package that builds it, with DKMS, for each kernel of
//! the guest that it is installed in.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DriverError, run, scratch, unpack, write};

const VERSION: &str = env!("CARGO_PKG_VERSION");

const CONTROL: &str = "\
Package: virtio-trace-dkms
Version: @VERSION@
Architecture: all
Maintainer: The vhost-trace authors <vhost-trace@localhost>
Section: kernel
Priority: optional
Depends: dkms
Description: guest driver of vhost-trace, as source for DKMS
 The kernel's trace goes into rings in the guest's memory, which vhost-trace
 reads on the host. The driver is built for each kernel whose headers are
 installed, and loaded when the host attaches its device.
";

/// A kernel without headers is not an error: it is skipped, as DKMS does when
/// a kernel is installed later.
const POSTINST: &str = r#"#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
name=virtio-trace/@VERSION@
dkms status "$name" | grep -q . || dkms add "$name"
for build in /lib/modules/*/build; do
	[ -e "$build/Makefile" ] || continue
	kernel=${build#/lib/modules/}
	dkms install "$name" -k "${kernel%/build}" ||
		echo "virtio-trace: not built for ${kernel%/build}" >&2
done
"#;

const PRERM: &str = r#"#!/bin/sh
set -e
name=virtio-trace/@VERSION@
dkms status "$name" | grep -q . || exit 0
dkms remove "$name" --all
"#;

/// File name of the package.
pub fn package_name() -> String {
    format!("virtio-trace-dkms_{VERSION}_all.deb")
}

/// Make the package; where it is then.
pub fn package(out: &Path) -> Result<PathBuf, DriverError> {
    let folder = scratch()?;
    let root = folder.path().join("root");
    unpack(&root.join(format!("usr/src/virtio-trace-{VERSION}")))?;
    let text = |template: &str| template.replace("@VERSION@", VERSION).into_bytes();
    write(&root.join("DEBIAN/control"), &text(CONTROL))?;
    for (name, script) in [("postinst", POSTINST), ("prerm", PRERM)] {
        let path = root.join("DEBIAN").join(name);
        write(&path, &text(script))?;
        allow_all(&path)?;
    }
    // dpkg-deb minds: a scratch folder is for its owner only.
    allow_all(&root)?;
    fs::create_dir_all(out).map_err(|source| DriverError::Io {
        path: out.to_owned(),
        source,
    })?;
    let target = out.join(package_name());
    let mut deb = Command::new("dpkg-deb");
    deb.args(["--root-owner-group", "--build"])
        .args([&root, &target]);
    run(&mut deb, "dpkg")?;
    Ok(target)
}

fn allow_all(path: &Path) -> Result<(), DriverError> {
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(|source| DriverError::Io {
        path: path.to_owned(),
        source,
    })
}
