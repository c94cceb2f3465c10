//! What a guest's kernel says when it does not take a module.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::kit::{ALL, Kit, module_file, utf8};
use crate::rig::TIME;

/// A module with some of its bytes replaced, wherever they are.
fn changed(kit: &Kit, module: &str, name: &str, from: &[u8], to: &[u8]) -> Result<PathBuf> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(module_file(module)?)?;
    let mut found = false;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
            found = true;
        }
    }
    ensure!(found, "{module} has no {from:?}");
    kit.file(name, &bytes)
}

/// The version of one symbol that a module wants, changed; `None`: it has none.
fn other_version(kit: &Kit, symbol: &str) -> Result<Option<PathBuf>> {
    let mut bytes = fs::read(module_file("template")?)?;
    // struct modversion_info: 8 bytes, then the name.
    let name = format!("\0{symbol}\0\0\0\0\0\0\0\0");
    let at = bytes
        .windows(name.len())
        .position(|it| it == name.as_bytes());
    let Some(at) = at.filter(|at| bytes[at + 1 - 4..at + 1] == [0; 4]) else {
        return Ok(None);
    };
    bytes[at + 1 - 8] ^= 1;
    kit.file("version.ko", &bytes).map(Some)
}

/// What the guest's kernel keeps: kernel threads and processes, open files, and
/// objects of those slabs that a load uses.
fn kept(kit: &Kit) -> Result<Vec<i64>> {
    let text = kit.rig.guest.sh("sync; echo 3 >/proc/sys/vm/drop_caches
         for s in mnt_cache shmem_inode_cache task_struct; do
            cd /sys/kernel/slab/$s; echo 1 >shrink; cut -d' ' -f1 objects; done
         cut -f1 /proc/sys/fs/file-nr; ls -d /proc/[0-9]* | wc -l; wc -l </proc/mounts
         ls /proc/2/fd | wc -l")?;
    text.lines()
        .map(|line| line.trim().parse().context("a number"))
        .collect()
}

#[test]
fn probe_module_says_why_the_kernel_refuses() -> Result<()> {
    let kit = Kit::boot("probe-why", ALL)?;
    let guest = &kit.rig.guest;
    let release = guest.sh("uname -r")?;
    guest.sh("mkdir -p /security; mount -t securityfs securityfs /security")?;
    let template = module_file("template")?;
    let load = |file: &PathBuf, words: &[&str], texts: &[&str]| -> Result<()> {
        kit.fails("load", &[&[utf8(file)?], words].concat(), texts)
    };

    // No module, or half of one.
    let garbage = kit.file("garbage.ko", &[b'x'; 5000])?;
    load(&garbage, &[], &["Invalid ELF", "errno 8", &release])?;
    let bytes = fs::read(&template)?;
    let half = kit.file("half.ko", &bytes[..bytes.len() / 2])?;
    load(&half, &[], &["Invalid ELF", "errno 8"])?;
    load(&kit.file("empty.ko", b"")?, &[], &["is empty"])?;
    load(
        &kit.file("big.ko", &vec![0; 64 << 20])?,
        &[],
        &["67108864", "at most 16777216"],
    )?;
    let error = kit.probe("load", &["/nonexistent.ko"])?;
    ensure!(error.status.code() == Some(1));

    // One that is for another kernel.
    let unknown = changed(
        &kit,
        "template",
        "symbol.ko",
        b"vtrace_write",
        b"vtrace_wrong",
    )?;
    load(
        &unknown,
        &[],
        &["Unknown symbol vtrace_wrong", "errno 2", "probe build"],
    )?;
    let magic = changed(&kit, "template", "magic.ko", b" SMP ", b" SMQ ")?;
    let texts = [
        "version magic",
        " SMQ ",
        "should be",
        " SMP ",
        "errno 8",
        &release,
    ];
    load(&magic, &[], &texts)?;
    for (symbol, errno) in [("module_layout", "errno 8"), ("vtrace_write", "errno 22")] {
        let texts = [
            &format!("disagrees about version of symbol {symbol}")[..],
            errno,
        ];
        match other_version(&kit, symbol)? {
            Some(file) => load(&file, &[], &[&texts[..], &["probe build"]].concat())?,
            None => ensure!(
                release.starts_with("7."),
                "{release} has versions of symbols"
            ),
        }
    }

    // One that does not work here.
    let trouble = module_file("vt_trouble")?;
    load(&trouble, &["error=33"], &["init fails with 33", "errno 33"])?;
    load(
        &trouble,
        &["error=abc"],
        &["invalid for parameter", "errno 22"],
    )?;
    assert_eq!(kit.done("list", &[])?, "");
    kit.load("template", &["min_ms=1"])?;
    load(&template, &[], &["errno 17", "unload"])?;
    kit.fails("unload", &["nonsense"], &["errno 2"])?;
    // Not the host's to take.
    kit.fails("unload", &["virtio_trace"], &["errno 2"])?;
    kit.fails("unload", &["../x"], &["no module's name"])?;
    kit.unload("template")?;

    probe_module_200_times(&kit)?;

    // While the guest freezes its processes to sleep.
    let from = guest.console().len();
    let job = guest.spawn("echo freezer >/sys/power/pm_test; echo mem >/sys/power/state")?;
    guest.wait_console(from, "Waiting for 5 second", TIME)?;
    load(&template, &[], &["errno 16", "sleep"])?;
    job.wait(TIME)?;
    kit.load("template", &[])?;
    kit.unload("template")?;

    // What its administrator forbids, from here on for good.
    guest.sh("echo integrity >/security/lockdown")?;
    load(
        &template,
        &[],
        &[
            "Lockdown",
            "unsigned module loading is restricted",
            "errno 1)",
        ],
    )?;
    guest.sh("echo 1 >/sys/module/module/parameters/sig_enforce")?;
    load(
        &template,
        &[],
        &[
            "Loading of unsigned module is rejected",
            "errno 129",
            "sign it",
        ],
    )?;
    guest.sh("echo 1 >/proc/sys/kernel/modules_disabled")?;
    load(&template, &[], &["kernel.modules_disabled", "errno 1)"])?;
    guest.sh("echo 0 0 >/proc/sys/kernel/usermodehelper/bset")?;
    load(&template, &[], &["kernel.usermodehelper.bset", "errno 1)"])?;
    Ok(())
}

/// Afterwards the guest is as it was.
fn probe_module_200_times(kit: &Kit) -> Result<()> {
    let small = module_file("vt_trouble")?;
    let small = utf8(&small)?;
    let round = |times: u32| -> Result<()> {
        for _ in 0..times {
            kit.done("load", &[small])?;
            kit.unload("vt_trouble")?;
        }
        Ok(())
    };
    // What is made once, is there.
    round(5)?;
    let before = kept(kit)?;
    let started = std::time::Instant::now();
    round(200)?;
    let after = kept(kit)?;
    println!(
        "200 loads and unloads: {:?}, before {before:?}, after {after:?}",
        started.elapsed()
    );
    // What the guest does beside it moves a few objects, not 200.
    for (before, after) in before.iter().zip(&after) {
        ensure!(
            after - before < 40,
            "something stays of each load: {before:?}, {after:?}"
        );
    }
    Ok(())
}
