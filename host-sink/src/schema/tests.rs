//! Records as a driver could send them, good and bad.

use super::abi::*;
use super::*;

/// An event record; lengths are as they should be.
fn record(id: u16, channel: u16, name: &[u8], nfields: u8, fields: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(id.to_le_bytes());
    body.extend(channel.to_le_bytes());
    body.extend([nfields, name.len() as u8]);
    body.extend(name);
    body.extend(fields);
    let mut record = ((body.len() + 2) as u16).to_le_bytes().to_vec();
    record.extend(body);
    record
}

fn field(kind: u8, size: u8, flags: u8, count: u16, name: &[u8]) -> Vec<u8> {
    let mut field = vec![kind, size, flags, name.len() as u8];
    field.extend(count.to_le_bytes());
    field.extend(name);
    field
}

fn int(name: &[u8]) -> Vec<u8> {
    field(FIELD_INT, 4, 0, 0, name)
}

fn label(first: i64, last: i64, text: &[u8]) -> Vec<u8> {
    let mut label = first.to_le_bytes().to_vec();
    label.extend(last.to_le_bytes());
    label.push(text.len() as u8);
    label.extend(text);
    label
}

fn refused(records: &[u8]) -> String {
    let mut schema = Schema::new();
    let error = schema.add(records).unwrap_err().to_string();
    assert!(schema.is_empty());
    error
}

fn refused_fields(nfields: u8, fields: &[Vec<u8>]) -> String {
    refused(&record(5, 0, b"e", nfields, &fields.concat()))
}

#[test]
fn decodes_what_a_driver_sends() {
    let signed = IntType {
        size: 4,
        signed: true,
        big_endian: false,
        base: Base::Decimal,
    };
    let hex = IntType {
        size: 2,
        signed: false,
        big_endian: true,
        base: Base::Hexadecimal,
    };
    let mut fields = field(FIELD_INT, 4, FIELD_SIGNED, 0, b"n");
    fields.extend(field(FIELD_TEXT, 0, 0, 16, b"comm"));
    fields.extend(field(FIELD_STRUCT, 0, 0, 2, b"inner"));
    fields.extend(field(FIELD_INT, 1, 0, 0, b"len"));
    fields.extend(field(
        FIELD_INT,
        2,
        FIELD_BE | FIELD_HEX | FIELD_SEQ,
        0,
        b"list",
    ));
    fields.extend(field(FIELD_ENUM, 4, FIELD_SIGNED, 1, b"state"));
    fields.extend(label(-3, -1, b"gone"));
    let mut schema = Schema::new();
    let records = [
        record(7, 1, b"ev", 4, &fields),
        record(9, 0, b"empty", 0, &[]),
    ]
    .concat();
    assert_eq!(schema.add(&records).unwrap(), [7, 9]);
    let class = schema.get(7).unwrap();
    assert_eq!((class.channel, class.name.as_str()), (1, "ev"));
    let named = |name: &str, kind| Field {
        name: name.into(),
        kind,
    };
    let length = IntType {
        size: 1,
        signed: false,
        big_endian: false,
        base: Base::Decimal,
    };
    let gone = Label {
        first: -3i64 as u64,
        last: -1i64 as u64,
        text: b"gone".to_vec(),
    };
    assert_eq!(
        class.fields,
        [
            named("n", FieldKind::Int(signed)),
            named("comm", FieldKind::Text(16)),
            named(
                "inner",
                FieldKind::Struct(vec![
                    named("len", FieldKind::Int(length)),
                    named("list", FieldKind::Seq(hex)),
                ])
            ),
            named("state", FieldKind::Enum(signed, vec![gone])),
        ]
    );
}

#[test]
fn an_identical_record_changes_nothing() {
    let mut schema = Schema::new();
    let first = record(1, 0, b"a", 1, &int(b"x"));
    schema.add(&first).unwrap();
    assert_eq!(
        schema
            .add(&[first.clone(), first.clone()].concat())
            .unwrap(),
        []
    );
    assert_eq!(schema.add(&record(2, 0, b"b", 0, &[])).unwrap(), [2]);
    let error = schema
        .add(&record(1, 0, b"other", 1, &int(b"x")))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "event id 1: other has another definition than a, which has this id"
    );
    assert_eq!(schema.len(), 2);
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    let mut schema = Schema::new();
    let good = record(1, 0, b"a", 0, &[]);
    schema
        .add(&[good, record(2, 0, b"2bad", 0, &[])].concat())
        .unwrap_err();
    assert!(schema.is_empty());
    refused(&[record(1, 0, b"a", 0, &[]), record(1, 0, b"b", 0, &[])].concat());
}

#[test]
fn refuses_names_that_are_not_identifiers() {
    for name in [
        &b""[..],
        b"1a",
        b"a b",
        b"a\"; };",
        b"a\n",
        b"\xc3\xa4",
        b"a\0",
        &[b'a'; 129],
    ] {
        let error = refused(&record(3, 0, name, 0, &[]));
        assert!(
            error.starts_with("event id 3: is not named by an identifier"),
            "{error}"
        );
        assert!(!error.contains(char::is_control), "{error}");
        refused_fields(1, &[int(name)]);
    }
    Schema::new()
        .add(&record(3, 0, &[b'_'; 128], 0, &[]))
        .unwrap();
}

#[test]
fn refuses_lengths_beyond_the_record() {
    assert!(refused(&[1]).contains("at byte 0"));
    assert!(refused(&[7, 0, 1, 0, 0, 0, 0]).contains("7 are left"));
    let whole = record(1, 0, b"event", 1, &field(FIELD_ENUM, 4, 0, 1, b"f"));
    let with_label = record(
        1,
        0,
        b"event",
        1,
        &[field(FIELD_ENUM, 4, 0, 1, b"f"), label(1, 2, b"l")].concat(),
    );
    Schema::new().add(&with_label).unwrap();
    refused(&whole);
    for len in 1..with_label.len() {
        let mut cut = with_label[..len].to_vec();
        refused(&cut);
        if len >= 2 {
            cut[..2].copy_from_slice(&(len as u16).to_le_bytes());
            refused(&cut);
        }
    }
    let mut long = with_label.clone();
    long.push(0);
    long[0] += 1;
    assert!(refused(&long).contains("bytes behind its last field: 1"));
}

#[test]
fn refuses_ids_and_channels_that_cannot_be() {
    assert!(refused(&record(0xffff, 4, b"e", 0, &[])).contains("no such channel: 4"));
    assert!(refused(&record(1, 4, b"e", 0, &[])).contains("no such channel: 4"));
}

#[test]
fn refuses_fields_that_make_no_sense() {
    let seq = |kind, name| field(kind, 4, FIELD_SEQ, 1, name);
    for (nfields, fields) in [
        (1, vec![field(0, 4, 0, 0, b"f")]),
        (1, vec![field(6, 4, 0, 0, b"f")]),
        (1, vec![field(FIELD_INT, 3, 0, 0, b"f")]),
        (1, vec![field(FIELD_INT, 0, 0, 0, b"f")]),
        (1, vec![field(FIELD_INT, 4, FIELD_HEX | FIELD_OCT, 0, b"f")]),
        (1, vec![field(FIELD_INT, 4, 0x40, 0, b"f")]),
        (1, vec![field(FIELD_INT, 4, FIELD_ARRAY, 0, b"f")]),
        (1, vec![field(FIELD_STRING, 0, FIELD_SEQ, 0, b"f")]),
        (1, vec![field(FIELD_TEXT, 0, 0, 0, b"f")]),
        (1, vec![field(FIELD_STRUCT, 0, 0, 0, b"f")]),
        (1, vec![field(FIELD_ENUM, 4, 0, 0, b"f")]),
        (
            2,
            vec![
                int(b"n"),
                field(FIELD_INT, 4, FIELD_ARRAY | FIELD_SEQ, 1, b"f"),
            ],
        ),
        (1, vec![seq(FIELD_INT, b"f")]),
        (
            2,
            vec![
                field(FIELD_INT, 4, FIELD_SIGNED, 0, b"n"),
                seq(FIELD_INT, b"f"),
            ],
        ),
        (
            2,
            vec![
                field(FIELD_INT, 4, FIELD_ARRAY, 2, b"n"),
                seq(FIELD_INT, b"f"),
            ],
        ),
        (
            3,
            vec![
                int(b"n"),
                field(FIELD_STRING, 0, 0, 0, b"s"),
                seq(FIELD_INT, b"f"),
            ],
        ),
        (
            2,
            vec![int(b"n"), seq(FIELD_STRUCT, b"f"), seq(FIELD_INT, b"g")],
        ),
        (2, vec![int(b"f"), int(b"f")]),
        (
            1,
            vec![field(FIELD_STRUCT, 0, 0, 2, b"s"), int(b"f"), int(b"f")],
        ),
    ] {
        let error = refused_fields(nfields, &fields);
        assert!(error.starts_with("event e (id 5), field "), "{error}");
    }
}

#[test]
fn refuses_labels_that_cannot_be() {
    for (flags, first, last, text) in [
        (0, 2, 1, &b"l"[..]),
        (0, 0, 256, b"l"),
        (0, -1, -1, b"l"),
        (FIELD_SIGNED, 1, -1, b"l"),
        (FIELD_SIGNED, -129, 0, b"l"),
        (FIELD_SIGNED, 0, 128, b"l"),
        (0, 0, 0, b""),
        (0, 0, 0, &[b'l'; 129]),
    ] {
        refused_fields(
            1,
            &[
                field(FIELD_ENUM, 1, flags, 1, b"f"),
                label(first, last, text),
            ],
        );
    }
    let many = [
        field(FIELD_ENUM, 1, 0, 257, b"f"),
        label(0, 0, b"l").repeat(257),
    ];
    assert!(refused_fields(1, &many).contains("too many labels: 257"));
}

#[test]
fn refuses_too_much_of_everything() {
    let names: Vec<Vec<u8>> = (0..65).map(|n| int(format!("f{n}").as_bytes())).collect();
    Schema::new()
        .add(&record(1, 0, b"e", 64, &names[..64].concat()))
        .unwrap();
    assert!(refused_fields(65, &names).contains("beyond the limit of fields: 64"));

    let nested = |depth| {
        let mut fields = field(FIELD_STRUCT, 0, 0, 1, b"s").repeat(depth);
        fields.extend(int(b"f"));
        record(1, 0, b"e", 1, &fields)
    };
    Schema::new().add(&nested(MAX_DEPTH - 1)).unwrap();
    assert!(refused(&nested(MAX_DEPTH)).contains("nested too deeply"));

    let events: Vec<u8> = (0..=MAX_EVENTS as u16)
        .flat_map(|n| record(n, 0, b"e", 0, &[]))
        .collect();
    assert!(refused(&events).contains("would be 8193, the limit is 8192"));
    let (label, label_text) = (
        field(FIELD_ENUM, 8, 0, 256, b"f"),
        label(0, 0, &[b'l'; 128]),
    );
    let wide = [label, label_text.repeat(256)].concat();
    let events: Vec<u8> = (0..128)
        .flat_map(|n| record(n, 0, b"e", 1, &wide))
        .collect();
    assert!(refused(&events).contains("bytes of schema"));
}

#[test]
fn bounds_are_those_of_the_header() {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-driver/vtrace_abi.h");
    let header = std::fs::read_to_string(header).unwrap();
    let defined = |name: &str| -> u64 {
        let mut words = header.lines().map(str::split_whitespace);
        let mut line = words
            .find(|line| line.clone().take(2).eq(["#define", name]))
            .expect(name);
        let value = line.nth(2).unwrap();
        match value.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => value.parse().unwrap(),
        }
    };
    for (name, value) in [
        ("VTRACE_MAX_CHANNELS", u64::from(MAX_CHANNELS)),
        ("VTRACE_MAX_EVENTS", MAX_EVENTS as u64),
        ("VTRACE_MAX_FIELDS", MAX_FIELDS as u64),
        ("VTRACE_MAX_NAME", MAX_NAME as u64),
        ("VTRACE_MAX_DEPTH", MAX_DEPTH as u64),
        ("VTRACE_MAX_LABELS", MAX_LABELS as u64),
        ("VTRACE_ID_FULL", u64::from(ID_FULL)),
        ("VTRACE_HEADER", HEADER as u64),
        ("VTRACE_HEADER_FULL", HEADER_FULL as u64),
        ("VTRACE_FIELD_INT", u64::from(FIELD_INT)),
        ("VTRACE_FIELD_STRING", u64::from(FIELD_STRING)),
        ("VTRACE_FIELD_TEXT", u64::from(FIELD_TEXT)),
        ("VTRACE_FIELD_STRUCT", u64::from(FIELD_STRUCT)),
        ("VTRACE_FIELD_ENUM", u64::from(FIELD_ENUM)),
        ("VTRACE_FIELD_SIGNED", u64::from(FIELD_SIGNED)),
        ("VTRACE_FIELD_HEX", u64::from(FIELD_HEX)),
        ("VTRACE_FIELD_OCT", u64::from(FIELD_OCT)),
        ("VTRACE_FIELD_BE", u64::from(FIELD_BE)),
        ("VTRACE_FIELD_ARRAY", u64::from(FIELD_ARRAY)),
        ("VTRACE_FIELD_SEQ", u64::from(FIELD_SEQ)),
    ] {
        assert_eq!(defined(name), value, "{name}");
    }
}
