//! A guest that was started without a trace device, with a monitor for the
//! command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{
    Guest, GuestBuilder, Lab, Serve, Witness, driver_module, static_program, witness_module,
};

/// How long a guest may take to do what a test asks of it.
pub const TIME: Duration = Duration::from_secs(120);

/// Writers that never pause for long, in task and interrupt context.
pub const WRITERS: &str = "payload=24 pace_us=1000 burst=4 irq_us=2000";

/// Large enough to lose nothing while the host is busy.
pub const RINGS: &[&str] = &["--sub-size", "64K", "--num-sub", "8"];

/// A slot for the device, as q35 needs.
pub const PORT: [&str; 2] = ["-device", "pcie-root-port,id=port0,chassis=1"];

/// A guest whose QEMU also has a QMP socket, and whose memory is a file.
#[derive(Debug)]
pub struct Vm {
    pub guest: Guest,
    files: Files,
}

/// Removed in the end.
#[derive(Debug)]
struct Files {
    monitor: PathBuf,
    memory: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.monitor);
        let _ = fs::remove_file(&self.memory);
    }
}

impl Vm {
    /// Starts a guest that has the driver, the witness and these of QEMU's
    /// arguments, described further by `more`; it is waited for if `booted`.
    pub fn start(
        name: &str,
        args: &[&str],
        booted: bool,
        more: impl FnOnce(GuestBuilder) -> GuestBuilder,
    ) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("vhost-trace-{}-{name}-{count}", std::process::id());
        let files = Files {
            monitor: std::env::temp_dir().join(format!("{unique}.qmp")),
            memory: Path::new("/dev/shm").join(&unique),
        };
        let lab = Lab::prepare()?;
        let monitor = format!("unix:{},server=on,wait=off", files.monitor.display());
        let builder = lab
            .guest(name)
            .smp(2)
            .append("loglevel=7")
            .mem_path(&files.memory)
            .module(driver_module(&lab.kernel)?)
            .module(witness_module(&lab.kernel)?)
            .program(static_program("workload")?)
            .device_args(["-qmp", &monitor])
            .device_args(args.iter().copied());
        let builder = more(builder);
        let guest = if booted {
            builder.boot()?
        } else {
            builder.start()?
        };
        Ok(Self { guest, files })
    }

    /// Boots a q35 guest with a port for the device.
    pub fn boot(name: &str) -> Result<Self> {
        Self::start(name, &PORT, true, |guest| guest)
    }

    /// QEMU's socket for the command line.
    pub fn monitor(&self) -> Result<&str> {
        self.files.monitor.to_str().context("a path of UTF-8")
    }

    /// The file of the guest's memory.
    pub fn memory(&self) -> Result<&str> {
        self.files.memory.to_str().context("a path of UTF-8")
    }

    /// Loads the driver, with a device or without.
    pub fn load_driver(&self) -> Result<()> {
        self.guest.sh("insmod /modules/virtio_trace.ko").map(|_| ())
    }

    /// Loads the witness, which writes from now on.
    pub fn load_witness(&self) -> Result<Witness> {
        self.guest
            .sh(&format!("insmod /modules/vt_witness.ko {WRITERS}"))?;
        self.run_witness(true)?;
        self.witness()
    }

    /// The witness that is loaded.
    pub fn witness(&self) -> Result<Witness> {
        Witness::find(&self.guest, &self.files.memory)
    }

    /// Lets the witness write, or not.
    pub fn run_witness(&self, on: bool) -> Result<()> {
        let value = u8::from(on);
        self.guest
            .sh(&format!(
                "echo {value} >/sys/module/vt_witness/parameters/run"
            ))
            .map(|_| ())
    }

    /// `attach`, which the loaded driver answers.
    pub fn attach(&self, serve: &Serve) -> Result<()> {
        let said = serve.vm(&["attach", "--qmp", self.monitor()?])?;
        ensure!(said.contains("driver: version 1, kernel "), "{said}");
        Ok(())
    }

    /// `detach`.
    pub fn detach(&self, serve: &Serve) -> Result<()> {
        serve.vm(&["detach", "--qmp", self.monitor()?]).map(|_| ())
    }

    /// What a command of this VM says that must fail.
    pub fn refusal(&self, serve: &Serve, words: &[&str]) -> Result<String> {
        let args = [&[words[0], "vm", "--qmp", self.monitor()?], &words[1..]].concat();
        let output = serve.command(&args)?.output()?;
        ensure!(!output.status.success(), "{args:?} succeeded: {output:?}");
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A `serve` of the VM `vm`.
pub fn serve(args: &[&str]) -> Result<Serve> {
    Serve::start("vm", args)
}

/// Ends a VM, then its `serve`, in this order: QEMU may not survive the other.
pub fn end(vm: Vm, mut serve: Serve) -> Result<()> {
    vm.guest.kill()?;
    serve.terminate()
}
