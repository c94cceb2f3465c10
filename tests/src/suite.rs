//! The packages of a Debian release, whichever release this machine has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, cache_dir, timed};
use crate::debian;
use crate::process::{command, output, stdout};

/// A Debian release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) codename: &'static str,
    /// Whether its backports are wanted too.
    backports: bool,
    /// The compiler that its kernels are built with.
    pub(crate) compiler: &'static str,
}

/// Debian 12.
pub(crate) const BOOKWORM: Suite = Suite {
    codename: "bookworm",
    backports: false,
    compiler: "gcc-12",
};

/// Debian 13.
pub(crate) const TRIXIE: Suite = Suite {
    codename: "trixie",
    backports: true,
    compiler: "gcc-14",
};

/// Debian 12's lines of a sources.list, from this machine's mirror.
pub fn debian_12() -> Result<Vec<String>> {
    BOOKWORM.sources()
}

impl Suite {
    /// Its lines of a sources.list.
    pub(crate) fn sources(&self) -> Result<Vec<String>> {
        let Self { codename, .. } = self;
        let mirror = debian::mirror()?;
        let mut lines = vec![format!("deb {} {codename} main", mirror.main)];
        if self.backports {
            lines.push(format!("deb {} {codename}-backports main", mirror.main));
        }
        if let Some(security) = mirror.security {
            lines.push(format!("deb {security} {codename}-security main"));
        }
        Ok(lines)
    }

    /// Unpacks packages, and what they need, into the folder `root`, where
    /// programs can then be run by chroot. Nothing configures them.
    pub(crate) fn unpack_root(&self, packages: &[&str], root: &Path) -> Result<()> {
        debian::need_keys_of(self.codename)?;
        output(
            command("mmdebstrap")
                .args(["--quiet", "--variant=extract"])
                .arg("--aptopt=APT::Install-Recommends \"false\"")
                .arg(format!("--include={}", packages.join(",")))
                .arg(self.codename)
                .arg(root)
                .args(self.sources()?),
        )?;
        for dir in ["bin", "sbin", "lib", "lib64"] {
            if !root.join(dir).exists() {
                std::os::unix::fs::symlink(format!("usr/{dir}"), root.join(dir))?;
            }
        }
        Ok(())
    }

    /// Its packages as they are now. Whoever else wants them waits until this
    /// is dropped.
    pub(crate) fn apt(&self) -> Result<Apt> {
        let dir = cache_dir().join(format!("apt-{}", self.codename));
        let lock = Lock::take(&dir.with_extension("lock"))?;
        for dir in ["lists/partial", "cache/archives/partial"].map(|name| dir.join(name)) {
            fs::create_dir_all(&dir).with_context(|| format!("creating {dir:?}"))?;
        }
        debian::need_keys_of(self.codename)?;
        fs::write(dir.join("status"), "")?;
        fs::write(dir.join("sources.list"), self.sources()?.join("\n") + "\n")?;
        let apt = Apt { dir, _lock: lock };
        timed(&format!("reading what {} has", self.codename), || {
            output(apt.command("apt-get").args(["update", "-q"]))
        })?;
        Ok(apt)
    }
}

/// apt with the lists of one release, and nothing installed.
#[derive(Debug)]
pub(crate) struct Apt {
    dir: PathBuf,
    _lock: Lock,
}

impl Apt {
    /// One of apt's programs, away from this machine's own state.
    fn command(&self, program: &str) -> Command {
        let mut apt = command(program);
        for (option, value) in [
            ("Dir::Etc::SourceList", "sources.list"),
            ("Dir::State::Lists", "lists"),
            ("Dir::State::status", "status"),
            ("Dir::Cache", "cache"),
        ] {
            let value = self.dir.join(value);
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        }
        for option in [
            "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::Preferences=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "APT::Default-Release=",
            // The sandbox user of apt cannot write below a private folder.
            "APT::Sandbox::User=root",
        ] {
            apt.args(["-o", option]);
        }
        apt
    }

    /// The names of all packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let out = stdout(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(out.lines().map(str::to_string).collect())
    }

    /// The newest version of `package` that can be fetched.
    pub(crate) fn candidate(&self, package: &str) -> Result<Option<String>> {
        let out = stdout(self.command("apt-cache").args(["policy", package]))?;
        Ok(out
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))
            .filter(|version| *version != "(none)")
            .map(str::to_string))
    }

    /// Downloads `packages` (`NAME` or `NAME=VERSION`) into `dir`.
    pub(crate) fn download(&self, packages: &[String], dir: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(dir)?;
        output(
            self.command("apt-get")
                .args(["download", "-q"])
                .args(packages)
                .current_dir(dir),
        )?;
        let debs: Vec<PathBuf> = fs::read_dir(dir)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<std::io::Result<Vec<_>>>()?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|e| e == "deb"))
            .collect();
        ensure!(
            debs.len() == packages.len(),
            "apt-get download of {packages:?} left {debs:?}"
        );
        Ok(debs)
    }
}

/// Unpacks a package into `dir` without installing it.
pub(crate) fn unpack(deb: &Path, dir: &Path) -> Result<()> {
    output(command("dpkg").arg("-x").arg(deb).arg(dir)).map(|_| ())
}
