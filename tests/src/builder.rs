//! How a guest is described: its machine, its kernel's command line, what is in
//! its initramfs.

use std::fs;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::accel::Accel;
use crate::cache::target_dir;
use crate::guest::Guest;
use crate::initramfs::Initramfs;
use crate::kernel::{Kernel, module_bytes};
use crate::lab::Lab;
use crate::launch::launch;
use crate::process::{command, stdout};
use crate::program::static_program;

/// The kernel command line of each guest; [`GuestBuilder::append`] adds to it,
/// and the last word about a parameter counts. A busy host may be too slow for
/// the kernel's check of the timer, after which it would panic.
pub const DEFAULT_CMDLINE: &str = "console=ttyS0 quiet panic=-1 nokaslr mitigations=off \
     tsc=reliable clocksource=tsc no_timer_check";

const BOOT_TIME: Duration = Duration::from_secs(120);
/// The initramfs in the folder of a guest.
pub(crate) const INITRAMFS: &str = "initramfs";
const BUSYBOX: &str = "/bin/busybox";

const INIT: &str = "#!/bin/sh
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
mount -t cgroup2 cgroup2 /sys/fs/cgroup
";

/// A guest before it is booted.
#[derive(Debug, Clone)]
pub struct GuestBuilder {
    qemu: PathBuf,
    kernel: Kernel,
    accel: Accel,
    name: String,
    smp: u32,
    max_vcpus: Option<u32>,
    memory_mib: u32,
    max_memory_mib: Option<u32>,
    mem_path: Option<PathBuf>,
    cpu: Option<String>,
    machine: String,
    cmdline: String,
    files: Vec<(Source, String)>,
    kernel_modules: Vec<String>,
    init: String,
    args: Vec<String>,
    plugin: bool,
    no_reboot: bool,
    boot_time: Duration,
}

#[derive(Debug, Clone)]
enum Source {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl GuestBuilder {
    pub(crate) fn new(lab: &Lab, name: &str) -> Self {
        Self {
            qemu: lab.qemu.program.clone(),
            kernel: lab.kernel.clone(),
            accel: lab.accel,
            name: name.to_string(),
            smp: 1,
            max_vcpus: None,
            memory_mib: 256,
            max_memory_mib: None,
            mem_path: None,
            cpu: None,
            machine: "q35".into(),
            cmdline: DEFAULT_CMDLINE.into(),
            files: Vec::new(),
            kernel_modules: vec!["virtio_pci".into(), "virtio_console".into()],
            init: String::new(),
            args: Vec::new(),
            plugin: false,
            no_reboot: false,
            boot_time: BOOT_TIME,
        }
    }

    /// The number of vCPUs (1).
    pub fn smp(mut self, vcpus: u32) -> Self {
        self.smp = vcpus;
        self
    }

    /// How many vCPUs there may be when more are plugged in.
    pub fn max_vcpus(mut self, vcpus: u32) -> Self {
        self.max_vcpus = Some(vcpus);
        self
    }

    /// How large memory may grow when more is plugged in, in up to 4 modules.
    pub fn max_memory_mib(mut self, mib: u32) -> Self {
        self.max_memory_mib = Some(mib);
        self
    }

    /// The size of memory (256 MiB).
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// Guest memory in this file, which the test can map and read, also after
    /// QEMU's death. Put it where pages are cheap (/dev/shm), and remove it.
    pub fn mem_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.mem_path = Some(path.into());
        self
    }

    /// Another kernel than the lab's first.
    pub fn kernel(mut self, kernel: &Kernel) -> Self {
        self.kernel = kernel.clone();
        self
    }

    /// Another way to execute than the lab found best. What counts guest
    /// instructions needs [`Accel::Tcg`].
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = accel;
        self
    }

    /// QEMU's `-cpu` argument instead of the lab's.
    pub fn cpu(mut self, model: &str) -> Self {
        self.cpu = Some(model.into());
        self
    }

    /// QEMU's machine type instead of q35, with its options.
    pub fn machine(mut self, machine: &str) -> Self {
        self.machine = machine.into();
        self
    }

    /// A file of the host at an absolute path in the guest.
    pub fn file(mut self, host: impl Into<PathBuf>, guest: &str) -> Self {
        self.files.push((Source::File(host.into()), guest.into()));
        self
    }

    /// A file with this content at an absolute path in the guest.
    pub fn content(mut self, content: impl Into<Vec<u8>>, guest: &str) -> Self {
        self.files
            .push((Source::Bytes(content.into()), guest.into()));
        self
    }

    /// A program as `/bin/NAME` in the guest.
    pub fn program(self, host: impl Into<PathBuf>) -> Self {
        let host = host.into();
        let name = file_name(&host);
        self.file(host, &format!("/bin/{name}"))
    }

    /// A module file as `/modules/NAME.ko` in the guest; the test loads it.
    pub fn module(self, host: impl Into<PathBuf>) -> Self {
        let host = host.into();
        let name = file_name(&host);
        self.file(host, &format!("/modules/{name}"))
    }

    /// One of the kernel's own modules, loaded at boot with all it needs.
    pub fn kernel_module(mut self, name: &str) -> Self {
        self.kernel_modules.push(name.into());
        self
    }

    /// A shell line that process 1 runs before the guest takes commands.
    pub fn init(mut self, line: &str) -> Self {
        self.init.push_str(line);
        self.init.push('\n');
        self
    }

    /// More of the kernel's command line.
    pub fn append(mut self, parameters: &str) -> Self {
        self.cmdline.push(' ');
        self.cmdline.push_str(parameters);
        self
    }

    /// More of QEMU's arguments, such as a chardev and a device. Guest memory
    /// is shared (`mem`) already.
    pub fn device_args<I, S>(mut self, args: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A TCG plugin and its arguments (`name=value`, comma-separated; may be
    /// empty). What it prints goes to [`Guest::plugin_log`].
    pub fn plugin(mut self, path: &Path, args: &str) -> Self {
        let comma = if args.is_empty() { "" } else { "," };
        self.args.push("-plugin".into());
        self.args.push(format!("{}{comma}{args}", path.display()));
        self.plugin = true;
        self.accel = Accel::Tcg;
        self
    }

    /// QEMU ends where the guest would restart.
    pub fn no_reboot(mut self) -> Self {
        self.no_reboot = true;
        self
    }

    /// How long the boot may take (120 s).
    pub fn boot_deadline(mut self, time: Duration) -> Self {
        self.boot_time = time;
        self
    }

    /// Starts QEMU and waits until the guest takes commands.
    pub fn boot(self) -> Result<Guest> {
        let time = self.boot_time;
        let guest = self.start()?;
        guest.wait_first_boot(time)?;
        Ok(guest)
    }

    /// Starts QEMU and waits for nothing.
    pub fn start(self) -> Result<Guest> {
        let dir = run_dir(&self.name)?;
        let initrd = dir.join(INITRAMFS);
        self.write_initramfs(&initrd)?;
        launch(&self.name, dir, &self.qemu, |dir, ends| {
            self.qemu_args(dir, &initrd, ends)
        })
    }

    /// The initramfs, for who starts QEMU in another way.
    pub fn write_initramfs(&self, path: &Path) -> Result<()> {
        let mut archive = Initramfs::create(path)?;
        for dir in ["proc", "sys", "dev", "tmp", "root", "mnt", "modules", "etc"] {
            archive.dir(dir)?;
        }
        let mut init = String::from(INIT);
        for file in self.kernel.load_order(&self.kernel_modules)? {
            let name = file_name(&file);
            let place = format!("/lib/lab/{}.ko", name.split(".ko").next().unwrap_or(&name));
            archive.file(&place, &module_bytes(&file)?)?;
            init.push_str(&format!("insmod {place}\n"));
        }
        init.push_str(&self.init);
        init.push_str("exec /bin/lab-agent lab\n");
        archive.file("/init", init.as_bytes())?;
        let busybox =
            fs::read(BUSYBOX).with_context(|| format!("reading {BUSYBOX} (busybox-static)"))?;
        archive.file("/bin/busybox", &busybox)?;
        let own: Vec<&str> = self.files.iter().map(|(_, place)| place.as_str()).collect();
        for applet in stdout(command(BUSYBOX).arg("--list"))?.lines() {
            let place = format!("/bin/{applet}");
            if applet != "busybox" && !own.contains(&place.as_str()) {
                archive.symlink(&place, "busybox")?;
            }
        }
        archive.file("/bin/lab-agent", &fs::read(static_program("agent")?)?)?;
        for (source, place) in &self.files {
            match source {
                Source::Bytes(bytes) => archive.file(place, bytes)?,
                Source::File(path) => {
                    let bytes = fs::read(path).with_context(|| format!("reading {path:?}"))?;
                    archive.file(place, &bytes)?;
                }
            }
        }
        archive.finish()
    }

    fn qemu_args(&self, dir: &Path, initrd: &Path, ends: [RawFd; 3]) -> Vec<String> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|word| word.to_string()));
        let memory = format!("{}M", self.memory_mib);
        let backend = match &self.mem_path {
            Some(path) => format!("memory-backend-file,id=mem,mem-path={}", path.display()),
            None => "memory-backend-memfd,id=mem".to_string(),
        };
        let default_cpu = match self.accel {
            Accel::Kvm => "host",
            Accel::Tcg => "max,la57=off",
        };
        add(&["-name", &format!("guest={},debug-threads=on", self.name)]);
        add(&["-nodefaults", "-no-user-config", "-display", "none"]);
        add(&["-machine", &format!("{},memory-backend=mem", self.machine)]);
        add(&["-accel", self.accel.qemu_arg()]);
        add(&["-cpu", self.cpu.as_deref().unwrap_or(default_cpu)]);
        let mut smp = self.smp.to_string();
        if let Some(most) = self.max_vcpus {
            smp.push_str(&format!(",maxcpus={most}"));
        }
        let mut size = memory.clone();
        if let Some(most) = self.max_memory_mib {
            size.push_str(&format!(",slots=4,maxmem={most}M"));
        }
        add(&["-smp", &smp, "-m", &size]);
        add(&["-object", &format!("{backend},size={memory},share=on")]);
        add(&["-kernel", &self.kernel.image.display().to_string()]);
        add(&[
            "-initrd",
            &initrd.display().to_string(),
            "-append",
            &self.cmdline,
        ]);
        for (id, fd) in ["console", "lab", "qmp"].iter().zip(ends) {
            add(&["-chardev", &format!("socket,id={id},fd={fd}")]);
        }
        add(&["-serial", "chardev:console"]);
        add(&["-mon", "chardev=qmp,mode=control"]);
        let bus = match self.machine.starts_with("microvm") {
            true => "virtio-serial-device",
            false => "virtio-serial-pci",
        };
        add(&["-device", &format!("{bus},id=labbus,max_ports=2")]);
        add(&[
            "-device",
            "virtserialport,bus=labbus.0,chardev=lab,name=lab",
        ]);
        if self.no_reboot {
            add(&["-no-reboot"]);
        }
        if self.plugin {
            let log = dir.join("plugin.log").display().to_string();
            add(&["-d", "plugin", "-D", &log]);
        }
        args.extend(self.args.iter().cloned());
        args
    }
}

/// A new folder for what one guest or program leaves behind.
pub(crate) fn run_dir(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = target_dir()
        .join("lab/run")
        .join(format!("{name}-{}-{count}", std::process::id()));
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {dir:?}"))?;
    Ok(dir)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
