//! The kernel's style checker. Only the whole source package has it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::cache::{Lock, cache_dir, folder, timed};
use crate::debian;
use crate::process::{command, output};
use crate::suite::{Apt, BOOKWORM};

/// Returns `checkpatch.pl` with the files that it reads beside it, fetched
/// when the cache does not have it.
pub fn checkpatch() -> Result<PathBuf> {
    let _lock = Lock::take(&cache_dir().join("checkpatch.lock"))?;
    debian::install_packages(&["perl", "xz-utils"])?;
    let dir = folder("checkpatch-6.1-1", |part, _| {
        let apt = BOOKWORM.apt()?;
        timed("fetching checkpatch", || fill(&apt, part))
    })?;
    Ok(dir.join("checkpatch.pl"))
}

fn fill(apt: &Apt, part: &Path) -> Result<()> {
    let deb = apt.download(&["linux-source-6.1".into()], part)?.remove(0);
    let mut package = command("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&deb)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("running dpkg-deb")?;
    let mut source = command("tar")
        .args(["-xO", "./usr/src/linux-source-6.1.tar.xz"])
        .stdin(package.stdout.take().context("no stdout")?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("running tar")?;
    output(
        command("tar")
            .args(["-xJ", "--strip-components=2", "--occurrence=1", "-C"])
            .arg(part)
            .args(
                ["checkpatch.pl", "spelling.txt", "const_structs.checkpatch"]
                    .map(|name| format!("linux-source-6.1/scripts/{name}")),
            )
            .stdin(source.stdout.take().context("no stdout")?),
    )?;
    // They are cut short, and would say so, once the files are found.
    let _ = (source.wait()?, package.wait()?);
    std::fs::remove_file(deb)?;
    ensure!(
        part.join("checkpatch.pl").is_file(),
        "linux-source-6.1 has no checkpatch.pl"
    );
    Ok(())
}
