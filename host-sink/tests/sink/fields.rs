//! Every kind of field, as babeltrace2 shows it.

use vhost_trace_host_sink::schema::abi::{FIELD_BE, FIELD_HEX, FIELD_OCT, FIELD_SEQ, FIELD_SIGNED};
use vhost_trace_host_sink::sink::Sink;

use crate::guest::{schema, session, sink};
use crate::producer::SubBuffer;
use crate::reader::read;
use crate::schema_bytes::*;

/// An event with every kind of field.
pub fn every_kind() -> Vec<u8> {
    let labels: [(i64, i64, &[u8]); 3] = [
        (-1, -1, b"dead \"}; \x1b"),
        (0, 9, b"alive"),
        (10, 10, b"align"),
    ];
    let fd = [int("fd", 4, FIELD_SIGNED), int("events", 2, FIELD_HEX)];
    let fields = [
        int("u8", 1, 0),
        int("s16", 2, FIELD_SIGNED),
        int("pointer", 8, FIELD_HEX),
        int("mode", 4, FIELD_OCT),
        int("port", 2, FIELD_BE),
        text("comm", 16),
        string("path"),
        array("triple", 4, FIELD_SIGNED, 3),
        int("count", 2, 0),
        seq("list", 1, FIELD_HEX),
        enumeration("state", 4, FIELD_SIGNED, &labels),
        structure("inner", 0, &[int("a", 1, 0), string("b")]),
        int("nfds", 1, 0),
        structure("fds", FIELD_SEQ, &fd),
    ];
    event(7, 0, "every_kind", &fields)
}

/// Its payload.
pub fn every_value() -> Vec<u8> {
    let mut payload = vec![200];
    payload.extend((-5i16).to_le_bytes());
    payload.extend(0xffff_8000_1234_5678u64.to_le_bytes());
    payload.extend(0o644u32.to_le_bytes());
    payload.extend(8080u16.to_be_bytes());
    payload.extend(b"bash\0\0\0\0\0\0\0\0\0\0\0\0");
    payload.extend(b"/etc/passwd\0");
    payload.extend([1i32, -2, 3].map(i32::to_le_bytes).concat());
    payload.extend([2, 0, 0xab, 0xcd]);
    payload.extend((-1i32).to_le_bytes());
    payload.extend(b"\x09hi\0");
    payload.extend([1, 3, 0, 0, 0, 0x41, 0]);
    payload
}

#[test]
fn sink_ctf_holds_every_kind_of_field() {
    let mut sub = SubBuffer::new(2, 0, 1000);
    sub.event(7, 1000, &every_value())
        .event(8, 1001, &[])
        .full_event(8, (1 << 40) + 5, &[]);

    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(
        &session(),
        &schema(&[every_kind(), event(8, 0, "nothing", &[])]),
    )
    .unwrap();
    sink.packet(sub.in_place(0)).unwrap();
    sink.end(&[]).unwrap();

    let context = "{ cpu_id = 2, guest_lost = 0, guest_position = 0 }";
    let fields = "{ u8 = 200, s16 = -5, pointer = 0xFFFF800012345678, mode = 0644, port = 8080, \
        comm = \"bash\", path = \"/etc/passwd\", triple = [ [0] = 1, [1] = -2, [2] = 3 ], \
        count = 2, list = [ [0] = 0xAB, [1] = 0xCD ], \
        state = ( \"dead \\\"}; \\\\x1b\" : container = -1 ), inner = { a = 9, b = \"hi\" }, \
        nfds = 1, fds = [ [0] = { fd = 3, events = 0x41 } ] }";
    assert_eq!(
        read(dir.path()).lines,
        [
            format!("[00000000000000001000] guest every_kind: {context}, {fields}"),
            format!("[00000000000000001001] guest nothing: {context}, {{ }}"),
            format!("[00000001099511627781] guest nothing: {context}, {{ }}"),
        ]
    );
}
