//! What builds a release's kernel modules: its own compiler and C library, which
//! the programs in the kernel's headers need, in a folder that make sees as its
//! root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, cache_dir, folder, timed};
use crate::debian;
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
/// in a mount namespace that ends with make.
const ENTER: &str = "set -e
root=$1 headers=$2 build=$3
shift 3
mount -t overlay -o \"lowerdir=$headers:$root\" overlay \"$root\"
mount --bind \"$build\" \"$root/build\"
mount --rbind /dev \"$root/dev\"
mount -t proc proc \"$root/proc\"
mount -t tmpfs tmpfs \"$root/tmp\"
exec chroot \"$root\" /usr/bin/make \"$@\"
";

/// A root folder with a compiler.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    root: PathBuf,
}

impl Toolchain {
    /// Unpacked when the cache does not have it.
    pub(crate) fn prepare(suite: &Suite) -> Result<Self> {
        let name = format!("toolchain-{}-1", suite.codename);
        let _lock = Lock::take(&cache_dir().join(format!("{name}.lock")))?;
        let root = folder(&name, |part, _| {
            debian::need_keys_of(suite.codename)?;
            let sources = suite.sources()?;
            let what = format!("unpacking {} of {}", suite.compiler, suite.codename);
            timed(&what, || fill(suite, &sources, part))
        })?;
        for path in [&root, &cache_dir()] {
            ensure!(
                !path.to_string_lossy().contains([':', ',', '\\']),
                "{path:?}: overlay mounts take no colon, comma or backslash: set VHOST_TRACE_LAB"
            );
        }
        Ok(Self { root })
    }

    /// A make for the kernel with `headers`, below which is `usr/src/SOURCE`,
    /// that builds the module in `build`.
    pub(crate) fn make(&self, headers: &Path, source: &str, build: &Path) -> Command {
        let mut make = command("unshare");
        make.args(["--mount", "--", "/bin/sh", "-c", ENTER, "sh"])
            .args([&self.root, headers, build])
            .args([
                "-C",
                &format!("/usr/src/{source}"),
                &format!("M={BUILD_DIR}"),
            ])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        make
    }
}

fn fill(suite: &Suite, sources: &[String], part: &Path) -> Result<()> {
    let include = format!("{},{}", PACKAGES.join(","), suite.compiler);
    output(
        command("mmdebstrap")
            .args(["--quiet", "--variant=extract"])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .arg(format!("--include={include}"))
            .arg(suite.codename)
            .arg(part)
            .args(sources),
    )?;
    // Nothing has configured these packages: links are missing.
    for dir in ["bin", "sbin", "lib", "lib64"] {
        if !part.join(dir).exists() {
            std::os::unix::fs::symlink(format!("usr/{dir}"), part.join(dir))?;
        }
    }
    std::os::unix::fs::symlink("mawk", part.join("usr/bin/awk"))?;
    fs::create_dir(part.join(BUILD_DIR.trim_start_matches('/'))).context("the sources' place")
}
