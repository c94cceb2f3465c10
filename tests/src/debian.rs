//! This machine's own packages: installing what the lab runs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cache::timed;
use crate::process::{command, output, stdout};

/// What the lab itself runs on the host.
pub(crate) const LAB_PACKAGES: &[&str] = &[
    "gcc",
    "libc6-dev",
    "babeltrace2",
    "busybox-static",
    "mmdebstrap",
    "xz-utils",
    "zstd",
];

/// Those of `packages` that are not installed.
pub fn missing_packages<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    // dpkg-query fails when it does not know one of the names: the list that
    // it prints is the answer all the same.
    let known = command("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .args(packages)
        .output()
        .context("running dpkg-query: the lab needs Debian or a relative of it")?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    Ok(packages
        .iter()
        .filter(|name| {
            !known
                .lines()
                .any(|line| line == format!("installed {name}"))
        })
        .copied()
        .collect())
}

/// The first of `packages` that this machine's Debian does not have.
pub(crate) fn unknown_package<'a>(packages: &[&'a str]) -> Result<Option<&'a str>> {
    update_lists(false)?;
    for name in packages {
        let policy = stdout(command("apt-cache").args(["policy", name]))?;
        let mut lines = policy.lines().map(str::trim);
        let candidate = lines.find_map(|line| line.strip_prefix("Candidate: "));
        if candidate.is_none_or(|version| version == "(none)") {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Installs those of `packages` that are missing. The second call costs one
/// `dpkg-query`.
pub fn install_packages(packages: &[&str]) -> Result<()> {
    let missing = missing_packages(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    apt_install(&missing)
}

fn apt_install(packages: &[&str]) -> Result<()> {
    // SAFETY: geteuid has no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        bail!(
            "these packages are missing, and only root can install them: apt-get install {}",
            packages.join(" ")
        );
    }
    update_lists(false)?;
    let install = || {
        output(
            command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["install", "-q", "-y", "--no-install-recommends"])
                .args(["-o", "DPkg::Lock::Timeout=300"])
                .args(packages),
        )
    };
    timed(&format!("installing {}", packages.join(" ")), || {
        if install().is_err() {
            // Lists that are older than the mirror name files that are gone.
            update_lists(true)?;
            install()?;
        }
        Ok(())
    })
}

/// Fetches the package lists when there are none, or always with `force`.
pub(crate) fn update_lists(force: bool) -> Result<()> {
    let files = stdout(command("apt-get").args([
        "indextargets",
        "--format",
        "$(FILENAME)",
        "Created-By: Packages",
    ]))?;
    if !force && files.lines().any(|file| Path::new(file).exists()) {
        return Ok(());
    }
    timed("apt-get update", || {
        output(command("apt-get").args(["update", "-q", "-o", "DPkg::Lock::Timeout=300"]))
            .map(|_| ())
    })
}

/// Where this machine's apt gets packages from.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// The address of Debian itself.
    pub(crate) main: String,
    /// That of its security updates, when apt uses them.
    pub(crate) security: Option<String>,
}

/// The Debian mirror that this machine uses.
pub(crate) fn mirror() -> Result<Mirror> {
    update_lists(false)?;
    let targets = stdout(command("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)",
    ]))?;
    let of = |label: &str| {
        let prefix = format!("Debian|{label}|main|");
        targets
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .map(|uri| uri.trim_end_matches('/').to_string())
    };
    Ok(Mirror {
        main: of("Debian")
            .context("apt has no Debian mirror: is the main component of Debian in its sources?")?,
        security: of("Debian-Security"),
    })
}

/// Makes sure that apt's keyring knows the release `codename`.
pub(crate) fn need_keys_of(codename: &str) -> Result<()> {
    let known = ["/usr/share/keyrings", "/etc/apt/trusted.gpg.d"]
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
        .any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&format!("debian-archive-{codename}-"))
        });
    if known {
        return Ok(());
    }
    // Older point releases did not know the next release's keys yet.
    apt_install(&["debian-archive-keyring"])
}
