//! Events of all subsystems, against what the guest's own tracer has of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::kinds::{MADE, kinds};
use crate::numbers::account;
use crate::rig::{Rig, TIME, TINY};
use crate::state::{self, Dump};
use vhost_trace_lab::{Event, read_trace};

/// A disk that has no content, in a machine without a network card.
const DISK: &[&str] = &[
    "-blockdev",
    "null-co,node-name=void,size=67108864,read-zeroes=on",
    "-device",
    "virtio-blk-pci,drive=void,num-queues=1",
];

/// The signal that begins and ends what is compared: ignored, and generated
/// with interrupts off, so that both tracers see the same before and after it.
const MARK: i64 = 28;

/// What makes the events.
const WORK: &str = "
    kill -WINCH $$
    dd if=/dev/vda of=/dev/null bs=4k count=64 iflag=direct 2>/dev/null
    dd if=/dev/zero of=/dev/vda bs=64k count=8 oflag=direct 2>/dev/null
    ping -c 3 -i 1 127.0.0.1 >/dev/null
    dd if=/dev/zero of=/dev/null bs=4M count=4 2>/dev/null
    sleep 0.1
    sh -c 'trap : USR1; kill -USR1 $$; echo 500 >/proc/$$/oom_score_adj'
    workload fork 20 >/dev/null
    sh -c 'echo $$ >/sys/fs/cgroup/small/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=64M count=1'
    kill -WINCH $$";

/// Events between the marks, by name: their number and the values of a field.
#[derive(Debug, Default, PartialEq, Eq)]
struct Window {
    marks: u32,
    values: BTreeMap<String, Vec<i64>>,
}

impl Window {
    fn add(&mut self, name: &str, mark: bool, value: i64) {
        self.marks += u32::from(mark);
        if self.marks == 1 && !mark {
            self.values.entry(name.to_string()).or_default().push(value);
        }
    }
}

fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|value| value as i64),
        None => text.parse().ok(),
    }
}

/// The guest's `trace` file: `task-1 [000] d..1. 12.345: name: key=1 ..`.
fn window_of_guest(text: &str) -> Result<Window> {
    let mut window = Window::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let event = line.split_once("] ").and_then(|(_, rest)| {
            let (name, fields) = rest.split_once(": ")?.1.split_once(": ")?;
            Some((name, fields))
        });
        let (theirs, fields) = event.with_context(|| format!("the guest's line {line:?}"))?;
        let value = |key: &str| {
            let words = fields.split([' ', ',']);
            let mut values = words.filter_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            values.next().and_then(number)
        };
        let kind = kinds().find(|(_, name, _)| name.split_once('/').is_some_and(|n| n.1 == theirs));
        let Some((ours, _, field)) = kind else {
            continue;
        };
        let mark = theirs == "signal_generate" && value("sig") == Some(MARK);
        let value = match field {
            Some((_, key)) => value(key).with_context(|| format!("no {key} in {line:?}"))?,
            None => 0,
        };
        window.add(ours, mark, value);
    }
    Ok(window)
}

/// What the fields of some events must be, whatever else there is.
fn is_plausible(event: &Event<'_>, seen: &mut BTreeMap<&'static str, u32>) -> Result<()> {
    let mut saw = |what| *seen.entry(what).or_default() += 1;
    let int = |name| event.int(name).with_context(|| format!("{event:?}"));
    match event.name {
        "block_rq_issue" | "block_rq_insert" if event.text("comm") == Some("\"dd\"") => {
            ensure!(int("dev")? != 0 && int("bytes")? == int("nr_sector")? * 512);
            // LTTng's bits of reading and writing.
            match int("bytes")? {
                4096 if int("rwbs")? & 0x4 != 0 => saw("read requests"),
                65536 if int("rwbs")? & 0x1 != 0 => saw("write requests"),
                _ => {}
            }
        }
        "block_rq_complete" => ensure!(int("error")? == 0, "{event:?}"),
        "net_dev_queue" | "net_if_rx"
            if event.text("name") == Some("\"lo\"")
                && event.fields.contains("network_header_type = ( \"_ipv4\"") =>
        {
            saw("IPv4 packets");
        }
        "irq_handler_entry" if event.fields.contains("virtio") => saw("virtio interrupts"),
        "oom_mark_victim" if event.text("comm") == Some("\"dd\"") => saw("victims"),
        "lttng_statedump_file_descriptor" if event.text("filename") == Some("\"/dev/zero\"") => {
            // O_LARGEFILE, and FMODE_READ.
            ensure!(event.text("flags") == Some("0100000"), "{event:?}");
            ensure!(int("fmode")? & 1 != 0, "{event:?}");
        }
        _ => {}
    }
    Ok(())
}

/// One vCPU: the two tracers agree on the order of everything.
#[test]
fn events_are_those_of_the_guests_own_tracer() -> Result<()> {
    let rings = &["--sub-size", "256K", "--num-sub", "16"];
    let mut rig = Rig::boot_with("events", rings, |guest| {
        guest
            .kernel_module("virtio_blk")
            .device_args(DISK.iter().copied())
    })?;
    rig.load_driver()?;
    let tracing = "/sys/kernel/tracing";
    let sleeper = rig.guest.sh(&format!(
        "ip link set lo up
         echo mq-deadline >/sys/block/vda/queue/scheduler
         echo 1 >/proc/sys/kernel/sched_schedstats
         cd /sys/fs/cgroup
         echo +memory >cgroup.subtree_control
         mkdir small && echo 8M >small/memory.max
         sh -c 'echo $$ >small/cgroup.procs; exec sleep 1000 9</dev/zero' >/dev/null 2>&1 &
         until pidof sleep; do :; done
         echo 0 >{tracing}/tracing_on
         echo 32768 >{tracing}/buffer_size_kb"
    ))?;
    let sleeper = sleeper.trim().parse()?;
    for (_, theirs, _) in kinds() {
        rig.guest
            .sh(&format!("echo 1 >{tracing}/events/{theirs}/enable"))?;
    }
    let ours: Vec<&str> = kinds().map(|kind| kind.0).collect();
    rig.enable(&ours.join(","))?;
    let state = state::of_guest(&rig.guest, sleeper, &[("lo", 0x7f00_0001)])?;
    rig.guest.sh_within(
        &format!("echo 1 >{tracing}/tracing_on\n{WORK}\necho 0 >{tracing}/tracing_on"),
        TIME,
    )?;
    rig.serve.vm(&["events", "--disable", "*"])?;
    let stats = rig.guest.sh(&format!("cat {tracing}/per_cpu/cpu0/stats"))?;
    for nothing in ["overrun: 0\n", "dropped events: 0\n"] {
        ensure!(stats.contains(nothing), "the guest's tracer lost: {stats}");
    }
    rig.guest
        .sh_within(&format!("cat {tracing}/trace >/tmp/trace"), TIME)?;
    let guest = window_of_guest(&String::from_utf8_lossy(&rig.guest.pull("/tmp/trace")?))?;
    let status = rig.finish()?;

    let mut seen = BTreeMap::new();
    let mut mine = Window::default();
    let mut dump = Dump::of_task(sleeper);
    let summary = read_trace(&rig.serve.trace(), |event| {
        is_plausible(&event, &mut seen)?;
        dump.visit(&event)?;
        if let Some((name, _, field)) = kinds().find(|kind| kind.0 == event.name) {
            let mark = event.name == "signal_generate" && event.int("sig") == Some(MARK);
            let value = match field {
                Some((field, _)) => event.int(field).with_context(|| format!("{event:?}"))?,
                None => 0,
            };
            mine.add(name, mark, value);
        }
        Ok(())
    })?;
    println!("{} events, {seen:?}", summary.events());
    println!("{state:#?}");
    assert!(state.files.len() > 3 && !state.interrupts.is_empty() && !state.disks.is_empty());
    assert_eq!(dump.state(), state);
    let account = account(&status, 0)?;
    assert_eq!((account.lost, account.overwritten), (0, 0), "{account:?}");
    assert_eq!(summary.discarded, 0);
    assert_eq!((mine.marks, guest.marks), (2, 2));
    for (ours, theirs, _) in kinds() {
        let (mine, guest) = (mine.values.get(*ours), guest.values.get(*ours));
        let count = |values: Option<&Vec<i64>>| values.map_or(0, Vec::len);
        println!("{ours}: {} and {}", count(mine), count(guest));
        assert_eq!(count(mine), count(guest), "{ours}, {theirs}");
        assert_eq!(mine, guest, "{ours}, {theirs}");
    }
    for (ours, ..) in MADE {
        assert!(mine.values.contains_key(*ours), "no {ours}");
    }
    for what in [
        "read requests",
        "write requests",
        "IPv4 packets",
        "virtio interrupts",
        "victims",
    ] {
        assert!(seen.contains_key(what), "no {what}: {seen:?}");
    }
    Ok(())
}

/// Everything at once through rings too small for it, while handlers come and
/// go and the driver is taken out; nothing is asked of the rings but that what
/// they hold can be read.
#[test]
fn events_may_all_be_enabled_when_the_driver_is_removed() -> Result<()> {
    let mut rig = Rig::boot_with("events-all", TINY, |guest| {
        guest
            .kernel_module("virtio_blk")
            .device_args(DISK.iter().copied())
    })?;
    rig.guest
        .sh("ip link set lo up; mkdir /sys/fs/cgroup/small")?;
    let work = rig
        .guest
        .spawn(&format!("until [ -e /tmp/end ]; do {WORK}\n done"))?;
    for _ in 0..3 {
        rig.load_driver()?;
        rig.enable("*")?;
        rig.serve.vm(&["events", "--disable", "timer_*,irq_*"])?;
        rig.enable("*")?;
        rig.guest
            .sh_within("workload fork 20; rmmod virtio_trace", TIME)?;
    }
    rig.guest.sh("touch /tmp/end")?;
    work.wait(TIME)?;
    let console = rig.guest.console();
    rig.finish()?;
    for complaint in ["BUG:", "WARNING:", "Oops", "RIP:"] {
        ensure!(!console.contains(complaint), "{complaint} in {console}");
    }
    let summary = read_trace(&rig.serve.trace(), |_| Ok(()))?;
    println!("{} events, {} lost", summary.events(), summary.discarded);
    for name in ["irq_softirq_entry", "timer_start", "kmem_mm_page_alloc"] {
        assert!(summary.count(name) > 0, "no {name}");
    }
    Ok(())
}
