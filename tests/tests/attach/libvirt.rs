//! A domain of a real libvirt.

use std::fs;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{
    Lab, Libvirt, Serve, driver_module, static_program, target_dir, workspace_dir,
};

use crate::cycles::wait_events;
use crate::rig::serve;

/// What the domain does from its boot on.
const WORK: &str = "insmod /modules/virtio_trace.ko
(while :; do workload getppid 100; usleep 100000; done) >/dev/null &";

/// A domain that shares its memory and has a port to spare; what `more` adds
/// is the rest of it.
fn domain(name: &str, initramfs: &str, more: &str) -> Result<String> {
    let lab = Lab::prepare()?;
    Ok(format!(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name><memory unit='MiB'>256</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initramfs}</initrd>
    <cmdline>console=ttyS0 quiet no_timer_check</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>{qemu}</emulator>
    <controller type='pci' model='pcie-root'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <channel type='null'><target type='virtio' name='lab'/></channel>
    <memballoon model='none'/>
  </devices>
{more}
</domain>",
        kernel = lab.kernel.image.display(),
        qemu = lab.qemu.program.display(),
    ))
}

/// What `qemu-configs/libvirt.xml` has inside its domain.
fn snippet() -> Result<String> {
    let text = fs::read_to_string(workspace_dir().join("qemu-configs/libvirt.xml"))?;
    let (_, rest) = text.split_once("<domain ").context("no domain")?;
    let (_, rest) = rest.split_once('>').context("no domain")?;
    let (inner, _) = rest.split_once("</domain>").context("no end")?;
    Ok(inner.to_owned())
}

/// `vhost-trace COMMAND vm --libvirt DOMAIN`.
fn with_libvirt(libvirt: &Libvirt, serve: &Serve, args: &[&str]) -> Result<String> {
    let args = [&[args[0], "vm", "--libvirt"], &args[1..]].concat();
    let output = serve
        .command(&args)?
        .env("PATH", libvirt.path()?)
        .output()?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        output.status.success(),
        "{args:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

#[test]
fn attach_goes_through_libvirt() -> Result<()> {
    let lab = Lab::prepare()?;
    let initramfs = target_dir().join(format!("lab/run/libvirt-{}.cpio", std::process::id()));
    lab.guest("libvirt")
        .module(driver_module(&lab.kernel)?)
        .program(static_program("workload")?)
        .init(WORK)
        .write_initramfs(&initramfs)?;
    let archive = initramfs.to_str().context("a path of UTF-8")?;
    let libvirt = Libvirt::start()?;

    let shared = snippet()?;
    let (memory, device) = shared
        .split_once("<qemu:commandline>")
        .context("no arguments of QEMU")?;
    libvirt.start_domain("plain", &domain("plain", archive, memory)?)?;
    let mut first = serve(&[])?;
    first.vm(&["events", "--enable", "syscall_*_getppid"])?;
    let said = with_libvirt(&libvirt, &first, &["attach", "plain"])?;
    ensure!(said.contains("driver: version 1"), "{said}");
    wait_events(&first, 1000)?;
    let said = with_libvirt(&libvirt, &first, &["check", "plain"])?;
    ensure!(
        said.contains("attached: /machine/peripheral/vtrace"),
        "{said}"
    );
    with_libvirt(&libvirt, &first, &["detach", "plain"])?;
    ensure!(libvirt.virsh(&["domstate", "plain"])?.trim() == "running");
    let why = with_libvirt(&libvirt, &first, &["attach", "none"]).unwrap_err();
    ensure!(why.to_string().contains("failed to get domain"), "{why}");
    libvirt.virsh(&["destroy", "plain"])?;
    first.terminate()?;

    // The snippet as it stands, but for its socket.
    let mut second = serve(&[])?;
    second.vm(&["events", "--enable", "syscall_*_getppid"])?;
    let status = second.status()?;
    let socket = status["socket"].as_str().context("no socket")?;
    let (begin, rest) = device.split_once("path=").context("no path")?;
    let (_, end) = rest.split_once('\'').context("no end of the path")?;
    let device = format!("<qemu:commandline>{begin}path={socket}'{end}");
    let xml = domain("whole", archive, &format!("{memory}{device}"))?;
    libvirt.start_domain("whole", &xml)?;
    wait_events(&second, 1000)?;
    libvirt.virsh(&["destroy", "whole"])?;
    second.terminate()?;
    fs::remove_file(initramfs)?;
    Ok(())
}
