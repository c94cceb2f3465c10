//! Names and types of the events, against those of lttng-modules.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::{env, fs};

use anyhow::{Context, Result};
use vhost_trace_lab::workspace_dir;

use crate::life::sessions;
use crate::rig::{Rig, SMALL};

/// What lttng-modules 2.13.9 wrote as metadata of this kernel, a line each.
const LTTNG: &str = "tests/data/lttng-modules-2.13.9-linux-6.1.txt";

/// What the names of the events begin with that are compared.
const SUBSYSTEMS: &[&str] = &[
    "block_rq_",
    "compat_syscall_",
    "irq_",
    "kmem_mm_page_alloc",
    "kmem_mm_page_free",
    "lttng_statedump_",
    "net_dev_",
    "net_if_",
    "power_cpu_",
    "sched_",
    "signal_",
    "syscall_",
    "timer_",
    "x86_exceptions_",
];

/// Packets: LTTng's headers of one are a variant, of structures with bit
/// fields, which schema records have not; ours end before them.
///
/// Open files: ours end with the process, as LTTng's once did.
///
/// Poll flags: LTTng has a structure of single bits, which schema records
/// have not; ours is the same byte as one integer. Most of these also have a
/// field between a sequence's length and the sequence, ours before both.
const OTHERWISE: &[&str] = &[
    "compat_syscall_entry_epoll_ctl",
    "compat_syscall_entry_poll",
    "compat_syscall_entry_ppoll",
    "compat_syscall_exit_epoll_pwait",
    "compat_syscall_exit_epoll_wait",
    "compat_syscall_exit_poll",
    "compat_syscall_exit_ppoll",
    "lttng_statedump_file_descriptor",
    "net_dev_queue",
    "net_if_receive_skb",
    "net_if_rx",
    "syscall_entry_epoll_ctl",
    "syscall_entry_poll",
    "syscall_entry_ppoll",
    "syscall_exit_epoll_pwait",
    "syscall_exit_epoll_wait",
    "syscall_exit_poll",
    "syscall_exit_ppoll",
];

/// Events that this driver has none of yet.
const LATER: &[&str] = &[
    "block_rq_merge",
    "block_rq_remap",
    "kmem_mm_page_alloc_extfrag",
    "kmem_mm_page_alloc_zone_locked",
    "kmem_mm_page_free_batched",
    "lttng_statedump_cpu_topology",
    "lttng_statedump_vm_map",
    "net_if_receive_skb_entry",
    "net_if_receive_skb_exit",
    "net_if_receive_skb_list_entry",
    "net_if_receive_skb_list_exit",
    "net_if_rx_entry",
    "net_if_rx_exit",
    "net_if_rx_ni_entry",
    "net_if_rx_ni_exit",
];

/// The events of TSDL metadata, each with its fields as text without layout:
/// `i32 tid`, `x64 buf`, `t8 comm[16]`. Blocks are as both writers indent them.
pub fn classes(tsdl: &str) -> BTreeMap<String, String> {
    tsdl.split("\nevent {\n")
        .skip(1)
        .filter_map(|block| {
            let body = block.split("\n};").next()?;
            let name = body.split("name = ").nth(1)?.split(';').next()?;
            let fields = body.split_once("fields := struct {").map_or("", |f| f.1);
            let fields = fields.trim_end().trim_end_matches(';').trim_end();
            let fields = fields.strip_suffix('}').unwrap_or(fields);
            Some((name.trim_matches('"').to_string(), short(fields)))
        })
        .collect()
}

/// Replaces each `integer { size = 32; .. }` by a word.
fn short(fields: &str) -> String {
    let words: Vec<&str> = fields.split_whitespace().collect();
    let mut rest = words.join(" ");
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("integer { ") {
        let (attributes, behind) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&integer(attributes));
        rest = behind.to_string();
    }
    out.push_str(&rest);
    out.trim().to_string()
}

fn integer(attributes: &str) -> String {
    let attribute = |name: &str| {
        attributes
            .split("; ")
            .find_map(|part| part.trim().strip_prefix(name)?.trim().strip_prefix("= "))
            .map(|value| value.trim_end_matches(';').trim())
    };
    let signed = matches!(attribute("signed"), Some("1" | "true"));
    let base = match (attribute("encoding"), attribute("base")) {
        (Some("UTF8"), _) => "t",
        (_, Some("16")) => "x",
        (_, Some("8")) => "o",
        _ if signed => "i",
        _ => "u",
    };
    let order = match attribute("byte_order") {
        Some("be" | "network") => "be",
        _ => "",
    };
    let sign = if signed && base != "i" { "-" } else { "" };
    format!("{base}{sign}{}{order}", attribute("size").unwrap_or("?"))
}

fn lttng() -> Result<BTreeMap<String, String>> {
    let text = fs::read_to_string(workspace_dir().join(LTTNG))
        .with_context(|| format!("reading {LTTNG}"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, fields) = line.split_once(": ").context("a line without a name")?;
            Ok((name.to_string(), fields.to_string()))
        })
        .collect()
}

#[test]
fn trace_schema_is_that_of_lttng() -> Result<()> {
    // Set by who takes LTTng's events down anew.
    if let Some(metadata) = env::var_os("LTTNG_METADATA") {
        take_down(&metadata)?;
    }
    let mut rig = Rig::boot("schema", 1, SMALL)?;
    rig.load_driver()?;
    rig.enable("sched_switch")?;
    rig.finish()?;
    let session = sessions(&rig.serve.trace())?.pop().context("no trace")?;
    let metadata = fs::read(session.join("kernel/metadata"))?;
    let ours = classes(&String::from_utf8_lossy(&metadata));
    let theirs = lttng()?;
    assert!(theirs.len() > 1000 && ours.len() > 1000);

    let missing: BTreeSet<&str> = theirs
        .keys()
        .filter(|name| !ours.contains_key(*name))
        .map(String::as_str)
        .collect();
    assert_eq!(missing, LATER.iter().copied().collect());
    let mut differ = BTreeSet::new();
    for (name, fields) in &theirs {
        if let Some(mine) = ours.get(name).filter(|mine| *mine != fields) {
            println!("{name}\n  LTTng: {fields}\n  ours:  {mine}");
            differ.insert(name.as_str());
        }
    }
    assert_eq!(differ, OTHERWISE.iter().copied().collect());
    Ok(())
}

/// Makes the file of LTTng's events from LTTng's metadata, as `babeltrace2 -o
/// ctf-metadata` prints it of a guest's trace of all kernel events.
fn take_down(path: &OsStr) -> Result<()> {
    let mut text = String::from("# Event: fields, from the metadata of lttng-modules.\n");
    for (name, fields) in classes(&fs::read_to_string(path)?) {
        if SUBSYSTEMS.iter().any(|prefix| name.starts_with(prefix)) {
            text.push_str(&format!("{name}: {fields}\n"));
        }
    }
    fs::write(workspace_dir().join(LTTNG), text)?;
    Ok(())
}
