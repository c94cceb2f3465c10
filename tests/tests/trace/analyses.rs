//! What users read kernel traces with: lttng-analyses, and the conditions of
//! Trace Compass, on one trace of a busy guest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Event, LttngAnalyses, install_packages, read_trace, static_program};

use crate::compass::{CONDITIONS, Seen};
use crate::life::sessions;
use crate::rig::{Memory, Rig, TIME};

/// What the analyses look at.
const EVENTS: &str = "sched_*,irq_*,block_rq_*,net_*,syscalls";

/// Calls of the one that computes, blocks of the one that copies a file.
const CALLS: u64 = 2000;
const BLOCKS: u64 = 16;

/// What lttng-analyses calls differently: LTTng's first names.
const RENAMED: &[(&str, &str)] = &[
    ("\"irq_softirq_", "\"softirq_"),
    ("\"net_if_receive_skb\"", "\"netif_receive_skb\""),
];

const MKFS: &str = "/sbin/mkfs.minix";

/// An empty file system in a file: the one that every kernel has as a module
/// which needs no other.
fn make_disk(path: &Path) -> Result<()> {
    File::create(path)?.set_len(16 << 20)?;
    if !Path::new(MKFS).exists() {
        // Debian 12 has it in util-linux itself.
        install_packages(&["util-linux-extra"])?;
    }
    let mut mkfs = Command::new(MKFS);
    let made = mkfs.arg("-3").arg(path).output().context(MKFS)?;
    ensure!(made.status.success(), "{made:?}");
    Ok(())
}

/// Lets three processes work while everything is traced; returns their ids.
/// They are there before, so that the state dump names them and the one's open
/// file, and wait for a word.
fn work(rig: &Rig) -> Result<[String; 3]> {
    rig.guest.sh("set -e
         mkdir -p /mnt
         mount -t minix /dev/vda /mnt
         dd if=/dev/urandom of=/mnt/accounts.db bs=64k count=1 2>/dev/null
         sync
         echo 3 >/proc/sys/vm/drop_caches")?;
    let workers = rig.guest.spawn(&format!(
        "mkfifo /tmp/burner /tmp/clerk /tmp/head
         burner --wait paced 2000 {CALLS} 0<>/tmp/burner &
         clerk --wait copy {BLOCKS} /mnt/accounts.db /mnt/ledger.log 0<>/tmp/clerk &
         sh -c 'exec 0<>/tmp/head; exec head -n 1 >/mnt/held.log' &
         wait"
    ))?;
    // Waiting is read (0) of file 0.
    let pid = |name| {
        let waits = format!(
            "until pid=$(pidof {name}) && grep -q '^0 0x0 ' /proc/$pid/syscall; do :; done
             echo $pid"
        );
        rig.guest.sh(&waits)
    };
    let pids = [pid("burner")?, pid("clerk")?, pid("head")?];
    rig.enable(EVENTS)?;
    rig.guest
        .sh("for name in burner clerk head; do echo go >/tmp/$name; done")?;
    let said = workers.wait(TIME)?.text();
    for what in [
        format!("paced calls={CALLS}"),
        format!("copy calls={BLOCKS}"),
    ] {
        ensure!(said.contains(&what), "no {what}: {said}");
    }
    Ok(pids)
}

/// Interrupts that ended after the work began, by what irqstats calls them.
#[derive(Debug, Default)]
struct Interrupts {
    /// When the work began.
    from: Option<u64>,
    open: BTreeMap<(u32, bool), (i64, String)>,
    counts: BTreeMap<(bool, i64), u64>,
    names: BTreeMap<i64, String>,
}

impl Interrupts {
    fn visit(&mut self, event: &Event<'_>) -> Result<()> {
        let int = |name| event.int(name).with_context(|| format!("{event:?}"));
        match event.name {
            "syscall_entry_openat" if event.text("filename") == Some("\"/tmp/burner\"") => {
                self.from.get_or_insert(event.stamp);
            }
            "irq_handler_entry" => {
                let name = event.text("name").context("no name")?;
                let entry = (int("irq")?, name.trim_matches('"').to_string());
                self.open.insert((event.cpu, true), entry);
            }
            "irq_handler_exit" => {
                let open = self.open.remove(&(event.cpu, true));
                if let Some((irq, name)) = open.filter(|(irq, _)| int("irq").ok() == Some(*irq)) {
                    self.count(true, irq);
                    self.names.insert(irq, name);
                }
            }
            // They do not nest.
            "irq_softirq_entry" => {
                let entry = (int("vec")?, String::new());
                self.open.insert((event.cpu, false), entry);
            }
            "irq_softirq_exit" => {
                if let Some((vec, _)) = self.open.remove(&(event.cpu, false)) {
                    self.count(false, vec);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, hard: bool, number: i64) {
        if self.from.is_some() {
            *self.counts.entry((hard, number)).or_default() += 1;
        }
    }
}

/// The words of each line that has all of `with`.
fn lines<'a>(text: &'a str, with: &'a [&str]) -> impl Iterator<Item = Vec<&'a str>> {
    text.lines()
        .filter(|line| with.iter().all(|part| line.contains(part)))
        .map(|line| line.split_whitespace().collect())
}

/// `22: <virtio1>  3  33.316 ..`: number, name and count.
fn irqs(text: &str) -> BTreeMap<i64, (String, u64)> {
    lines(text, &[":", "<", ">"])
        .filter_map(|words| {
            let number = words[0].strip_suffix(':')?.parse().ok()?;
            let name = words[1].strip_prefix('<')?.strip_suffix('>')?;
            Some((number, (name.to_string(), words[2].parse().ok()?)))
        })
        .collect()
}

/// The counts of system calls that syscallstats has of one process.
fn calls_of(text: &str, process: &str) -> BTreeMap<String, u64> {
    text.lines()
        .skip_while(|line| !line.starts_with(process))
        .skip(1)
        .take_while(|line| line.starts_with(" - "))
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            Some((words.next()?.to_string(), words.next()?.parse().ok()?))
        })
        .collect()
}

/// The trace under the names that lttng-analyses knows.
fn renamed(session: &Path, view: &Path) -> Result<()> {
    fs::create_dir_all(view.join("kernel"))?;
    for entry in fs::read_dir(session.join("kernel"))? {
        let entry = entry?;
        symlink(entry.path(), view.join("kernel").join(entry.file_name()))?;
    }
    let mut metadata = fs::read_to_string(session.join("kernel/metadata"))?;
    for (ours, theirs) in RENAMED {
        ensure!(metadata.contains(ours), "no {ours}");
        metadata = metadata.replace(ours, theirs);
    }
    fs::remove_file(view.join("kernel/metadata"))?;
    fs::write(view.join("kernel/metadata"), metadata)?;
    Ok(())
}

fn analyse(
    rig: &Rig,
    session: &Path,
    pids: &[String; 3],
    seen: &Interrupts,
    offset: u64,
) -> Result<()> {
    let Some(analyses) = LttngAnalyses::prepare()? else {
        return Ok(());
    };
    let run = |name: &str, args: &[&str], trace: &Path| -> Result<String> {
        let text = analyses.run(name, args, trace)?;
        println!("{text}");
        Ok(text)
    };
    let [burner, clerk, head] = pids;
    let names = [
        format!("burner ({burner})"),
        format!("clerk ({clerk})"),
        format!("head ({head})"),
    ];

    let cpu = run("cputop", &["--limit=100"], session)?;
    for name in &names {
        assert_eq!(lines(&cpu, &["%", name]).count(), 1, "{name}");
    }

    let calls = run("syscallstats", &[], session)?;
    let burned = calls_of(&calls, &format!("burner ({burner}, TID: {burner})"));
    let copied = calls_of(&calls, &format!("clerk ({clerk}, TID: {clerk})"));
    assert_eq!(burned.get("getppid"), Some(&CALLS));
    // It sleeps after each group of two.
    assert_eq!(burned.get("clock_nanosleep"), Some(&(CALLS / 2)));
    // It also writes what it has done.
    for (name, count) in [("read", BLOCKS), ("write", BLOCKS + 1), ("fsync", BLOCKS)] {
        assert_eq!(copied.get(name), Some(&count), "{name}");
    }

    let text = run("schedstats", &[], session)?;
    for name in &names {
        assert_eq!(lines(&text, &[name]).count(), 1, "{name}");
    }

    let io = run("iolatencytop", &["--limit=1000"], session)?;
    for (call, count, who, file) in [
        (" read ", BLOCKS, clerk, "/mnt/accounts.db (fd="),
        (" write ", BLOCKS, clerk, "/mnt/ledger.log (fd="),
        (" fsync ", BLOCKS, clerk, "/mnt/ledger.log (fd="),
        (" write ", 1, head, "/mnt/held.log (fd=1)"),
    ] {
        let who = format!(" {who} ");
        let found = lines(&io, &[call, &who, file]).count() as u64;
        assert_eq!(found, count, "{call}of {file} by {who}");
    }

    // Events are enabled one after the other, and a handler's end without its
    // beginning is too much for irqstats: it is asked about the work alone.
    let from = seen.from.context("no work")? + offset;
    let view = rig.serve.dir().join("renamed");
    renamed(session, &view)?;
    for (trace, soft) in [(session, false), (&view, true)] {
        let text = run("irqstats", &[&format!("--begin={from}")], trace)?;
        let (hard, softirqs) = text.split_once("Soft IRQ").unwrap_or((&text, ""));
        let mut counts = BTreeMap::new();
        for (irq, (name, count)) in irqs(hard) {
            assert_eq!(seen.names.get(&irq), Some(&name));
            counts.insert((true, irq), count);
        }
        let vectors = irqs(softirqs);
        assert_eq!(vectors.is_empty(), !soft);
        counts.extend(vectors.iter().map(|(vec, (_, n))| ((false, *vec), *n)));
        let mut expected = seen.counts.clone();
        expected.retain(|(hard, _), _| *hard || soft);
        assert_eq!(counts, expected);
    }
    Ok(())
}

#[test]
fn events_are_understood_by_lttng_analyses_and_trace_compass() -> Result<()> {
    let disk = Memory::at("analyses-disk");
    make_disk(disk.path())?;
    let workload = static_program("workload")?;
    let rings = &["--sub-size", "256K", "--num-sub", "16"];
    let mut rig = Rig::boot_with("analyses", rings, |guest| {
        guest
            .smp(2)
            .kernel_module("virtio_blk")
            .kernel_module("minix")
            .file(&workload, "/bin/burner")
            .file(&workload, "/bin/clerk")
            .device_args([
                "-blockdev",
                &format!(
                    "raw,node-name=disk,file.driver=file,file.filename={}",
                    disk.path().display()
                ),
                "-device",
                "virtio-blk-pci,drive=disk,num-queues=1",
            ])
    })?;
    rig.load_driver()?;
    let pids = work(&rig)?;
    let interrupts = rig.guest.sh("cat /proc/interrupts")?;
    let boot_id = rig.guest.sh("cat /proc/sys/kernel/random/boot_id")?;
    let status = rig.finish()?;
    ensure!(crate::numbers::account(&status, 0)?.lost == 0, "{status:#}");

    let session = sessions(&rig.serve.trace())?.pop().context("no trace")?;
    let mut compass = Seen::begin(&session.join("kernel"), boot_id.trim())?;
    let mut seen = Interrupts::default();
    let summary = read_trace(&session, |event| {
        compass.visit(&event);
        seen.visit(&event)
    })?;
    println!("{} events, {seen:?}", summary.events());
    assert!(seen.names.values().any(|name| name.contains("virtio")));
    for (irq, name) in &seen.names {
        let number = format!(" {irq}:");
        let count = lines(&interrupts, &[&number, name]).count();
        assert_eq!(count, 1, "{irq}, {name} in {interrupts}");
    }

    for condition in CONDITIONS {
        assert!((condition.holds)(&compass), "{}", condition.what);
        let mut spoilt = compass.clone();
        (condition.spoil)(&mut spoilt);
        assert!(
            !(condition.holds)(&spoilt),
            "cannot fail: {}",
            condition.what
        );
    }
    let offset = compass.clock_offset().context("no offset")?;
    analyse(&rig, &session, &pids, &seen, offset)
}
