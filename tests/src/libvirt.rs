//! A libvirt of our own: its daemon in a root folder and namespaces of its own,
//! and a `virsh` that talks to it from outside.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::builder::run_dir;
use crate::cache::{Lock, cache_dir, folder, target_dir, timed};
use crate::process::{command, stdout};
use crate::suite::TRIXIE;
use crate::toolchain::propagation;

const PACKAGES: &[&str] = &[
    "coreutils",
    "dash",
    "libvirt-clients",
    "libvirt-daemon",
    "libvirt-daemon-driver-qemu",
    "mount",
];

const USERS: &str = "root:x:0:0::/root:/bin/sh
libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin
";
const GROUPS: &str = "root:x:0:
kvm:x:994:
libvirt:x:995:
libvirt-qemu:x:64055:
";

/// Process 1 of the namespaces. It ends when its input does, and all others
/// with it.
const RUN: &str = "set -e
root=$1
shift
for dir in run var etc/libvirt tmp dev; do mkdir -p \"$root/$dir\"; done
mount -t proc proc \"$root/proc\"
mount --rbind /sys \"$root/sys\"
mount --rbind /dev \"$root/dev\"
mount --rbind /tmp \"$root/tmp\"
for dir in run var etc/libvirt; do mount -t tmpfs tmpfs \"$root/$dir\"; done
for dir; do mkdir -p \"$root$dir\"; mount --bind \"$dir\" \"$root$dir\"; done
ln -s /run \"$root/var/run\"
mkdir -p \"$root/var/log/libvirt\" \"$root/var/lib/libvirt\" \"$root/var/cache\"
cat >\"$root/etc/libvirt/qemu.conf\" <<END
security_driver = \"none\"
user = \"root\"
group = \"root\"
cgroup_controllers = []
namespaces = []
stdio_handler = \"file\"
remember_owner = 0
END
chroot \"$root\" libvirtd --daemon >&2
echo ready
cat
";

/// A `libvirtd`. Dropping it ends it and its domains.
#[derive(Debug)]
pub struct Libvirt {
    daemon: Child,
    /// Has `virsh`.
    bin: PathBuf,
}

impl Libvirt {
    /// Starts it; returns when it serves.
    pub fn start() -> Result<Self> {
        let name = format!("libvirt-{}-1", TRIXIE.codename);
        let _lock = Lock::take(&cache_dir().join(format!("{name}.lock")))?;
        let root = folder(&name, |part, _| {
            timed("unpacking libvirt", || TRIXIE.unpack_root(PACKAGES, part))?;
            // Parts of this release's QEMU, which the lab's would take for its own.
            fs::remove_dir_all(part.join("usr/lib/x86_64-linux-gnu/qemu"))?;
            // The users that the packages would have made.
            fs::write(part.join("etc/passwd"), USERS)?;
            Ok(fs::write(part.join("etc/group"), GROUPS)?)
        })?;
        let bin = run_dir("libvirt")?;
        let mut daemon = command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .args(["--propagation", propagation(), "--"])
            .args(["/bin/sh", "-c", RUN, "sh"])
            .args([&root, &cache_dir(), &target_dir()])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(bin.join("libvirtd.log"))?)
            .spawn()
            .context("running unshare")?;
        let mut line = String::new();
        let out = daemon.stdout.take().context("no stdout")?;
        BufReader::new(out).read_line(&mut line)?;
        let libvirt = Self { daemon, bin };
        ensure!(
            line == "ready\n",
            "libvirtd has not started: {}",
            fs::read_to_string(libvirt.bin.join("libvirtd.log"))?
        );
        libvirt.write_virsh(&root)?;
        Ok(libvirt)
    }

    /// A `virsh` for whoever has this folder first in its path.
    pub fn path(&self) -> Result<String> {
        let path = std::env::var("PATH")?;
        Ok(format!("{}:{path}", self.bin.display()))
    }

    /// Runs `virsh`, which must succeed.
    pub fn virsh(&self, args: &[&str]) -> Result<String> {
        stdout(Command::new(self.bin.join("virsh")).args(args))
    }

    /// Defines and starts a domain.
    pub fn start_domain(&self, name: &str, xml: &str) -> Result<()> {
        let file = self.bin.join(format!("{name}.xml"));
        fs::write(&file, xml)?;
        self.virsh(&["define", utf8(&file)?])?;
        self.virsh(&["start", name]).map(|_| ())
    }

    fn write_virsh(&self, root: &Path) -> Result<()> {
        let parent = self.daemon.id();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
        let inside = children.trim();
        ensure!(!inside.contains(' '), "unshare's children are {children:?}");
        let script = format!(
            "#!/bin/sh\nexec nsenter --target {inside} --mount --pid --root chroot '{}' /usr/bin/virsh \"$@\"\n",
            root.display()
        );
        let place = self.bin.join("virsh");
        fs::write(&place, script)?;
        Ok(fs::set_permissions(&place, Permissions::from_mode(0o755))?)
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        // The end of its input.
        drop(self.daemon.stdin.take());
        let _ = self.daemon.wait();
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().context("a path of UTF-8")
}
