//! Stream files: packets, loss and times, read back by babeltrace2.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vhost_trace_host_sink::packet::{Packet, StreamEnd, StreamKey};
use vhost_trace_host_sink::sink::{Sink, Written};

use crate::guest::{NUMBERED, SESSION_DIR, numbered, numbers, schema, session, sink};
use crate::producer::{SUB, SubBuffer};
use crate::reader::read;
use crate::schema_bytes::{event, int};

fn stream_end(vcpu: u32, end: u64, discarded: u64) -> StreamEnd {
    StreamEnd {
        stream: StreamKey { channel: 0, vcpu },
        end,
        discarded,
    }
}

#[test]
fn sink_ctf_keeps_every_number_of_every_vcpu() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    let released = Arc::new(AtomicUsize::new(0));
    let mut next = 1000;
    for lap in 0..5 {
        for vcpu in 0..4 {
            let mut sub = SubBuffer::new(vcpu, lap * SUB as u64, next);
            while !sub.is_full(8) {
                sub.event(NUMBERED, next, &next.to_le_bytes());
                next += 1;
            }
            let content = sub.bytes.len() as u64;
            let written = sink.packet(sub.lent(0, &released)).unwrap();
            assert_eq!(
                written,
                Written {
                    in_place: content,
                    copied: 0
                }
            );
        }
    }
    assert_eq!(released.load(Ordering::Relaxed), 20);
    sink.end(&[]).unwrap();

    let reading = read(dir.path());
    assert_eq!(reading.values("n"), (1000..next).collect::<Vec<_>>());
    assert_eq!(reading.discarded, 0);
    assert_eq!(
        reading
            .values("cpu_id")
            .iter()
            .filter(|&&cpu| cpu == 3)
            .count(),
        5 * 4679
    );
}

#[test]
fn sink_ctf_tells_the_loss_before_between_and_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    sink.packet(numbers(0, 0, 100, 10).in_place(5)).unwrap();
    sink.packet(numbers(0, SUB as u64, 200, 10).in_place(5))
        .unwrap();
    sink.packet(numbers(1, 0, 150, 10).in_place(0)).unwrap();
    sink.packet(numbers(0, 2 * SUB as u64, 300, 10).in_place(12))
        .unwrap();
    assert_eq!(read(dir.path()).discarded, 12);
    sink.end(&[
        stream_end(0, 400, 20),
        stream_end(1, 160, 0),
        stream_end(2, 170, 3),
    ])
    .unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (40, 23));
}

/// The last packet's end, from a stream's index.
fn last_end(dir: &Path, vcpu: u32) -> u64 {
    let index = dir
        .join(SESSION_DIR)
        .join(format!("kernel/index/events_{vcpu}.idx"));
    let index = fs::read(index).unwrap();
    let word = index.len() - 72 + 4 * 8;
    u64::from_be_bytes(index[word..word + 8].try_into().unwrap())
}

#[test]
fn sink_ctf_ends_all_streams_at_the_same_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    for (vcpu, first) in [(0, 100), (1, 500), (2, 300)] {
        sink.packet(numbers(vcpu, 0, first, 10).copied(0)).unwrap();
    }
    sink.provisional(numbers(2, SUB as u64, 400, 10).copied(0))
        .unwrap();
    let before = [0, 1, 2].map(|vcpu| last_end(dir.path(), vcpu));
    assert_eq!(before, [109, 509, 409]);
    // Losses are told in a packet of their own, which ends it as well.
    sink.end(&[stream_end(0, 109, 3)]).unwrap();
    for vcpu in 0..3 {
        assert_eq!(last_end(dir.path(), vcpu), 509, "{vcpu}");
    }
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (40, 3));
}

#[test]
fn sink_ctf_is_readable_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    let first = event(NUMBERED, 0, "numbered", &[int("n", 8, 0)]);
    let second = event(9, 0, "later", &[int("m", 4, 0)]);
    sink.begin(&session(), &schema(std::slice::from_ref(&first)))
        .unwrap();
    sink.packet(numbers(0, 0, 100, 3).in_place(0)).unwrap();
    assert_eq!(read(dir.path()).lines.len(), 3);
    sink.schema(&schema(&[first, second])).unwrap();
    assert_eq!(read(dir.path()).lines.len(), 3);
    let mut sub = SubBuffer::new(0, SUB as u64, 200);
    sub.event(9, 200, &77u32.to_le_bytes())
        .event(NUMBERED, 201, &1u64.to_le_bytes());
    sink.packet(sub.in_place(0)).unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.values("m")), (5, vec![77]));
    sink.flush().unwrap();
    sink.end(&[]).unwrap();
    assert_eq!(read(dir.path()).lines, reading.lines);
}

#[test]
fn sink_ctf_replaces_a_provisional_packet_where_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    let size = |dir: &Path| {
        fs::metadata(dir.join(SESSION_DIR).join("kernel/events_0"))
            .unwrap()
            .len()
    };

    sink.packet(numbers(0, 0, 100, 10).in_place(0)).unwrap();
    let before = size(dir.path());
    let written = sink
        .provisional(numbers(0, SUB as u64, 200, 1).copied(0))
        .unwrap();
    assert_eq!(
        written,
        Written {
            in_place: 0,
            copied: 24 + 14
        }
    );
    assert_eq!(read(dir.path()).lines.len(), 11);
    sink.provisional(numbers(0, SUB as u64, 200, 2000).copied(4))
        .unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (2010, 4));
    sink.packet(numbers(0, SUB as u64, 200, 4000).in_place(4))
        .unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (4010, 4));
    let content = 24 + 4000 * 14u64;
    // A host block, and the content in whole blocks: the file system's.
    let grown = size(dir.path()) - before;
    let blocks = [512, 4096].map(|block| block + content.next_multiple_of(block));
    assert!(blocks.contains(&grown), "{grown} bytes more");

    // Nothing completes this one: it stays.
    sink.provisional(numbers(0, 2 * SUB as u64, 5000, 7).copied(4))
        .unwrap();
    sink.packet(numbers(0, 3 * SUB as u64, 6000, 7).in_place(9))
        .unwrap();
    sink.end(&[stream_end(0, 7000, 10)]).unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (4024, 10));
}

#[test]
fn sink_ctf_accepts_packets_without_events_and_short_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    sink.packet(numbers(0, 0, 100, 0).in_place(0)).unwrap();
    sink.packet(numbers(0, SUB as u64, 100, 1).copied(0))
        .unwrap();
    // Fewer bytes than would fill the last block, at an odd address.
    let mut short: Packet = numbers(0, 2 * SUB as u64, 101, 2).copied(0);
    short.info.content_len = 24 + 14;
    short.info.events = 1;
    sink.packet(short).unwrap();
    sink.end(&[]).unwrap();
    assert_eq!(read(dir.path()).values("n"), [100, 101]);
}

#[test]
fn sink_ctf_never_lets_times_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &numbered()).unwrap();
    sink.packet(numbers(0, 0, 1000, 5).in_place(0)).unwrap();
    for (lap, (begin, end)) in [(1, (500, 400)), (2, (u64::MAX, 0)), (3, (0, u64::MAX))] {
        let mut packet = numbers(0, lap * SUB as u64, 0, 0).in_place(0);
        (packet.info.begin, packet.info.end) = (begin, end);
        sink.packet(packet).unwrap();
    }
    sink.end(&[stream_end(0, 3, 1)]).unwrap();
    let reading = read(dir.path());
    assert_eq!((reading.lines.len(), reading.discarded), (5, 1));
}

#[test]
fn sink_ctf_refuses_framing_that_makes_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    let good = numbers(0, 0, 100, 2).in_place(0);
    assert!(
        sink.packet(good.clone())
            .unwrap_err()
            .to_string()
            .contains("no session")
    );
    sink.begin(&session(), &numbered()).unwrap();
    for (content_len, channel) in [(23, 0), (SUB + 1, 0), (SUB, 4)] {
        let mut packet = good.clone();
        packet.info.content_len = content_len;
        packet.info.stream.channel = channel;
        assert!(sink.packet(packet).is_err());
    }
    sink.packet(good).unwrap();
    sink.end(&[]).unwrap();
    assert_eq!(read(dir.path()).lines.len(), 2);
}
