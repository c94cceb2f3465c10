//! The driver's interpreter, as a program.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Where the kernel's memory is.
pub const KERNEL: u64 = 0xffff_8880_0000_1000;
/// Where user space's is.
pub const USER: u64 = 0x40_0000;
/// Where all of user space ends.
pub const USER_END: u64 = 1 << 47;
/// The address of any symbol.
pub const SYMBOL: u64 = KERNEL + 64;
/// Bytes of either memory.
pub const BYTES: usize = 256;

/// What a probe finds when it is hit.
#[derive(Clone, Debug)]
pub struct World {
    pub registers: Vec<u64>,
    pub stack: Vec<u64>,
    pub args: Vec<u64>,
    pub ip: u64,
    pub parent_ip: u64,
    pub comm: Vec<u8>,
    pub kernel: Vec<u8>,
    pub user: Vec<u8>,
}

impl World {
    fn bytes(&self) -> Vec<u8> {
        let words = self.registers.iter().chain(&self.stack).chain(&self.args);
        let words = words.chain([&self.ip, &self.parent_ip]);
        let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        for memory in [&self.comm, &self.kernel, &self.user] {
            bytes.extend(memory);
        }
        bytes
    }

    /// What is in memory, if all of it is.
    pub fn read(&self, from: u64, bytes: usize, user: bool) -> Option<&[u8]> {
        let (memory, begin) = if user || from < USER_END {
            (&self.user, USER)
        } else {
            (&self.kernel, KERNEL)
        };
        let at = usize::try_from(from.checked_sub(begin)?).ok()?;
        memory.get(at..at.checked_add(bytes)?)
    }
}

/// The program, running.
#[derive(Debug)]
pub struct Driver(Child);

impl Driver {
    pub fn start() -> Driver {
        let child = Command::new(program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Driver(child.expect("the interpreter runs"))
    }

    /// The fields of the event; `None`: the definition is refused.
    pub fn fetch(&mut self, payload: &[u8], world: &World) -> Option<Vec<u8>> {
        let mut case = (payload.len() as u32).to_le_bytes().to_vec();
        case.extend(payload);
        case.extend(world.bytes());
        let stdin = self.0.stdin.as_mut().expect("piped");
        stdin.write_all(&case).expect("the interpreter reads");
        let stdout = self.0.stdout.as_mut().expect("piped");
        let mut bytes = [0; 4];
        stdout
            .read_exact(&mut bytes)
            .expect("the interpreter answers");
        let bytes = u32::from_le_bytes(bytes);
        if bytes == u32::MAX {
            return None;
        }
        let mut data = vec![0; bytes as usize];
        stdout
            .read_exact(&mut data)
            .expect("the interpreter answers");
        Some(data)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("the interpreter ends");
        assert!(std::thread::panicking() || status.success(), "{status}");
    }
}

/// Compiled once, with sanitizers: a bad access ends it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe-driver");
        let driver = folder.join("../guest-driver");
        let status = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
            // The kernel compiles without this one.
            .arg("-Wno-sign-compare")
            .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
            .arg("-I")
            .arg(&driver)
            .arg("-o")
            .arg(&output)
            .arg(folder.join("tests/probe/driver.c"))
            .arg(driver.join("vtrace_fetch.c"))
            .status()
            .expect("a C compiler runs");
        assert!(status.success(), "the interpreter does not compile");
        output
    })
}
