//! The driver's evaluator, as a program.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use vhost_trace::wire::context;

/// Four fields, and the contexts that filters may look at.
pub const VALUES: usize = 4 + (context::FILTER_END - context::TID) as usize;

/// What fields and contexts have; texts are zero where numbers are not, and the
/// other way round.
#[derive(Clone, Debug, Default)]
pub struct Values {
    /// Four fields, then the contexts in the order of their codes.
    pub numbers: [u64; VALUES],
    /// Field 2.
    pub comm: Vec<u8>,
    /// Field 3.
    pub path: Vec<u8>,
    /// Context 4.
    pub procname: Vec<u8>,
}

impl Values {
    fn texts(&self) -> [&[u8]; VALUES] {
        let mut texts = [&[][..]; VALUES];
        (texts[2], texts[3], texts[8]) = (&self.comm, &self.path, &self.procname);
        texts
    }
}

/// What the evaluator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Dropped,
    Passed,
    Refused,
    Notified,
}

impl Verdict {
    pub fn of(passes: bool) -> Verdict {
        if passes {
            Verdict::Passed
        } else {
            Verdict::Dropped
        }
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
        Driver(child.expect("the evaluator runs"))
    }

    pub fn evaluate(&mut self, payload: &[u8], values: &Values) -> Verdict {
        let mut case = (payload.len() as u32).to_le_bytes().to_vec();
        case.extend(payload);
        for (number, text) in values.numbers.iter().zip(values.texts()) {
            case.extend(number.to_le_bytes());
            case.extend((text.len() as u32).to_le_bytes());
            case.extend(text);
        }
        let stdin = self.0.stdin.as_mut().expect("piped");
        stdin.write_all(&case).expect("the evaluator reads");
        let mut verdict = [0];
        let stdout = self.0.stdout.as_mut().expect("piped");
        stdout
            .read_exact(&mut verdict)
            .expect("the evaluator answers");
        match verdict[0] {
            0 => Verdict::Dropped,
            1 => Verdict::Passed,
            2 => Verdict::Refused,
            3 => Verdict::Notified,
            other => panic!("the evaluator says {other}"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("the evaluator ends");
        assert!(std::thread::panicking() || status.success(), "{status}");
    }
}

/// Compiled once, with sanitizers: a bad access ends it.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join("filter-driver");
        let status = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
            .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
            .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
            .arg("-I")
            .arg(folder.join("../guest-driver"))
            .arg("-o")
            .arg(&output)
            .arg(folder.join("tests/filter/driver.c"))
            .status()
            .expect("a C compiler runs");
        assert!(status.success(), "the evaluator does not compile");
        output
    })
}
