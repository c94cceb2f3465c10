//! Which QEMU the guests run in: the machine's own when it has the vhost-user
//! test device, else one that is unpacked into the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cache::{folder, timed};
use crate::debian;
use crate::process::{command, output, stdout};

/// The device that carries vhost-trace; user-creatable since QEMU 11.
const DEVICE: &str = "vhost-user-test-device-pci";

/// A QEMU with the vhost-user test device.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// What to execute. For an unpacked QEMU this is a script that executes
    /// it with its own libraries; the process id stays the same.
    pub program: PathBuf,
    /// What it says about its version.
    pub version: String,
    /// Whether this is the lab's own copy.
    pub unpacked: bool,
}

impl Qemu {
    pub(crate) fn prepare() -> Result<Self> {
        if let Some(own) = Self::of_the_machine() {
            return Ok(own);
        }
        let dir = folder("qemu-trixie-backports-1", |part, done| {
            debian::need_keys_of("trixie")?;
            let mirror = debian::mirror()?.main;
            timed("unpacking QEMU (trixie-backports)", || {
                fill(&mirror, part, done)
            })
        })?;
        let program = dir.join("qemu-system-x86_64");
        let version = version(&program)?;
        ensure!(has_device(&program), "{version} in {dir:?} has no {DEVICE}");
        Ok(Self {
            program,
            version,
            unpacked: true,
        })
    }

    fn of_the_machine() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let program = std::env::split_paths(&path)
            .map(|dir| dir.join("qemu-system-x86_64"))
            .find(|file| file.is_file())?;
        let version = version(&program).ok()?;
        has_device(&program).then_some(Self {
            program,
            version,
            unpacked: false,
        })
    }
}

fn version(program: &Path) -> Result<String> {
    let text = stdout(command(program).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_string())
}

fn has_device(program: &Path) -> bool {
    stdout(command(program).args(["-device", "help"]))
        .is_ok_and(|text| text.contains(&format!("\"{DEVICE}\"")))
}

fn fill(mirror: &str, part: &Path, done: &Path) -> Result<()> {
    let root = part.join("root");
    output(
        command("mmdebstrap")
            .args(["--quiet", "--variant=extract"])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            // Without it the firmware comes from the release and is too old.
            .arg("--aptopt=APT::Default-Release \"trixie-backports\"")
            .arg("--include=qemu-system-x86")
            .arg("trixie")
            .arg(&root)
            .arg(format!("deb {mirror} trixie main"))
            .arg(format!("deb {mirror} trixie-backports main")),
    )?;
    // Nothing has configured these packages: the links of the merged /usr are
    // missing.
    for dir in ["bin", "sbin", "lib", "lib64"] {
        if !root.join(dir).exists() {
            std::os::unix::fs::symlink(format!("usr/{dir}"), root.join(dir))?;
        }
    }
    let script = part.join("qemu-system-x86_64");
    let root = done.join("root");
    let root = root
        .to_str()
        .context("the cache folder's name is not UTF-8")?;
    ensure!(
        !root.contains('\''),
        "the cache folder's name contains a quote"
    );
    fs::write(
        &script,
        format!(
            "#!/bin/sh\n\
             # QEMU out of a folder, with the libraries that came with it.\n\
             R='{root}'\n\
             exec \"$R/usr/lib64/ld-linux-x86-64.so.2\" \\\n\
             \t--library-path \"$R/usr/lib/x86_64-linux-gnu:$R/usr/lib\" \\\n\
             \t\"$R/usr/bin/qemu-system-x86_64\" \\\n\
             \t-L \"$R/usr/share/qemu\" -L \"$R/usr/share/seabios\" \"$@\"\n"
        ),
    )?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(())
}
