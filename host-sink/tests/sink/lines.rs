//! Events decoded and shown by this crate, compared with babeltrace2.

use serde_json::json;
use vhost_trace_host_sink::decode::Events;
use vhost_trace_host_sink::schema::Schema;
use vhost_trace_host_sink::schema::abi::FIELD_SEQ;
use vhost_trace_host_sink::sink::Sink;
use vhost_trace_host_sink::text::Lines;

use crate::fields::{every_kind, every_value};
use crate::guest::{NUMBERED, numbered, numbers, schema, session, sink};
use crate::producer::SubBuffer;
use crate::reader::read;
use crate::schema_bytes::*;

/// The lines of `sub`, which decodes.
fn lines(schema: &Schema, sub: &SubBuffer, clock_offset: u64) -> Vec<String> {
    let mut lines = Lines::new("web1", clock_offset);
    let events = Events::new(schema, sub.stream.channel, &sub.bytes, sub.begin);
    let line = |event: Result<_, _>| {
        let mut line = String::new();
        lines
            .line(&mut line, sub.stream.vcpu, &event.unwrap())
            .unwrap();
        line
    };
    events.map(line).collect()
}

/// The error that ends the events of `content`, and how many came before.
fn fails(schema: &Schema, content: &[u8]) -> (usize, String) {
    let mut count = 0;
    for event in Events::new(schema, 0, content, 0) {
        match event {
            Ok(_) => count += 1,
            Err(error) => return (count, error.to_string()),
        }
    }
    panic!("{count} events, no error");
}

#[test]
fn sink_text_shows_what_babeltrace_shows() {
    let schema = schema(&[every_kind(), event(8, 0, "nothing", &[])]);
    let mut sub = SubBuffer::new(2, 0, 1000);
    sub.event(7, 1000, &every_value())
        .event(8, 1001, &[])
        .full_event(8, (1 << 40) + 5, &[]);
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &schema).unwrap();
    sink.packet(sub.in_place(0)).unwrap();
    sink.end(&[]).unwrap();

    let theirs: Vec<_> = read(dir.path())
        .lines
        .iter()
        .map(|line| {
            let name = line.split(' ').nth(2).unwrap();
            // They see the label's escapes as text and escape those again.
            format!(
                "{name} {}",
                line.split_once("}, ").unwrap().1.replace("\\\\x", "\\x")
            )
        })
        .collect();
    let lines = lines(&schema, &sub, session().clock_offset);
    let ours: Vec<_> = lines
        .iter()
        .map(|line| line.split_once("web1:2 ").unwrap().1.trim_end())
        .collect();
    assert_eq!(ours, theirs);
    let starts: Vec<_> = lines
        .iter()
        .map(|line| line.split_once("web1").unwrap().0)
        .collect();
    let expected = [
        "[22:13:20.000001000] (+?.?????????) ",
        "[22:13:20.000001001] (+0.000000001) ",
        "[22:31:39.511627781] (+1099.511626780) ",
    ];
    assert_eq!(starts, expected);
}

#[test]
fn sink_text_is_safe_for_a_terminal() {
    let fields = [
        string("path"),
        text("comm", 8),
        enumeration("e", 1, 0, &[(0, 0, b"\x1b]0;x\x07")]),
    ];
    let schema = schema(&[event(1, 0, "open", &fields)]);
    let mut sub = SubBuffer::new(0, 0, 0);
    sub.event(1, 0, b"\x1b[2J\"\n\xff\0\x9b31m\0abc\0");
    assert_eq!(
        lines(&schema, &sub, 0),
        [
            "[00:00:00.000000000] (+?.?????????) web1:0 open: { path = \"\\x1b[2J\\\"\\n\\xff\", \
          comm = \"\\x9b31m\", e = ( \"\\x1b]0;x\\x07\" : container = 0 ) }\n"
        ]
    );
    sub.event(1, 5, b"\0\0\0\0\0\0\0\0\0\x05")
        .event(1, 3, b"\0\0\0\0\0\0\0\0\0\x05");
    let last = lines(&schema, &sub, 0).pop().unwrap();
    assert!(
        last.starts_with("[00:00:04.294967299] (+4.294967294) "),
        "{last}"
    );
    assert!(last.contains("e = ( <unknown> : container = 5 )"), "{last}");
}

#[test]
fn sink_text_bounds_what_it_shows() {
    let fields = [int("n", 4, 0), seq("list", 1, 0), string("path")];
    let schema = schema(&[event(1, 0, "open", &fields)]);
    let payload = [&1000u32.to_le_bytes()[..], &[7; 1000], &[b'x'; 5000], &[0]].concat();
    let mut sub = SubBuffer::new(0, 0, 0);
    sub.event(1, 0, &payload);
    let line = lines(&schema, &sub, 0).pop().unwrap();
    assert!(
        line.contains("[255] = 7, ... 744 more ], path = \"x"),
        "{line}"
    );
    assert!(line.ends_with("x\"... 904 more }\n"), "{line}");
}

#[test]
fn sink_text_has_a_tree_for_json() {
    let schema = schema(&[every_kind()]);
    let mut sub = SubBuffer::new(2, 0, 1000);
    sub.event(7, 1000, &every_value());
    let event = Events::new(&schema, 0, &sub.bytes, sub.begin)
        .next()
        .unwrap()
        .unwrap();
    let expected = json!({
        "time": 1000,
        "name": "every_kind",
        "fields": {
            "u8": 200, "s16": -5, "pointer": 0xffff_8000_1234_5678u64, "mode": 0o644,
            "port": 8080, "comm": "bash", "path": "/etc/passwd", "triple": [1, -2, 3],
            "count": 2, "list": [0xab, 0xcd],
            "state": { "value": -1, "labels": ["dead \"}; \\x1b"] },
            "inner": { "a": 9, "b": "hi" },
            "nfds": 1, "fds": [{ "fd": 3, "events": 0x41 }],
        },
    });
    assert_eq!(serde_json::to_value(&event).unwrap(), expected);
}

#[test]
fn sink_decode_says_where_a_packet_lies() {
    let fds = structure("fds", FIELD_SEQ, &[int("fd", 4, 0)]);
    let open = event(
        2,
        0,
        "open",
        &[string("path"), int("n", 4, 0), seq("list", 8, 0)],
    );
    let poll = event(3, 0, "poll", &[int("n", 4, 0), fds]);
    let schema = schema(&[open, poll, event(4, 1, "state", &[])]);
    let start = || {
        let mut sub = SubBuffer::new(0, 0, 0);
        sub.event(3, 0, &[0; 4]);
        sub
    };
    let case = |id: u16, payload: &[u8]| fails(&schema, &start().event(id, 0, payload).bytes);

    assert_eq!(
        case(9, &[]),
        (
            1,
            "at byte 34 of the packet: channel 0 has no event with id 9".into()
        )
    );
    assert_eq!(
        case(4, &[]),
        (
            1,
            "at byte 34 of the packet: channel 0 has no event with id 4".into()
        )
    );
    let text = "at byte 40 of the packet, in open: the string path has no end";
    assert_eq!(case(2, b"/etc"), (1, text.into()));
    let text = "at byte 45 of the packet, in open: list needs 34359738360 bytes, 2 are left";
    assert_eq!(case(2, b"\0\xff\xff\xff\xff\x01\x02"), (1, text.into()));
    let text = "at byte 44 of the packet, in poll: the sequence fds has 4097 structures";
    assert_eq!(
        case(3, &[&4097u32.to_le_bytes()[..], &[0; 20000]].concat()),
        (1, text.into())
    );
    let mut cut = start().bytes;
    cut.extend([3, 0, 1]);
    let text = "at byte 34 of the packet: an event header needs 6 bytes, 3 are left";
    assert_eq!(fails(&schema, &cut), (1, text.into()));
    assert_eq!(fails(&schema, &start().full_event(2, 0, b"x").bytes).0, 1);
    // Less than a preamble is no event and no error.
    assert!((0..24).all(|len| Events::new(&schema, 0, &cut[..len], 0).next().is_none()));
}

#[test]
fn sink_decode_extends_stamps_beyond_their_32_bits() {
    let schema = numbered();
    let mut sub = SubBuffer::new(0, 0, 0xffff_fff0);
    let stamps = [
        0xffff_fff0,
        0xffff_ffff,
        0x1_0000_0005,
        0x1_ffff_ffff,
        0x2_0000_0000u64,
    ];
    for stamp in stamps {
        sub.event(NUMBERED, stamp, &[0; 8]);
    }
    sub.full_event(NUMBERED, 0x9_0000_0001, &[0; 8])
        .event(NUMBERED, 0x9_0000_0002, &[0; 8]);
    let decoded: Vec<_> = Events::new(&schema, 0, &sub.bytes, sub.begin)
        .map(|event| event.unwrap().stamp)
        .collect();
    assert_eq!(
        decoded,
        [&stamps[..], &[0x9_0000_0001, 0x9_0000_0002]].concat()
    );
}

#[test]
fn sink_decode_reads_what_the_numbers_say() {
    let sub = numbers(0, 0, 50, 1000);
    let schema = numbered();
    let events = Events::new(&schema, 0, &sub.bytes, sub.begin);
    let stamps: Vec<_> = events.map(|event| event.unwrap().stamp).collect();
    assert_eq!(stamps, (50..1050).collect::<Vec<u64>>());
}
