//! Guest kernels: Debian's packages, unpacked and never installed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::cache::{folder, timed};
use crate::debian;
use crate::process::{command, output};

/// A kernel that guests boot and modules are built for.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// As `uname -r` says it in the guest.
    pub release: String,
    /// What QEMU's `-kernel` gets: an uncompressed vmlinux with a PVH entry,
    /// or the bzImage.
    pub image: PathBuf,
    /// `.../lib/modules/RELEASE`.
    pub modules_dir: PathBuf,
    /// The build folder of the headers: `make -C headers_dir M=...`.
    pub headers_dir: PathBuf,
    /// The folder that holds all of the above and `boot/`.
    pub root: PathBuf,
}

/// How a series of kernels is packaged.
struct Series {
    /// The cache folder's name; what changes the recipe changes it.
    folder: &'static str,
    /// What an image package's name begins with.
    image: &'static str,
    /// The package with the build programs.
    kbuild: &'static str,
}

/// Debian 12's kernel.
const DEBIAN_6_1: Series = Series {
    folder: "kernel-6.1-1",
    image: "linux-image-6.1.0-",
    kbuild: "linux-kbuild-6.1",
};

impl Kernel {
    /// Debian 12's kernel, fetched when the cache does not have it.
    pub(crate) fn debian_6_1() -> Result<Self> {
        Self::prepare(&DEBIAN_6_1)
    }

    fn prepare(series: &Series) -> Result<Self> {
        let root = folder(series.folder, |part, done| {
            debian::update_lists(false)?;
            let release = newest(series.image)?;
            timed(&format!("fetching kernel {release}"), || {
                fill(series, &release, part, done)
            })
        })?;
        let release = fs::read_to_string(root.join("release"))?.trim().to_string();
        Ok(Self {
            image: root.join("image"),
            modules_dir: root.join("lib/modules").join(&release),
            headers_dir: root.join(format!("usr/src/linux-headers-{release}")),
            release,
            root,
        })
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

    /// `names` and all that they depend on, each once, in an order in which
    /// they can be loaded.
    pub fn load_order(&self, names: &[String]) -> Result<Vec<PathBuf>> {
        let mut order = Vec::new();
        for name in names {
            self.add_with_depends(name, &mut order)?;
        }
        Ok(order)
    }

    fn add_with_depends(&self, name: &str, order: &mut Vec<PathBuf>) -> Result<()> {
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

/// The newest release whose image and headers apt can fetch.
fn newest(image_prefix: &str) -> Result<String> {
    let mut releases: Vec<(u32, String)> = Vec::new();
    for name in debian::names(image_prefix)? {
        // linux-image-6.1.0-48-amd64, but not -48-cloud-amd64 or -dbg.
        let Some(abi) = name
            .strip_prefix(image_prefix)
            .and_then(|rest| rest.strip_suffix("-amd64"))
            .and_then(|abi| abi.parse().ok())
        else {
            continue;
        };
        let release = name.trim_start_matches("linux-image-").to_string();
        releases.push((abi, release));
    }
    releases.sort();
    for (_, release) in releases.into_iter().rev() {
        let image = debian::candidate(&format!("linux-image-{release}"))?;
        let headers = debian::candidate(&format!("linux-headers-{release}"))?;
        if image.is_some() && image == headers {
            return Ok(release);
        }
    }
    bail!("apt knows no {image_prefix}*-amd64 with headers: are its lists up to date?")
}

fn fill(series: &Series, release: &str, part: &Path, done: &Path) -> Result<()> {
    let common = release
        .strip_suffix("-amd64")
        .map(|base| format!("{base}-common"))
        .with_context(|| format!("unexpected release {release}"))?;
    let version = debian::candidate(&format!("linux-headers-{release}"))?
        .with_context(|| format!("apt cannot fetch linux-headers-{release}"))?;
    let packages = [
        format!("linux-image-{release}"),
        format!("linux-headers-{release}"),
        format!("linux-headers-{common}"),
        series.kbuild.to_string(),
    ]
    .map(|name| format!("{name}={version}"));
    let debs = part.join("debs");
    for deb in debian::download(&packages, &debs)? {
        debian::unpack(&deb, part)?;
    }
    fs::remove_dir_all(&debs)?;

    // The headers find their other half by an absolute path.
    let makefile = part.join(format!("usr/src/linux-headers-{release}/Makefile"));
    let installed = format!("/usr/src/linux-headers-{common}");
    let text = fs::read_to_string(&makefile)?;
    ensure!(
        text.contains(&installed),
        "{makefile:?} does not include {installed}"
    );
    let here = format!("{}{installed}", done.display());
    fs::write(&makefile, text.replace(&installed, &here))?;

    let bz_image = part.join(format!("boot/vmlinuz-{release}"));
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
