//! Compiles C for a test, with the compiler that Rust links with.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a source of this folder; returns where the result is, or nothing
/// if the compiler did not like it, and has said so. More flags
/// can be given in `RINGBUF_CFLAGS`, which is how sanitizers come in.
pub fn compile(source: &str, output: &str, flags: &[&str]) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(output);
    let more = env::var("RINGBUF_CFLAGS").unwrap_or_default();
    let status = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(flags)
        .args(more.split_whitespace())
        .arg("-I")
        .arg(folder.join("../guest-driver"))
        .arg("-o")
        .arg(&output)
        .arg(folder.join("tests/ring").join(source))
        .status()
        .expect("a C compiler runs");
    status.success().then_some(output)
}
