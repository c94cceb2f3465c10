//! What all events of a channel have between header and fields.

use vhost_trace_host_sink::decode::Events;
use vhost_trace_host_sink::schema::Schema;
use vhost_trace_host_sink::schema::abi::{FIELD_SIGNED, ID_FULL};
use vhost_trace_host_sink::sink::Sink;
use vhost_trace_host_sink::text::Lines;

use crate::guest::{schema, session, sink};
use crate::producer::SubBuffer;
use crate::reader::read;
use crate::schema_bytes::*;

/// The record of a channel's contexts.
fn contexts(channel: u16, fields: &[Vec<u8>]) -> Vec<u8> {
    event(ID_FULL, channel, "contexts", fields)
}

fn tid_and_name() -> Vec<u8> {
    contexts(0, &[int("tid", 4, FIELD_SIGNED), text("procname", 4)])
}

#[test]
fn sink_contexts_are_read_by_babeltrace_and_by_us() {
    let schema = schema(&[
        event(1, 0, "one", &[int("n", 1, 0)]),
        tid_and_name(),
        event(2, 0, "bare", &[]),
        event(3, 1, "other", &[int("n", 1, 0)]),
    ]);
    assert_eq!(schema.len(), 3);
    let mut sub = SubBuffer::new(2, 0, 1000);
    sub.event(1, 1000, b"\x07\0\0\0sh\0\0\x2a")
        .event(2, 1001, b"\xff\xff\xff\xffbash");
    let mut other = SubBuffer::new(2, 0, 1002);
    other.stream.channel = 1;
    other.event(3, 1002, b"\x2b");
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &schema).unwrap();
    sink.packet(sub.in_place(0)).unwrap();
    sink.packet(other.in_place(0)).unwrap();
    sink.end(&[]).unwrap();

    let read = read(dir.path()).lines;
    let theirs: Vec<_> = read
        .iter()
        .map(|line| line.split_once("}, ").unwrap().1)
        .collect();
    let expected = [
        "{ tid = 7, procname = \"sh\" }, { n = 42 }",
        "{ tid = -1, procname = \"bash\" }, { }",
        "{ n = 43 }",
    ];
    assert_eq!(theirs, expected);

    let mut lines = Lines::new("web1", 0);
    let mut out = String::new();
    for event in Events::new(&schema, 0, &sub.bytes, sub.begin) {
        let event = event.unwrap();
        lines.line(&mut out, 2, &event).unwrap();
        let json = serde_json::to_value(&event).unwrap();
        assert!(json["contexts"]["tid"].is_i64(), "{json}");
    }
    let ours: Vec<_> = out
        .lines()
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(ours, expected[..2]);
    let event = Events::new(&schema, 1, &other.bytes, 0).next().unwrap();
    let json = serde_json::to_value(event.unwrap()).unwrap();
    assert!(json.get("contexts").is_none(), "{json}");

    // An event that ends in its contexts.
    let cut = &sub.bytes[..sub.bytes.len() - 1];
    let error = Events::new(&schema, 0, cut, 0).last().unwrap().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("procname needs 4 bytes, 3 are left")
    );
}

#[test]
fn sink_contexts_stay_what_they_are() {
    let mut schema = Schema::new();
    let ids = schema
        .add(&[tid_and_name(), contexts(1, &[]), tid_and_name()].concat())
        .unwrap();
    assert!(ids.is_empty() && schema.is_empty());
    assert_eq!(schema.contexts(0).len(), 2);
    assert!(schema.contexts(3).is_empty());
    let why = |schema: &mut Schema, record: &[u8]| schema.add(record).unwrap_err().to_string();
    assert!(why(&mut schema, &contexts(0, &[])).contains("has another definition"));
    assert!(why(&mut schema, &contexts(9, &[])).contains("no such channel: 9"));

    schema.fix_contexts();
    assert!(schema.add(&tid_and_name()).unwrap().is_empty());
    assert_eq!(
        why(&mut schema, &contexts(2, &[])),
        "the contexts of channel 2 come after its first ring: send them before"
    );
}
