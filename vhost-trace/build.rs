//! Lists the guest driver's sources, which the program carries: the driver that
//! it builds is always of its own version.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-driver");
    let mut files = Vec::new();
    find(&root, Path::new(""), &mut files)?;
    files.sort();
    let entry = |name: &PathBuf| {
        let (name, path) = (name.display().to_string(), root.join(name));
        format!("    ({name:?}, include_bytes!({path:?})),\n")
    };
    let table: String = files.iter().map(entry).collect();
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("no OUT_DIR"))?;
    fs::write(
        Path::new(&out).join("driver_sources.rs"),
        format!("&[\n{table}]\n"),
    )
}

/// Finds the sources in a folder; what a build there leaves behind is none.
fn find(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let dir = root.join(below);
    println!("cargo::rerun-if-changed={}", dir.display());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        let text = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                find(root, &name, files)?;
            }
        } else if !text.ends_with(".mod.c")
            && (text.ends_with(".c")
                || text.ends_with(".S")
                || text.ends_with(".h")
                || ["Kbuild", "Makefile", "LICENSE", "dkms.conf"].contains(&&*text))
        {
            files.push(name);
        }
    }
    Ok(())
}
