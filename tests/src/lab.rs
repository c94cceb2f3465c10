//! The prepared laboratory.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};

use crate::accel::Accel;
use crate::builder::GuestBuilder;
use crate::cache::{Lock, cache_dir};
use crate::debian;
use crate::kernel::{Flavour, Kernel, Series};
use crate::qemu::Qemu;

/// A QEMU, a kernel, and the knowledge how to boot one in the other.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The QEMU that guests run in.
    pub qemu: Qemu,
    /// Debian 12's kernel (6.1), or the series that `$VHOST_TRACE_KERNEL` names.
    pub kernel: Kernel,
    /// How guests execute.
    pub accel: Accel,
}

impl Lab {
    /// Prepares the lab once per process. The first time on a machine this
    /// installs packages, downloads and unpacks; afterwards it looks into the
    /// cache. Two processes do not prepare at once.
    pub fn prepare() -> Result<&'static Self> {
        static LAB: OnceLock<Result<Lab, String>> = OnceLock::new();
        LAB.get_or_init(|| Self::prepare_now().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("the lab cannot be prepared: {error}"))
    }

    fn prepare_now() -> Result<Self> {
        let _lock = Lock::take(&cache_dir().join("lock"))?;
        debian::install_packages(debian::LAB_PACKAGES)?;
        let qemu = Qemu::prepare()?;
        let kernel = match std::env::var("VHOST_TRACE_KERNEL") {
            Ok(name) => Series::named(&name)?.kernel(Flavour::Generic)?,
            Err(_) => Series::Linux6_1.kernel(Flavour::Generic)?,
        };
        let mut lab = Self {
            qemu,
            kernel,
            accel: Accel::Tcg,
        };
        lab.accel = Accel::probe(&lab)?;
        Ok(lab)
    }

    /// Begins to describe a guest; `name` appears in messages and in the name
    /// of the folder of its logs.
    pub fn guest(&self, name: &str) -> GuestBuilder {
        GuestBuilder::new(self, name)
    }
}

/// Whether the full tier of tests was asked for (`cargo xtask test --full`).
pub fn full_tier() -> bool {
    std::env::var_os("VHOST_TRACE_FULL").is_some_and(|value| value == "1")
}
