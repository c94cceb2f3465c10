//! Whether KVM works here: found out by booting a guest with it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::cache::{cache_dir, timed};
use crate::lab::Lab;

/// How guests execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// By the processor. What a guest executes cannot be counted then.
    Kvm,
    /// By QEMU's translator, a thread per vCPU.
    Tcg,
}

impl Accel {
    /// QEMU's `-accel` argument.
    pub fn qemu_arg(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg,thread=multi",
        }
    }

    /// Boots a guest under KVM if there is a KVM, and remembers for this boot
    /// of the machine whether that worked.
    pub(crate) fn probe(lab: &Lab) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Tcg);
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let boot = boot.trim();
        let answer = cache_dir().join("kvm-works");
        let known = fs::read_to_string(&answer).unwrap_or_default();
        if let Some((known_boot, works)) = known.trim().split_once(' ')
            && known_boot == boot
            && !boot.is_empty()
        {
            return Ok(if works == "yes" { Self::Kvm } else { Self::Tcg });
        }
        let works = timed("trying KVM", || {
            Ok(lab
                .guest("kvm-probe")
                .accel(Self::Kvm)
                .boot_deadline(Duration::from_secs(10))
                .boot()
                .and_then(|guest| guest.sh("true"))
                .is_ok())
        })?;
        fs::write(
            &answer,
            format!("{boot} {}\n", if works { "yes" } else { "no" }),
        )?;
        Ok(if works { Self::Kvm } else { Self::Tcg })
    }
}
