//! Probe definitions, against the guest's own kprobe_events.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Event, read_trace};

use crate::rig::{Rig, TIME};

const ROOM: &[&str] = &[
    "--sub-size",
    "256K",
    "--num-sub",
    "16",
    "--context",
    "tid,procname",
];

const TRACEFS: &str = "/sys/kernel/tracing";

/// Hits that both must have.
const HITS: usize = 10_000;

/// What both get: arguments, and a filter.
struct Pair {
    name: &'static str,
    /// Without name and filter.
    place: &'static str,
    args: &'static str,
    ours: &'static str,
    theirs: &'static str,
}

const PAIRS: &[Pair] = &[
    Pair {
        name: "opens",
        place: "p do_sys_openat2",
        args: "dfd=%di:s32 path=+0($arg2):ustring name=+0(%si):string flags=+0(%dx):x64 \
               how=+0($arg3):x32[3] half=+0($arg3):b12@4/32 comm=$comm banner=@linux_banner:x64 cmdline=+0(@saved_command_line):string \
               five=\\5:u8 neg=\\-7:s16 bad=+0(\\0xdead000000000000):u64 gone=+8(\\16):ustring",
        ours: "path == \"/tmp/[*\" || path == \"/tmp/one\" && dfd == -100 && half & 0x800 && $procname == \"workload\"",
        theirs: "path == \"/tmp/one\" && dfd == -100 && comm == \"workload\"",
    },
    Pair {
        name: "opened",
        place: "r do_sys_openat2",
        args: "fd=$retval:s32 ax=%ax comm=$comm:string",
        ours: "fd < 0 && comm == \"workload\"",
        theirs: "fd < 0 && comm == \"workload\"",
    },
    Pair {
        name: "ppid",
        place: "p __x64_sys_getppid",
        args: "nr=+120(%di):u64 di=+0x70($arg1):x64 cs=+136(%di):x16 top=$stack0 sp=+0($stack):x64",
        ours: "nr == 110 && $procname == \"workload\"",
        theirs: "nr == 110 && comm == \"workload\"",
    },
];

impl Pair {
    fn definition(&self) -> String {
        let (kind, place) = self.place.split_at(1);
        format!(
            "{kind}:{} {} {} if {}",
            self.name,
            place.trim(),
            self.args,
            self.ours
        )
    }

    fn kprobe_event(&self) -> String {
        let (kind, place) = self.place.split_at(1);
        format!("{kind}:their_{} {} {}", self.name, place.trim(), self.args)
    }
}

/// A tracepoint, whose arguments are not those of its event in tracefs.
const CALLS: &str = "t:calls sys_enter nr=$arg2:s64 same=+120($arg1):u64 \
                     if nr == 110 && same == 110 && $procname == \"workload\"";

const THEIR_CALLS: &str = "events/raw_syscalls/sys_enter";

/// One hit: the thread, its name, and what was fetched.
type Hits = BTreeMap<String, u64>;

fn add(hits: &mut Hits, hit: String) {
    *hits.entry(hit).or_default() += 1;
}

/// babeltrace2's way to write fields, as kprobe_events writes them.
fn as_theirs(event: &Event<'_>) -> Result<String> {
    let fields = event.fields.strip_prefix("ip = ").context("no ip")?;
    let mut rest = fields.split_once(", ").context("one field")?.1;
    for own in ["parent_ip = ", "fault = "] {
        if rest.starts_with(own) {
            rest = rest.split_once(", ").context("the last field")?.1;
        }
    }
    // An array is `[ [0] = 1, [1] = 2 ]` here and `{1,2}` there.
    let mut text = rest.replace(" = ", "=").replace(", ", " ");
    text = text.replace("\"(fault)\"", "(fault)");
    while let Some(at) = text.find("[ [0]=") {
        let end = at + text[at..].find(" ]").context("no end of an array")?;
        let elements = text[at + 2..end].split(' ');
        let values = elements.filter_map(|element| element.split_once('=').map(|pair| pair.1));
        let array = format!("{{{}}}", values.collect::<Vec<_>>().join(","));
        text.replace_range(at..end + 2, &array);
    }
    text = lower_hex(&text);
    Ok(format!("{} {text}", task(event)?))
}

/// `comm-tid`, as the guest's trace has it.
fn task(event: &Event<'_>) -> Result<String> {
    let name = event.context_text("procname").context("no name")?;
    let tid = event.context_int("tid").context("no thread")?;
    Ok(format!("{}-{tid}", name.trim_matches('"')))
}

/// `0xAB` becomes `0xab`.
fn lower_hex(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_hexdigit());
        let (digits, rest) = part.split_at(digits.unwrap_or(part.len()));
        lower.push_str(&format!("0x{}{rest}", digits.to_ascii_lowercase()));
    }
    lower
}

/// A line of the guest's trace: `task-1 [000] ..... 1.2: event: (where) fields`.
fn of_line<'a>(line: &'a str, event: &str) -> Option<(&'a str, &'a str)> {
    let (head, fields) = line.split_once(&format!(": {event}("))?;
    let task = head.split_once(" [")?.0.trim();
    Some((task, fields.split_once(") ").map_or("", |parts| parts.1)))
}

fn theirs(trace: &str, event: &str) -> Hits {
    let mut hits = Hits::new();
    for line in trace.lines().filter(|line| !line.starts_with('#')) {
        if let Some((task, fields)) = of_line(line, event) {
            add(&mut hits, format!("{task} {fields}").trim().to_owned());
        }
    }
    hits
}

fn set_up_theirs(rig: &Rig) -> Result<()> {
    let mut script = format!("cd {TRACEFS}; echo 0 >tracing_on; echo 32768 >buffer_size_kb\n");
    for pair in PAIRS {
        let event = format!("events/kprobes/their_{}", pair.name);
        script.push_str(&format!(
            "echo '{}' >>kprobe_events || {{ cat error_log >&2; exit 1; }}\n\
             echo '{}' >{event}/filter || {{ cat {event}/filter >&2; exit 1; }}\n\
             echo 1 >{event}/enable\n",
            pair.kprobe_event(),
            pair.theirs
        ));
    }
    script.push_str(&format!(
        "echo 'id == 110 && comm == \"workload\"' >{THEIR_CALLS}/filter; echo 1 >{THEIR_CALLS}/enable"
    ));
    rig.guest.sh(&script).map(|_| ())
}

#[test]
fn probe_def_records_what_kprobe_events_does() -> Result<()> {
    let mut rig = Rig::boot_with("probe-def", ROOM, |guest| guest.smp(2).memory_mib(512))?;
    let definitions: Vec<String> = PAIRS.iter().map(Pair::definition).collect();
    // One is wanted before there is a driver.
    let said = rig
        .serve
        .vm2(&["probe", "add"], &["--rate", "0", &definitions[0]])?;
    ensure!(said.contains("remembered"), "{said}");
    rig.load_driver()?;
    set_up_theirs(&rig)?;
    for definition in definitions[1..].iter().map(String::as_str).chain([CALLS]) {
        rig.serve
            .vm2(&["probe", "add"], &["--rate", "0", definition])?;
    }
    let list = rig.serve.vm(&["events", "--list"])?;
    for pair in PAIRS {
        let line = format!("* {}", pair.name);
        ensure!(list.lines().any(|known| known == line), "{list}");
    }
    rig.guest.sh_within(
        &format!(
            "echo >/tmp/one; echo >/tmp/other; echo 1 >{TRACEFS}/tracing_on
             workload openat {HITS} /tmp/one & workload openat 3000 /tmp/other
             workload openat {HITS} /tmp/none; workload getppid {HITS}; wait
             echo 0 >{TRACEFS}/tracing_on"
        ),
        TIME,
    )?;
    let counts = rig.serve.vm2(&["probe", "list"], &[])?;
    println!("{counts}");
    let profile = rig.guest.sh(&format!("cat {TRACEFS}/kprobe_profile"))?;
    println!("{profile}");
    let trace = String::from_utf8(rig.guest.pull(&format!("{TRACEFS}/trace"))?)?;
    let their_calls = theirs(&trace, "sys_enter: NR 110 ");
    let wanted = PAIRS
        .iter()
        .map(|pair| theirs(&trace, &format!("their_{}: ", pair.name)));
    let wanted: Vec<Hits> = wanted.collect();
    rig.finish()?;

    let mut found = vec![Hits::new(); PAIRS.len()];
    let mut calls = Hits::new();
    read_trace(&rig.serve.trace(), |event| {
        if event.name == "calls" {
            add(&mut calls, task(&event)?);
        }
        if let Some(place) = PAIRS.iter().position(|pair| pair.name == event.name) {
            add(&mut found[place], as_theirs(&event)?);
        }
        Ok(())
    })?;
    assert_eq!(calls, their_calls);
    assert_eq!(calls.values().sum::<u64>(), HITS as u64);
    for ((pair, wanted), found) in PAIRS.iter().zip(&wanted).zip(&found) {
        let hits: u64 = found.values().sum();
        println!("{}: {hits} hits, e.g. {:?}", pair.name, found.keys().next());
        let missing = wanted
            .iter()
            .find(|(hit, count)| found.get(*hit) != Some(count));
        assert_eq!(missing, None, "{}: {:?}", pair.name, found.iter().next());
        assert_eq!(found, wanted, "{}", pair.name);
        assert_eq!(hits, HITS as u64, "{}", pair.name);
    }
    Ok(())
}
