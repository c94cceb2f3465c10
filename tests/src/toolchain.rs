//! What builds a release's kernel modules: its own compiler and C library, which
//! the programs in the kernel's headers need, in a folder that make sees as its
//! root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, cache_dir, folder, timed};
use crate::process::{command, output};
use crate::suite::Suite;

/// Beside the compiler.
const PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "dash",
    "diffutils",
    "findutils",
    "grep",
    "make",
    "mawk",
    "pahole",
    "sed",
];

/// Where make finds a module's sources, and so where its debug information says
/// that they are.
pub const BUILD_DIR: &str = "/build";

/// The kernel's headers, over the compiler, over which the sources are mounted;
/// in a mount namespace that ends with the command.
const ENTER: &str = "set -e
root=$1 headers=$2 build=$3
shift 3
mount -t overlay -o \"lowerdir=$headers:$root\" overlay \"$root\"
mount --bind \"$build\" \"$root/build\"
mount --bind /dev/null \"$root/dev/null\"
mount -t proc proc \"$root/proc\"
mount -t tmpfs tmpfs \"$root/tmp\"
trap 'umount -l -R \"$root\"' EXIT
chroot \"$root\" \"$@\"
";

/// A root folder with a compiler.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    root: PathBuf,
}

impl Toolchain {
    /// Unpacked when the cache does not have it.
    pub(crate) fn prepare(suite: &Suite) -> Result<Self> {
        Self::prepare_with(suite, "")
    }

    /// The same with one more package, if it is named.
    pub(crate) fn prepare_with(suite: &Suite, package: &str) -> Result<Self> {
        let dash = if package.is_empty() { "" } else { "-" };
        let name = format!("toolchain-{}{dash}{package}-2", suite.codename);
        let _lock = Lock::take(&cache_dir().join(format!("{name}.lock")))?;
        let root = folder(&name, |part, _| {
            let what = format!("unpacking {} of {}", suite.compiler, suite.codename);
            timed(&what, || fill(suite, package, part))
        })?;
        for path in [&root, &cache_dir()] {
            ensure!(
                !path.to_string_lossy().contains([':', ',', '\\']),
                "{path:?}: overlay mounts take no colon, comma or backslash: set VHOST_TRACE_LAB"
            );
        }
        Ok(Self { root })
    }

    /// What executes its further arguments as a command in this root, with a
    /// kernel's `headers` at their place and `build` at [`BUILD_DIR`].
    pub(crate) fn enter(&self, headers: &Path, build: &Path) -> Command {
        let mut inside = command("unshare");
        inside
            .args(["--mount", "--propagation", propagation(), "--"])
            .args(["/bin/sh", "-c", ENTER, "sh"])
            .args([&self.root, headers, build])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        inside
    }
}

/// In a chroot whose root is no mount point, mounts cannot be made private; they
/// are taken back when the command ends.
pub(crate) fn propagation() -> &'static str {
    match output(command("unshare").args(["--mount", "true"])) {
        Ok(_) => "private",
        Err(_) => "unchanged",
    }
}

fn fill(suite: &Suite, package: &str, part: &Path) -> Result<()> {
    let mut packages = [PACKAGES, &[suite.compiler]].concat();
    packages.extend((!package.is_empty()).then_some(package));
    suite.unpack_root(&packages, part)?;
    std::os::unix::fs::symlink("mawk", part.join("usr/bin/awk"))?;
    fs::create_dir_all(part.join("dev"))?;
    fs::write(part.join("dev/null"), "")?;
    fs::create_dir(part.join(BUILD_DIR.trim_start_matches('/'))).context("the sources' place")
}
