//! Guest kernels: Debian's packages, unpacked and never installed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cache::{Lock, cache_dir, folder, timed};
use crate::process::{command, output};
use crate::suite::{Apt, BOOKWORM, Suite, TRIXIE, unpack};
use crate::toolchain::Toolchain;

/// A kernel that guests boot and modules are built for.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// As `uname -r` says it in the guest.
    pub release: String,
    /// What QEMU's `-kernel` gets: an uncompressed vmlinux with a PVH entry,
    /// or the bzImage.
    pub image: PathBuf,
    /// The bzImage: what a guest's kernel can start by kexec.
    pub bz_image: PathBuf,
    /// `.../lib/modules/RELEASE`.
    pub modules_dir: PathBuf,
    /// The folder with the headers' `usr/src/linux-headers-RELEASE`.
    pub(crate) headers: PathBuf,
    suite: Suite,
}

/// The kernels that the lab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Debian 12's.
    Linux6_1,
    /// Debian 13's.
    Linux6_12,
    /// One of Debian 13's backports.
    Linux7_2,
}

/// How a kernel is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// For any machine.
    Generic,
    /// For virtual machines, with fewer drivers.
    Cloud,
}

impl Series {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::Linux6_1, Self::Linux6_12, Self::Linux7_2];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linux6_1 => "6.1",
            Self::Linux6_12 => "6.12",
            Self::Linux7_2 => "7.2",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Result<Self> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|series| series.name() == name)
            .with_context(|| format!("there is no kernel {name:?}, only {names}"))
    }

    fn suite(self) -> Suite {
        match self {
            Self::Linux6_1 => BOOKWORM,
            Self::Linux6_12 | Self::Linux7_2 => TRIXIE,
        }
    }

    /// The newest one, fetched when the cache does not have one.
    pub fn kernel(self, flavour: Flavour) -> Result<Kernel> {
        let suffix = flavour.suffix();
        // What changes the recipe changes the folder.
        let name = format!("kernel-{}{suffix}-2", self.name());
        let _lock = Lock::take(&cache_dir().join(format!("{name}.lock")))?;
        let root = folder(&name, |part, _| {
            let apt = self.suite().apt()?;
            let (base, version) = newest(&apt, self, flavour)?;
            timed(&format!("fetching kernel {base}{suffix}"), || {
                fill(&apt, &base, flavour, &version, part)
            })
        })?;
        let release = fs::read_to_string(root.join("release"))?.trim().to_string();
        Ok(Kernel {
            image: root.join("image"),
            bz_image: bz_image(&root.join("files"), &release)?,
            modules_dir: modules_dir(&root.join("files"), &release),
            headers: root.join("headers"),
            suite: self.suite(),
            release,
        })
    }
}

impl Flavour {
    fn suffix(self) -> &'static str {
        match self {
            Self::Generic => "-amd64",
            Self::Cloud => "-cloud-amd64",
        }
    }
}

/// Where a kernel's packages have its modules: since 7.0 without the link of
/// the merged /usr.
fn modules_dir(files: &Path, release: &str) -> PathBuf {
    let old = files.join("lib/modules").join(release);
    if old.is_dir() {
        return old;
    }
    files.join("usr/lib/modules").join(release)
}

/// Where a kernel's packages have its image.
fn bz_image(files: &Path, release: &str) -> Result<PathBuf> {
    [
        files.join(format!("boot/vmlinuz-{release}")),
        modules_dir(files, release).join("vmlinuz"),
    ]
    .into_iter()
    .find(|file| file.is_file())
    .with_context(|| format!("the packages of {release} hold no vmlinuz"))
}

impl Kernel {
    /// Where the headers are for a command of [`Kernel::builder`].
    pub fn headers_dir(&self) -> String {
        format!("/usr/src/linux-headers-{}", self.release)
    }

    /// What executes its further arguments as a command where modules are built
    /// for this kernel: with its own compiler, and `build` at
    /// [`crate::BUILD_DIR`].
    pub fn builder(&self, build: &Path) -> Result<Command> {
        Ok(Toolchain::prepare(&self.suite)?.enter(&self.headers, build))
    }

    /// The same with a further Debian package there.
    pub fn builder_with(&self, build: &Path, package: &str) -> Result<Command> {
        let toolchain = Toolchain::prepare_with(&self.suite, package)?;
        Ok(toolchain.enter(&self.headers, build))
    }

    /// The file of the kernel's own module `name` (dashes and underscores are
    /// the same, as for modprobe).
    pub fn module_file(&self, name: &str) -> Result<PathBuf> {
        fn search(dir: &Path, wanted: &str) -> std::io::Result<Option<PathBuf>> {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    if let Some(found) = search(&entry.path(), wanted)? {
                        return Ok(Some(found));
                    }
                    continue;
                }
                let file = entry.file_name().to_string_lossy().replace('-', "_");
                let stem = file.split(".ko").next().unwrap_or_default();
                if stem.len() < file.len() && stem == wanted {
                    return Ok(Some(entry.path()));
                }
            }
            Ok(None)
        }
        let wanted = name.replace('-', "_");
        search(&self.modules_dir.join("kernel"), &wanted)?
            .with_context(|| format!("kernel {} has no module {name}", self.release))
    }

    fn has_built_in(&self, name: &str) -> Result<bool> {
        let list = self.modules_dir.join("modules.builtin");
        let list = fs::read_to_string(&list).with_context(|| format!("reading {list:?}"))?;
        Ok(list.lines().any(|line| {
            let file = line.rsplit('/').next().unwrap_or(line);
            file.strip_suffix(".ko")
                .is_some_and(|stem| stem.replace('-', "_") == name)
        }))
    }

    /// `names` and all that they depend on, each once, in an order in which
    /// they can be loaded. What is built in needs no loading.
    pub fn load_order(&self, names: &[String]) -> Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in names {
            self.add_with_depends(name, &mut order)?;
        }
        Ok(order)
    }

    fn add_with_depends(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
        if self.has_built_in(name)? {
            return Ok(());
        }
        let file = self.module_file(name)?;
        if order.contains(&file) {
            return Ok(());
        }
        for needed in depends(&module_bytes(&file)?) {
            self.add_with_depends(&needed, order)?;
        }
        order.push(file);
        Ok(())
    }
}

/// The content of a module file, uncompressed.
pub(crate) fn module_bytes(file: &Path) -> Result<Vec<u8>> {
    match file.extension().and_then(|e| e.to_str()) {
        Some("xz") => Ok(output(command("xz").arg("-dc").arg(file))?.stdout),
        Some("zst") => Ok(output(command("zstd").arg("-dc").arg(file))?.stdout),
        _ => fs::read(file).with_context(|| format!("reading {file:?}")),
    }
}

/// The `depends=` line of a module's .modinfo.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(at) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let text = &module[at + key.len()..];
    let end = text.iter().position(|&byte| byte == 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..end])
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_string)
        .collect()
}

/// The newest release whose image and headers can be fetched, without its
/// flavour, and its packages' version.
fn newest(apt: &Apt, series: Series, flavour: Flavour) -> Result<(String, String)> {
    // linux-headers-6.1.0-48-amd64, linux-headers-7.2.12+deb13-cloud-amd64
    let prefix = format!("linux-headers-{}.", series.name());
    let mut bases: Vec<(Vec<u32>, String)> = Vec::new();
    for name in apt.names(&prefix)? {
        let Some(base) = name
            .strip_prefix("linux-headers-")
            .and_then(|release| release.strip_suffix(flavour.suffix()))
            .filter(|base| !base.ends_with(|c: char| c.is_alphabetic()))
        else {
            continue;
        };
        let numbers = base.split(|c: char| !c.is_ascii_digit());
        bases.push((numbers.flat_map(str::parse).collect(), base.to_string()));
    }
    bases.sort();
    for (_, base) in bases.into_iter().rev() {
        let release = format!("{base}{}", flavour.suffix());
        let image = apt.candidate(&format!("linux-image-{release}"))?;
        let headers = apt.candidate(&format!("linux-headers-{release}"))?;
        if let Some(version) = headers
            && image.as_ref() == Some(&version)
        {
            return Ok((base, version));
        }
    }
    bail!(
        "apt knows no linux-image-{}.*{} with headers",
        series.name(),
        flavour.suffix()
    )
}

fn fill(apt: &Apt, base: &str, flavour: Flavour, version: &str, part: &Path) -> Result<()> {
    let release = format!("{base}{}", flavour.suffix());
    let get = |names: &[String], to: &Path| -> Result<()> {
        let debs = part.join("debs");
        let exact: Vec<_> = names
            .iter()
            .map(|name| format!("{name}={version}"))
            .collect();
        for deb in apt.download(&exact, &debs)? {
            unpack(&deb, to)?;
        }
        Ok(fs::remove_dir_all(&debs)?)
    };
    let known = |name: &str| apt.names(name).map(|names| names.iter().any(|n| n == name));

    let kbuild = format!("linux-kbuild-{base}");
    let headers = [
        format!("linux-headers-{release}"),
        format!("linux-headers-{base}-common"),
        if known(&kbuild)? {
            kbuild
        } else {
            "linux-kbuild-6.1".into()
        },
    ];
    get(&headers, &part.join("headers"))?;

    // Since 7.0 the image's package only has the scripts that install it.
    let mut parts = Vec::new();
    for part in ["image", "binary", "modules", "base"] {
        let name = format!("linux-{part}-{release}");
        if known(&name)? {
            parts.push(name);
        }
    }
    let files = part.join("files");
    get(&parts, &files)?;
    let bz_image = bz_image(&files, &release)?;
    let image = part.join("image");
    match uncompressed(&bz_image) {
        Ok(vmlinux) => fs::write(&image, vmlinux)?,
        // It boots too, only more slowly.
        Err(error) => {
            crate::cache::progress(&format!("booting the compressed image: {error:#}"));
            fs::copy(&bz_image, &image)?;
        }
    }
    fs::write(part.join("release"), format!("{release}\n"))?;
    Ok(())
}

/// The vmlinux inside a bzImage: QEMU starts it at its PVH entry, which saves
/// the guest the decompression.
fn uncompressed(bz_image: &Path) -> Result<Vec<u8>> {
    let image = fs::read(bz_image).with_context(|| format!("reading {bz_image:?}"))?;
    let word = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("short image")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    // Documentation/x86/boot.rst: setup_sects, payload_offset, payload_length;
    // the payload ends with its uncompressed size.
    let sectors = *image.get(0x1f1).context("short image")? as usize;
    let start = (sectors + 1) * 512 + word(0x248)?;
    let length = word(0x24c)?.checked_sub(4).context("no payload")?;
    let payload = image
        .get(start..start + length)
        .context("payload beyond the image")?;
    let program = match payload.get(..4).context("no payload")? {
        [0xfd, b'7', b'z', b'X'] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd] => "zstd",
        magic => bail!("unknown compression {magic:02x?}"),
    };
    let mut child = command(program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("running {program}"))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let vmlinux = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(payload));
        child.wait_with_output()
    })?
    .stdout;
    ensure!(
        vmlinux.len() == word(start + length)?,
        "the payload's size is wrong"
    );
    ensure!(
        vmlinux.starts_with(b"\x7fELF"),
        "the payload is no ELF file"
    );
    Ok(vmlinux)
}
