//! A guest with the driver, and a `serve` that reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use vhost_trace_lab::{
    Guest, GuestBuilder, Kernel, Lab, Serve, Witness, driver_module, static_program, witness_module,
};

/// Small rings, which come round several times in any test.
pub const SMALL: &[&str] = &["--sub-size", "16K", "--num-sub", "4"];

/// Rings that come round, too, and lose nothing of a guest that takes its time
/// while the host is busy for most of a second.
pub const ROOMY: &[&str] = &["--sub-size", "64K", "--num-sub", "8"];

/// The smallest rings there are: nobody keeps up with them.
pub const TINY: &[&str] = &["--sub-size", "4K", "--num-sub", "2"];

/// How long a guest may take to do what a test asks of it.
pub const TIME: Duration = Duration::from_secs(120);

/// Guest memory or a disk in a file, removed in the end.
#[derive(Debug)]
pub struct Memory(PathBuf);

impl Memory {
    /// A new file, in memory itself.
    pub fn at(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(PathBuf::from(format!(
            "/dev/shm/vhost-trace-{process}-{count}-{name}"
        )))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a test of the whole way works with.
#[derive(Debug)]
pub struct Rig {
    pub serve: Serve,
    pub guest: Guest,
    pub memory: Memory,
}

impl Rig {
    /// Starts `serve` with these arguments and boots a guest with so many
    /// vCPUs; the driver is not loaded yet.
    pub fn boot(name: &str, vcpus: u32, serve_args: &[&str]) -> Result<Self> {
        Self::boot_with(name, serve_args, |guest| guest.smp(vcpus))
    }

    /// Like [`Rig::boot`], with whatever else the guest is to have.
    pub fn boot_with(
        name: &str,
        serve_args: &[&str],
        describe: impl FnOnce(GuestBuilder) -> GuestBuilder,
    ) -> Result<Self> {
        Self::boot_on(&Lab::prepare()?.kernel, name, serve_args, describe)
    }

    /// Like [`Rig::boot_with`], with this kernel.
    pub fn boot_on(
        kernel: &Kernel,
        name: &str,
        serve_args: &[&str],
        describe: impl FnOnce(GuestBuilder) -> GuestBuilder,
    ) -> Result<Self> {
        let lab = Lab::prepare()?;
        let serve = Serve::start(name, serve_args)?;
        let memory = Memory::at(name);
        let guest = lab
            .guest(name)
            .kernel(kernel)
            .append("loglevel=7")
            .mem_path(memory.path())
            .module(driver_module(kernel)?)
            .module(witness_module(kernel)?)
            .program(static_program("workload")?)
            .device_args(serve.device_args(lab)?);
        Ok(Self {
            guest: describe(guest).boot()?,
            serve,
            memory,
        })
    }

    /// Loads the driver; when this returns, its rings are registered.
    pub fn load_driver(&self) -> Result<()> {
        self.guest.sh("insmod /modules/virtio_trace.ko").map(|_| ())
    }

    /// Loads the witness with these parameters.
    pub fn load_witness(&self, parameters: &str) -> Result<Witness> {
        self.guest
            .sh(&format!("insmod /modules/vt_witness.ko {parameters}"))?;
        Witness::find(&self.guest, self.memory.path())
    }

    /// Lets the witness write until it has written its count, or until it is
    /// stopped.
    pub fn run_witness(&self, on: bool) -> Result<()> {
        let value = u8::from(on);
        self.guest
            .sh(&format!(
                "echo {value} >/sys/module/vt_witness/parameters/run"
            ))
            .map(|_| ())
    }

    /// Enables events, and returns when the guest has.
    pub fn enable(&self, globs: &str) -> Result<()> {
        self.serve.vm(&["events", "--enable", globs]).map(|_| ())
    }

    /// Ends the guest in an orderly way, then `serve`; returns the status
    /// between the two.
    pub fn finish(&mut self) -> Result<Value> {
        self.guest.quit()?;
        let status = self.serve.status()?;
        self.serve.terminate()?;
        Ok(status)
    }
}
