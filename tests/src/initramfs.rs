//! A cpio archive (newc), written without a cpio program.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};

const DIRECTORY: u32 = 0o040755;
const EXECUTABLE: u32 = 0o100755;
const SYMLINK: u32 = 0o120777;
const CHAR_DEVICE: u32 = 0o020600;

/// An initramfs under construction.
#[derive(Debug)]
pub(crate) struct Initramfs {
    out: BufWriter<File>,
    entries: u32,
    written: usize,
    known: BTreeSet<String>,
}

impl Initramfs {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let out = BufWriter::new(File::create(path).with_context(|| format!("creating {path:?}"))?);
        let mut archive = Self {
            out,
            entries: 0,
            written: 0,
            known: BTreeSet::new(),
        };
        archive.dir("dev")?;
        // The kernel opens it for process 1 before anything is mounted.
        archive.entry("dev/console", CHAR_DEVICE, &[], (5, 1))?;
        Ok(archive)
    }

    /// A folder and those above it.
    pub(crate) fn dir(&mut self, path: &str) -> Result<()> {
        let mut so_far = String::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(part);
            if self.known.insert(so_far.clone()) {
                self.entry(&so_far, DIRECTORY, &[], (0, 0))?;
            }
        }
        Ok(())
    }

    /// An executable file (a guest of the lab knows no other kind) at an
    /// absolute guest path.
    pub(crate) fn file(&mut self, path: &str, data: &[u8]) -> Result<()> {
        let path = self.place(path)?;
        self.entry(&path, EXECUTABLE, data, (0, 0))
    }

    /// A symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, to: &str) -> Result<()> {
        let path = self.place(path)?;
        self.entry(&path, SYMLINK, to.as_bytes(), (0, 0))
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.entry("TRAILER!!!", 0, &[], (0, 0))?;
        self.out.flush()?;
        Ok(())
    }

    fn place(&mut self, path: &str) -> Result<String> {
        let inside = path.strip_prefix('/').unwrap_or(path).to_string();
        ensure!(
            !inside.is_empty()
                && !inside
                    .split('/')
                    .any(|part| part == ".." || part.is_empty()),
            "not a path for a guest's file: {path:?}"
        );
        if let Some((parent, _)) = inside.rsplit_once('/') {
            self.dir(parent)?;
        }
        ensure!(
            self.known.insert(inside.clone()),
            "two files for the guest's {path}"
        );
        Ok(inside)
    }

    fn entry(&mut self, name: &str, mode: u32, data: &[u8], device: (u32, u32)) -> Result<()> {
        self.entries += 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            u32::try_from(data.len()).context("file too large for an initramfs")?,
            0,
            0,
            device.0,
            device.1,
            u32::try_from(name.len() + 1)?,
            0,
        ];
        let mut head = String::from("070701");
        for field in fields {
            head.push_str(&format!("{field:08x}"));
        }
        self.put(head.as_bytes())?;
        self.put(name.as_bytes())?;
        self.put(&[0])?;
        self.align()?;
        self.put(data)?;
        self.align()
    }

    fn put(&mut self, data: &[u8]) -> Result<()> {
        self.out.write_all(data)?;
        self.written += data.len();
        Ok(())
    }

    fn align(&mut self) -> Result<()> {
        let padding = self.written.next_multiple_of(4) - self.written;
        self.put(&[0; 4][..padding])
    }
}
