//! The laboratory: everything a test needs to boot a real guest.
//!
//! [`Lab::prepare`] finds or fetches a QEMU and a kernel once and keeps them
//! in a cache; [`Lab::guest`] boots a guest from them whose shell is at the
//! test's hand ([`Guest::run`]); [`build_module`] and [`static_program`]
//! make what runs inside.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let lab = vhost_trace_lab::Lab::prepare()?;
//! let guest = lab.guest("example").smp(2).boot()?;
//! assert_eq!(guest.sh("nproc")?, "2");
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here sleeps: each wait ends with an event or at its deadline, and
//! then says what it waited for and how the guest's console ended.

mod accel;
mod agent;
mod babeltrace;
mod builder;
mod cache;
mod checkpatch;
mod debian;
mod guest;
mod initramfs;
mod kernel;
mod kmod;
mod lab;
mod launch;
mod libvirt;
mod lttng_analyses;
mod process;
mod program;
mod qemu;
mod serve;
mod state;
mod suite;
mod toolchain;
mod witness;

pub use accel::Accel;
pub use agent::{Job, Output};
pub use babeltrace::{Event, Summary, read_trace};
pub use builder::{DEFAULT_CMDLINE, GuestBuilder};
pub use cache::{cache_dir, target_dir, workspace_dir};
pub use checkpatch::checkpatch;
pub use debian::{install_packages, missing_packages};
pub use guest::Guest;
pub use kernel::{Flavour, Kernel, Series};
pub use kmod::{ModuleBuild, build_module, module_dir};
pub use lab::{Lab, full_tier};
pub use libvirt::Libvirt;
pub use lttng_analyses::LttngAnalyses;
pub use program::{compile_c, copy_with_libraries, static_program};
pub use qemu::Qemu;
pub use serve::{Serve, prebuild_vhost_trace, vhost_trace};
pub use suite::debian_12;
pub use toolchain::BUILD_DIR;
pub use witness::{Counts, Cpu, Witness, driver_module, witness_module};
