//! The conditions under which Trace Compass takes a trace for one of LTTng's of
//! a kernel, and draws what it draws of those. `docs/readers.md` lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use vhost_trace_lab::Event;

use crate::schema::classes;

/// Events that its views of CPUs, threads, interrupts and system calls are made
/// from, with the fields that they are asked for.
const EVENTS: &[(&str, &[&str])] = &[
    (
        "sched_switch",
        &["prev_comm", "prev_tid", "prev_prio", "prev_state"],
    ),
    ("sched_switch", &["next_comm", "next_tid", "next_prio"]),
    ("sched_wakeup", &["tid", "prio", "target_cpu"]),
    ("sched_waking", &["tid", "prio", "target_cpu"]),
    ("sched_wakeup_new", &["tid", "prio", "target_cpu"]),
    ("sched_migrate_task", &["tid", "dest_cpu"]),
    (
        "sched_process_fork",
        &["parent_tid", "child_tid", "child_comm"],
    ),
    ("sched_process_exec", &["filename", "tid"]),
    ("sched_process_exit", &["tid"]),
    ("sched_process_free", &["tid"]),
    ("irq_handler_entry", &["irq", "name"]),
    ("irq_handler_exit", &["irq"]),
    ("irq_softirq_raise", &["vec"]),
    ("irq_softirq_entry", &["vec"]),
    ("irq_softirq_exit", &["vec"]),
    ("block_rq_issue", &["dev", "sector", "nr_sector"]),
    ("block_rq_complete", &["dev", "sector", "nr_sector"]),
    (
        "lttng_statedump_process_state",
        &["tid", "pid", "ppid", "name", "status", "type", "mode"],
    ),
    ("lttng_statedump_block_device", &["dev", "diskname"]),
    ("syscall_entry_read", &["fd"]),
    ("syscall_exit_read", &["ret"]),
];

/// What the conditions are about.
#[derive(Clone, Debug)]
pub struct Seen {
    metadata: String,
    boot_id: String,
    host_boot_id: String,
    /// Begin and end of each packet, by stream.
    packets: BTreeMap<String, Vec<(u64, u64)>>,
    /// Events by name, and the CPUs that had any.
    names: BTreeMap<String, u64>,
    cpus: BTreeSet<u32>,
    /// Of each `sched_switch`: CPU, from whom and to whom.
    switches: Vec<(u32, i64, i64)>,
}

/// A condition, and a way to break it.
pub struct Condition {
    pub what: &'static str,
    pub holds: fn(&Seen) -> bool,
    pub spoil: fn(&mut Seen),
}

impl Seen {
    /// Takes down what the files of a trace say, of a guest that says that this
    /// is its boot.
    pub fn begin(kernel: &Path, boot_id: &str) -> Result<Self> {
        let mut packets = BTreeMap::new();
        for entry in fs::read_dir(kernel.join("index"))? {
            let path = entry?.path();
            let index = fs::read(&path)?;
            let word = |entry: &[u8], at: usize| {
                let bytes = entry[at * 8..][..8].try_into().expect("eight bytes");
                u64::from_be_bytes(bytes)
            };
            let entries = index.get(16..).context("no header")?.chunks_exact(72);
            let times = entries.map(|entry| (word(entry, 3), word(entry, 4)));
            let name = path.file_stem().context("no name")?;
            packets.insert(name.to_string_lossy().into_owned(), times.collect());
        }
        Ok(Self {
            metadata: fs::read_to_string(kernel.join("metadata"))?,
            boot_id: boot_id.to_string(),
            host_boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")?,
            packets,
            names: BTreeMap::new(),
            cpus: BTreeSet::new(),
            switches: Vec::new(),
        })
    }

    /// Nanoseconds between 1970 and the clock's zero.
    pub fn clock_offset(&self) -> Option<u64> {
        self.value("clock", "offset")?.parse().ok()
    }

    /// Takes down an event.
    pub fn visit(&mut self, event: &Event<'_>) {
        *self.names.entry(event.name.to_string()).or_default() += 1;
        self.cpus.insert(event.cpu);
        if event.name == "sched_switch"
            && let (Some(prev), Some(next)) = (event.int("prev_tid"), event.int("next_tid"))
        {
            self.switches.push((event.cpu, prev, next));
        }
    }

    /// The value of `key` in a block of the metadata, without quotes.
    fn value(&self, block: &str, key: &str) -> Option<&str> {
        let body = self.metadata.split_once(&format!("\n{block} {{\n"))?.1;
        let body = body.split("\n};").next()?;
        let mut lines = body
            .lines()
            .filter_map(|line| line.trim().split_once(" = "));
        let value = lines.find(|(name, _)| *name == key)?.1;
        Some(value.trim_end_matches(';').trim_matches('"'))
    }

    fn number(&self, key: &str) -> u64 {
        let value = self.value("env", key).and_then(|value| value.parse().ok());
        value.unwrap_or_default()
    }

    fn replace(&mut self, from: &str, to: &str) {
        self.metadata = self.metadata.replace(from, to);
    }

    /// Whether an event's class has all these fields, with LTTng's underscore
    /// before each, which readers take off.
    fn has(classes: &BTreeMap<String, String>, name: &str, fields: &[&str]) -> bool {
        let no_name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        classes.get(name).is_some_and(|class| {
            let words = class.split(no_name);
            let words: BTreeSet<&str> = words.filter_map(|word| word.strip_prefix('_')).collect();
            fields.iter().all(|field| words.contains(field))
        })
    }
}

pub const CONDITIONS: &[Condition] = &[
    Condition {
        what: "metadata is CTF 1.8",
        holds: |seen| seen.metadata.starts_with("/* CTF 1.8 */\n"),
        spoil: |seen| seen.replace("/* CTF 1.8", "/* CTF 2"),
    },
    Condition {
        what: "env: domain is kernel",
        holds: |seen| seen.value("env", "domain") == Some("kernel"),
        spoil: |seen| seen.replace("\"kernel\"", "\"ust\""),
    },
    Condition {
        what: "env: tracer_name is lttng-modules",
        holds: |seen| seen.value("env", "tracer_name") == Some("lttng-modules"),
        spoil: |seen| seen.replace("\"lttng-modules\"", "\"perf\""),
    },
    Condition {
        what: "env: the tracer's version is 2.9 or later, as a number",
        holds: |seen| seen.number("tracer_major") == 2 && seen.number("tracer_minor") >= 9,
        spoil: |seen| seen.replace("tracer_minor = 13", "tracer_minor = 8"),
    },
    Condition {
        what: "clock: its uuid is the guest's boot id",
        holds: |seen| seen.value("clock", "uuid") == Some(&seen.boot_id),
        spoil: |seen| {
            seen.replace(
                &seen.boot_id.clone(),
                "00000000-0000-4000-8000-000000000000",
            )
        },
    },
    Condition {
        what: "clock: its uuid is not the host's boot id",
        holds: |seen| {
            seen.value("clock", "uuid")
                .is_some_and(|uuid| uuid != seen.host_boot_id.trim())
        },
        spoil: |seen| seen.host_boot_id = format!("{}\n", seen.boot_id),
    },
    Condition {
        what: "clock: nanoseconds",
        holds: |seen| seen.value("clock", "freq") == Some("1000000000"),
        spoil: |seen| seen.replace("freq = 1000000000", "freq = 1000000"),
    },
    Condition {
        what: "packets: times and the CPU's number",
        holds: |seen| {
            let context = seen.metadata.split_once("struct packet_context {");
            let fields = context.and_then(|(_, rest)| rest.split('}').next());
            let ends =
                |name: &str| fields.is_some_and(|fields| fields.contains(&format!(" {name};")));
            ends("timestamp_begin") && ends("timestamp_end") && ends("cpu_id")
        },
        spoil: |seen| seen.replace("uint32_t cpu_id;", "uint32_t vcpu;"),
    },
    Condition {
        what: "packets: a stream's are in order",
        holds: |seen| {
            seen.packets.values().all(|times| {
                let each = times.iter().all(|(begin, end)| begin <= end);
                each && times.windows(2).all(|two| two[0].1 <= two[1].0)
            })
        },
        spoil: |seen| seen.packets.values_mut().for_each(|times| times.reverse()),
    },
    Condition {
        what: "streams: one for each CPU that has events",
        holds: |seen| {
            let stream = |cpu| seen.packets.contains_key(&format!("events_{cpu}"));
            seen.cpus.len() > 1 && seen.cpus.iter().all(stream)
        },
        spoil: |seen| {
            let _ = seen.packets.remove("events_1");
        },
    },
    Condition {
        what: "events: names and fields are those of LTTng",
        holds: |seen| {
            let classes = classes(&seen.metadata);
            EVENTS
                .iter()
                .all(|(name, fields)| Seen::has(&classes, name, fields))
        },
        spoil: |seen| seen.replace(" _child_tid;", " _child_thread;"),
    },
    Condition {
        what: "events: each system call has an entry and an exit",
        holds: |seen| {
            let classes = classes(&seen.metadata);
            let calls = |prefix: &str| -> BTreeSet<String> {
                let names = classes.keys().filter_map(|name| name.strip_prefix(prefix));
                names.map(str::to_string).collect()
            };
            let entries = calls("syscall_entry_");
            entries.len() > 300 && entries == calls("syscall_exit_")
        },
        spoil: |seen| seen.replace("\"syscall_exit_fsync\"", "\"exit_fsync\""),
    },
    Condition {
        what: "events: the threads there are when it begins",
        holds: |seen| seen.names.contains_key("lttng_statedump_process_state"),
        spoil: |seen| {
            let _ = seen.names.remove("lttng_statedump_process_state");
        },
    },
    Condition {
        what: "events: who leaves a CPU is who came last",
        holds: |seen| {
            let mut on = BTreeMap::new();
            let follows = |(cpu, prev, next): &(u32, i64, i64)| {
                on.insert(*cpu, *next).is_none_or(|last| last == *prev)
            };
            seen.switches.len() > 10 && seen.switches.iter().all(follows)
        },
        spoil: |seen| {
            let middle = seen.switches.len() / 2;
            let _ = seen.switches.remove(middle);
        },
    },
];
