//! What `serve` copies on the way to the file, as seen in the writes that it
//! asks the kernel for.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::numbers::{assert_complete, read_numbers};
use crate::rig::{Rig, TIME};
use crate::watch::{Watch, Write};

const VCPUS: u32 = 2;
const SUB_SIZE: u64 = 64 << 10;
const RINGS: &[&str] = &["--sub-size", "64K", "--num-sub", "8"];
/// Several sub-buffers on each vCPU.
const WRITERS: &str = "payload=24 pace_us=500 burst=8 irq_us=2000 count=12000";
/// Packet header and context that the host makes, at the end of its block.
const HEADER: u64 = 84;
const MOST_BLOCK: u64 = 4096;
const INDEX_HEADER: usize = 16;
const INDEX_ENTRY: usize = 72;

/// Where a process has mapped a file.
fn mappings(pid: u32, file: &Path) -> Result<Vec<(u64, u64)>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let file = file.to_string_lossy();
    let hex = |text| u64::from_str_radix(text, 16);
    maps.lines()
        .filter(|line| line.contains(&*file))
        .map(|line| {
            let range = line.split(' ').next().unwrap_or_default();
            let (begin, end) = range.split_once('-').context("no range")?;
            Ok((hex(begin)?, hex(end)?))
        })
        .collect()
}

/// Bytes of events and preamble of each packet in a stream's index, by the
/// offset of the preamble.
fn contents(stream: &Path) -> Result<BTreeMap<u64, u64>> {
    let name = stream.file_name().context("no name")?.to_string_lossy();
    let index = stream.with_file_name(format!("index/{name}.idx"));
    let index = fs::read(&index).with_context(|| format!("reading {index:?}"))?;
    let word = |entry: &[u8], at: usize| -> Result<u64> {
        Ok(u64::from_be_bytes(entry[8 * at..][..8].try_into()?))
    };
    index[INDEX_HEADER..]
        .chunks_exact(INDEX_ENTRY)
        .map(|entry| Ok((word(entry, 0)? + HEADER, word(entry, 2)? / 8 - HEADER)))
        .collect()
}

/// The one sink's number of this name.
fn sink(status: &Value, name: &str) -> Result<u64> {
    let number = &status["sinks"][0][name];
    number
        .as_u64()
        .with_context(|| format!("no {name} in {status:#}"))
}

/// Sum over all streams.
fn streams(status: &Value, name: &str) -> Result<u64> {
    let streams = status["streams"].as_array().context("no streams")?;
    let number = |stream: &Value| stream[name].as_u64().context("no number");
    streams.iter().map(number).sum()
}

/// Waits until everything that is complete is in the file; returns the status.
fn wait_drained(rig: &Rig) -> Result<Value> {
    rig.serve.wait_status("the sink", TIME, |status| {
        let streams = status["streams"].as_array()?;
        let drained = |stream: &Value| stream["ring"]["fill"].as_u64() < Some(SUB_SIZE);
        let done = sink(status, "in_flight").ok()? == 0 && streams.iter().all(drained);
        done.then(|| status.clone())
    })
}

/// Those of a stream's file.
fn of_streams(writes: &[Write]) -> Vec<&Write> {
    let is_stream = |write: &&Write| {
        let name = write.path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("events_")
            && !write.path.to_string_lossy().contains("/index/")
    };
    writes.iter().filter(is_stream).collect()
}

/// Nothing as large as a payload goes anywhere else.
fn assert_small_elsewhere(writes: &[Write]) {
    let streams = of_streams(writes);
    for write in writes {
        let is_stream = streams.iter().any(|stream| std::ptr::eq(*stream, write));
        let is_metadata = write.path.ends_with("metadata");
        assert!(!write.pieces.is_empty(), "an unexpected call: {write:?}");
        assert!(
            is_stream || is_metadata || write.bytes() <= MOST_BLOCK,
            "{write:?}"
        );
    }
}

/// A stream's file is open for O_DIRECT if its file system allows that.
fn assert_direct(pid: u32, write: &Write) -> Result<()> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", write.fd))?;
    let flags = info
        .lines()
        .find_map(|line| line.strip_prefix("flags:"))
        .context("no flags")?;
    let is_direct = i32::from_str_radix(flags.trim(), 8)? & libc::O_DIRECT != 0;
    let allowed = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(&write.path)
        .is_ok();
    println!(
        "{:?}: O_DIRECT: {is_direct}, allowed: {allowed}",
        write.path
    );
    assert_eq!(is_direct, allowed, "{:?}", write.path);
    Ok(())
}

#[test]
fn trace_complete_sub_buffers_are_written_from_guest_memory() -> Result<()> {
    let mut rig = Rig::boot("zero-copy", VCPUS, RINGS)?;
    rig.load_driver()?;
    let witness = rig.load_witness(WRITERS)?;
    let pid = rig.serve.pid();
    let before = rig.serve.status()?;
    assert_eq!(sink(&before, "packets")?, 0);
    let watch = Watch::start(pid)?;
    let guest = mappings(pid, rig.memory.path())?;
    ensure!(!guest.is_empty(), "guest memory is not mapped");
    let is_guests = |&(base, bytes): &(u64, u64)| {
        let inside = |&(begin, end): &(u64, u64)| begin <= base && base + bytes <= end;
        guest.iter().any(inside)
    };

    let console = rig.guest.console().len();
    rig.run_witness(true)?;
    rig.guest.wait_console(console, "vt_witness: done", TIME)?;
    rig.run_witness(false)?;
    let cpus = witness.read()?;
    let status = wait_drained(&rig)?;
    let writes = watch.take();
    watch.ensure_complete()?;
    assert_small_elsewhere(&writes);
    let complete = of_streams(&writes);
    let mut in_place = 0;
    for write in &complete {
        assert_eq!(write.call, libc::SYS_pwritev, "{write:?}");
        assert_eq!(write.result, write.bytes() as i64, "{write:?}");
        let [block, payload] = write.pieces[..] else {
            panic!("not a block and a payload: {write:?}");
        };
        assert!(!is_guests(&block) && block.1 <= MOST_BLOCK, "{write:?}");
        assert!(is_guests(&payload), "copied: {write:?}, guest: {guest:x?}");
        assert_eq!(payload.1, SUB_SIZE, "{write:?}");
        let contents = contents(&write.path)?;
        in_place += contents
            .get(&(write.offset + block.1))
            .with_context(|| format!("not in the index: {write:?}"))?;
    }
    let files: BTreeMap<_, _> = complete.iter().map(|write| (&write.path, write)).collect();
    for write in files.into_values() {
        assert_direct(pid, write)?;
    }
    println!("{} sub-buffers, {in_place} bytes in place", complete.len());
    assert!(complete.len() >= 4 * VCPUS as usize, "{status:#}");
    assert_eq!(complete.len() as u64, sink(&status, "packets")?);
    assert_eq!(complete.len() as u64, streams(&status, "packets")?);
    assert_eq!(in_place, sink(&status, "bytes_in_place")?);
    assert_eq!(in_place, streams(&status, "bytes")?);
    assert_eq!(sink(&status, "bytes_copied")?, 0);

    // What is left in the rings is copied, and counted apart.
    rig.guest.quit()?;
    let status = rig.serve.wait_status("the end", TIME, |status| {
        let written = sink(status, "in_flight").ok()? == 0;
        let ended = status["front_end"] == false && status["driver"].is_null();
        (written && ended).then(|| status.clone())
    })?;
    let copied = sink(&status, "bytes_copied")?;
    println!("{copied} bytes copied");
    let writes = watch.take();
    assert_small_elsewhere(&writes);
    let pieces = of_streams(&writes)
        .into_iter()
        .flat_map(|write| &write.pieces);
    assert!(!pieces.clone().any(is_guests), "{writes:?}");
    assert!(pieces.map(|(_, bytes)| bytes).sum::<u64>() >= copied);
    assert!(copied > 0, "{status:#}");
    assert_eq!(sink(&status, "bytes_in_place")?, in_place);
    rig.serve.terminate()?;
    watch.join()?;

    let (summary, numbers) = read_numbers(&rig.serve.trace())?;
    assert_complete(&numbers, &cpus);
    assert_eq!(summary.discarded, 0);
    Ok(())
}
