//! What the witness module says, read from the guest's memory: of a guest that
//! runs, is paused or is dead alike. `tests/guest/witness/witness_page.h` is
//! the layout.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cache::workspace_dir;
use crate::guest::Guest;
use crate::kernel::Kernel;
use crate::kmod::{ModuleBuild, module_dir};

const MAGIC: u64 = 0x5345_4e54_5754_5456;
const CPUS_AT: u64 = 64;
const CONTEXTS: usize = 4;
const COUNTS_BYTES: usize = 32;
const COUNTED_AT: usize = CONTEXTS * COUNTS_BYTES + 64;
const CPU_BYTES: usize = COUNTED_AT + 16 * 8;

/// The module that writes numbered events and counts calls.
pub fn witness_module(kernel: &Kernel) -> Result<PathBuf> {
    let driver = workspace_dir().join("guest-driver");
    driver_module(kernel)?;
    ModuleBuild::new(workspace_dir().join("tests/guest/witness"))
        .also(driver.join("vtrace.h"))
        .also(driver.join("vtrace_abi.h"))
        .symbols(module_dir(kernel, "driver").join("Module.symvers"))
        .build(kernel, &module_dir(kernel, "witness"))
}

/// The driver.
pub fn driver_module(kernel: &Kernel) -> Result<PathBuf> {
    ModuleBuild::new(workspace_dir().join("guest-driver"))
        .build(kernel, &module_dir(kernel, "driver"))
}

/// One context of one vCPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// The last number whose writing began.
    pub attempted: u64,
    /// How many were recorded.
    pub recorded: u64,
    /// The last one that was recorded.
    pub last: u64,
}

/// One vCPU.
#[derive(Debug, Clone)]
pub struct Cpu {
    /// Task, softirq, hard interrupt, NMI.
    pub contexts: [Counts; CONTEXTS],
    /// NMIs while the writers ran.
    pub nmis: u64,
    /// NMIs on top of an open reservation.
    pub nmis_in_reservation: u64,
    /// Calls of the counted tracepoints (0 to 7), entries (8 to 11) and exits
    /// (12 to 15) of system calls.
    pub counted: [u64; 16],
}

/// The witness of a guest whose memory is a file.
#[derive(Debug)]
pub struct Witness {
    memory: File,
    gpa: u64,
    cpus: usize,
    /// The id of its event class.
    pub id: u32,
}

impl Witness {
    /// Finds the page of the loaded module in guest memory (below 2 GiB).
    pub fn find(guest: &Guest, memory: &Path) -> Result<Self> {
        let gpa = guest.sh("cat /sys/module/vt_witness/parameters/page")?;
        let gpa = u64::from_str_radix(gpa.trim_start_matches("0x"), 16)
            .with_context(|| format!("the witness's page is at {gpa:?}"))?;
        let memory = File::open(memory).with_context(|| format!("opening {memory:?}"))?;
        let mut head = [0; 24];
        memory.read_exact_at(&mut head, gpa)?;
        ensure!(word(&head, 0) == MAGIC, "no witness at {gpa:#x}");
        Ok(Self {
            memory,
            gpa,
            cpus: (word(&head, 8) >> 32) as usize,
            id: word(&head, 16) as u32,
        })
    }

    /// What it says now, of each vCPU.
    pub fn read(&self) -> Result<Vec<Cpu>> {
        (0..self.cpus)
            .map(|index| {
                let mut bytes = [0; CPU_BYTES];
                let at = self.gpa + CPUS_AT + (index * CPU_BYTES) as u64;
                self.memory.read_exact_at(&mut bytes, at)?;
                Ok(Cpu::from_bytes(&bytes))
            })
            .collect()
    }
}

impl Cpu {
    fn from_bytes(bytes: &[u8]) -> Self {
        let context = |index: usize| {
            let at = index * COUNTS_BYTES;
            Counts {
                attempted: word(bytes, at),
                recorded: word(bytes, at + 8),
                last: word(bytes, at + 16),
            }
        };
        Self {
            contexts: std::array::from_fn(context),
            nmis: word(bytes, CONTEXTS * COUNTS_BYTES),
            nmis_in_reservation: word(bytes, CONTEXTS * COUNTS_BYTES + 8),
            counted: std::array::from_fn(|index| word(bytes, COUNTED_AT + index * 8)),
        }
    }

    /// All that was attempted, in all contexts.
    pub fn attempted(&self) -> u64 {
        self.contexts.iter().map(|counts| counts.attempted).sum()
    }

    /// All that was recorded, in all contexts.
    pub fn recorded(&self) -> u64 {
        self.contexts.iter().map(|counts| counts.recorded).sum()
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
