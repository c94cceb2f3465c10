//! A guest that sends what no driver would, and what is left of everything
//! else: the device's answers, the errors, other VMs' traces, its own next one.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use vhost_trace_lab::{Lab, ModuleBuild, Serve, driver_module, module_dir, workspace_dir};

use crate::numbers::{account, read_numbers};
use crate::rig::{Rig, SMALL, TIME};

/// Some of the spoiled ring words, as errors call them.
const WORDS: &[&str] = &[
    "pos is",
    "sub[1].commit is",
    "sub[0].end is",
    "preamble[0].position is",
    "open[0].len is",
];

/// Spoiled words that nothing has to notice: a commit word of what was read
/// already, and `active`, which only a cut looks at.
const HARMLESS: usize = 2;

fn hostile_module() -> Result<std::path::PathBuf> {
    let lab = Lab::prepare()?;
    let driver = workspace_dir().join("guest-driver");
    driver_module(&lab.kernel)?;
    ModuleBuild::new(workspace_dir().join("tests/guest/hostile"))
        .also(driver.join("vtrace_abi.h"))
        .also(driver.join("vtrace_arch.h"))
        .also(driver.join("vtrace_ring.h"))
        .build(&lab.kernel, &module_dir(&lab.kernel, "hostile"))
}

/// Loads the hostile driver, which tries the `cases` of a glob and judges the
/// device's answers, and unloads it; returns how many there were.
fn try_cases(rig: &Rig, cases: &str) -> Result<usize> {
    let from = rig.guest.console().len();
    let job = rig
        .guest
        .spawn(&format!("insmod /modules/vt_hostile.ko 'case={cases}'"))?;
    let end = rig.guest.wait_console(from, "vt_hostile: alive", TIME)?;
    ensure!(job.wait(TIME)?.status == 0);
    let console = rig.guest.console();
    let verdicts: Vec<&str> = console
        .get(from..end)
        .context("the console")?
        .lines()
        .filter_map(|line| line.split_once("vt_hostile: "))
        .map(|(_, verdict)| verdict)
        .filter(|verdict| verdict.contains(": status "))
        .collect();
    let wrong: Vec<_> = verdicts.iter().filter(|v| !v.ends_with(": ok")).collect();
    ensure!(wrong.is_empty(), "{wrong:#?}");
    rig.guest.sh("rmmod vt_hostile")?;
    Ok(verdicts.len())
}

/// A guest gets no VIRTIO_F_ACCESS_PLATFORM to accept: the device does not offer
/// it, and QEMU starts no guest that is to have it nevertheless.
#[test]
fn trace_device_behind_an_iommu_is_refused() -> Result<()> {
    let lab = Lab::prepare()?;
    let mut serve = Serve::start("iommu", &[])?;
    let mut args = serve.device_args(lab)?;
    let device = args.last_mut().context("no -device")?;
    ensure!(device.contains("vhost-user-test-device-pci"), "{device}");
    device.push_str(",iommu_platform=on");
    let refusal = match lab.guest("iommu").device_args(args).start() {
        Ok(_) => bail!("QEMU started the guest"),
        Err(error) => format!("{error:#}"),
    };
    assert!(
        refusal.contains("iommu_platform=true is not supported by the device"),
        "{refusal}"
    );
    serve.terminate()
}

#[test]
fn trace_hostile_guest_harms_nobody() -> Result<()> {
    let module = hostile_module()?;
    let mut rig = Rig::boot_with("hostile", SMALL, |guest| guest.smp(2).module(module))?;
    let asked = try_cases(&rig, "[!w]*")?;
    assert!(asked > 100, "{asked} cases");

    // Each spoiled word that can mislead has quarantined its ring, by name.
    let log = || fs::read_to_string(rig.serve.dir().join("serve.log"));
    let before = log()?.len();
    let spoiled = try_cases(&rig, "word-*")?;
    let log = log()?;
    let quarantined: Vec<&str> = log[before..]
        .lines()
        .filter(|line| line.contains("quarantined"))
        .collect();
    assert_eq!(quarantined.len(), spoiled - HARMLESS, "{quarantined:#?}");
    for line in quarantined {
        assert!(line.contains("VM hostile: vCPU 0: channel 0"), "{line}");
    }
    for word in WORDS {
        assert!(log.contains(word), "no error names {word:?}");
    }
    // What a guest calls itself reaches no terminal as it is.
    assert!(!log.chars().any(|c| c != '\n' && c.is_control()));

    // The same serve traces an honest driver in the same guest.
    rig.load_driver()?;
    let witness = rig.load_witness("payload=24 pace_us=2000 burst=4 count=2000")?;
    let from = rig.guest.console().len();
    rig.run_witness(true)?;
    rig.guest.wait_console(from, "vt_witness: done", TIME)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = rig.finish()?;
    let (_, numbers) = read_numbers(&rig.serve.trace())?;
    crate::numbers::assert_complete(&numbers, &cpus);
    for (vcpu, _) in cpus.iter().enumerate() {
        assert_eq!(account(&status, vcpu as u32)?.lost, 0);
    }
    Ok(())
}
