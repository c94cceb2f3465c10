//! Schemas and payloads as a hostile guest could send them.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use vhost_trace_host_sink::decode::Events;
use vhost_trace_host_sink::schema::abi::{
    FIELD_ARRAY, FIELD_BE, FIELD_HEX, FIELD_SEQ, FIELD_SIGNED,
};
use vhost_trace_host_sink::schema::{Field, FieldKind, Schema};
use vhost_trace_host_sink::sink::Sink;
use vhost_trace_host_sink::text::Lines;

use crate::guest::{schema, session, sink};
use crate::producer::SubBuffer;
use crate::reader::read;
use crate::schema_bytes::*;

/// Fields as a hostile or an honest driver could describe them.
fn any_fields(depth: u32) -> BoxedStrategy<Vec<Vec<u8>>> {
    let flags = prop_oneof![
        Just(0),
        Just(FIELD_SIGNED),
        Just(FIELD_HEX),
        Just(FIELD_ARRAY),
        Just(FIELD_BE)
    ];
    let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
    let leaf = prop_oneof![
        (size.clone(), flags).prop_map(|(size, flags)| vec![field(1, size, flags, 3, "", &[])]),
        Just(vec![string("")]),
        (1u16..20).prop_map(|count| vec![text("", count)]),
        size.clone()
            .prop_map(|size| vec![int("", 4, 0), seq("", size, 0)]),
        (size, label()).prop_map(|(size, label)| {
            vec![enumeration("", size, 0, &[(0, 3, &label), (2, 5, b"b")])]
        }),
    ];
    let any = if depth == 0 {
        leaf.boxed()
    } else {
        let inner = any_fields(depth - 1);
        let flat = inner
            .clone()
            .prop_map(|fields| vec![structure("", 0, &fields)]);
        let list = inner.prop_map(|fields| vec![int("", 1, 0), structure("", FIELD_SEQ, &fields)]);
        prop_oneof![4 => leaf, 1 => flat, 1 => list].boxed()
    };
    prop::collection::vec(any, 1..5)
        .prop_map(|fields| rename(fields.concat()))
        .boxed()
}

/// Text that tries to be something else where it is quoted.
fn label() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop_oneof![
        Just(b'"'),
        Just(b'\\'),
        Just(b'\n'),
        Just(0),
        Just(b'%'),
        any::<u8>()
    ];
    prop::collection::vec(nasty, 1..30)
}

/// Gives nameless fields names, unique among their neighbours.
fn rename(fields: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let rename = |(number, mut field): (usize, Vec<u8>)| {
        if field[3] == 0 {
            field[3] = 2;
            field.splice(6..6, [b'f', b'a' + number as u8]);
        }
        field
    };
    fields.into_iter().enumerate().map(rename).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sink_schema_takes_any_bytes_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Schema::new().add(&bytes);
    }

    #[test]
    fn sink_schema_takes_changed_records_without_harm(
        fields in any_fields(2),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut record = event(1, 0, "hostile", &fields);
        prop_assert!(fields.len() > 20 || Schema::new().add(&record).is_ok());
        for (index, byte) in changes {
            let at = index.index(record.len());
            record[at] = byte;
        }
        let mut schema = Schema::new();
        if schema.add(&record).is_err() {
            prop_assert!(schema.is_empty());
        }
    }

    #[test]
    fn sink_decode_takes_any_payload_without_harm(
        fields in any_fields(2),
        payload in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..400),
    ) {
        let mut schema = Schema::new();
        prop_assume!(schema.add(&event(1, 0, "hostile", &fields)).is_ok());
        let mut sub = SubBuffer::new(0, 0, 0);
        sub.event(1, 0, &payload);
        let mut lines = Lines::new("web1", u64::MAX);
        let mut out = String::new();
        for event in Events::new(&schema, 0, &sub.bytes, 0) {
            match event {
                Ok(event) => {
                    lines.line(&mut out, 0, &event).unwrap();
                    serde_json::to_string(&event).unwrap();
                }
                Err(error) => prop_assert!(error.offset <= sub.bytes.len()),
            }
        }
        prop_assert!(!out.replace('\n', "").contains(char::is_control));
    }
}

/// Bytes of an event of such fields if all of them are zero.
fn zero_len(fields: &[Field]) -> usize {
    let len = |field: &Field| match &field.kind {
        FieldKind::Int(int) | FieldKind::Enum(int, _) => usize::from(int.size),
        FieldKind::Array(int, count) => usize::from(int.size) * usize::from(*count),
        FieldKind::Text(count) => usize::from(*count),
        FieldKind::String => 1,
        FieldKind::Struct(fields) => zero_len(fields),
        FieldKind::Seq(_) | FieldKind::StructSeq(_) => 0,
    };
    fields.iter().map(len).sum()
}

/// What the schema decoder lets through, babeltrace2 takes: metadata of many
/// schemas, and an event of each kind.
#[test]
fn sink_ctf_metadata_holds_whatever_a_schema_may_say() {
    let mut runner = TestRunner::deterministic();
    let mut draw = || any_fields(2).new_tree(&mut runner).unwrap().current();
    let records: Vec<_> = (0..300).map(|id| event(id, 0, "any", &draw())).collect();
    let valid = |record: &&Vec<u8>| Schema::new().add(record).is_ok();
    let records: Vec<_> = records.iter().filter(valid).cloned().collect();
    assert!(records.len() > 200);
    let schema = schema(&records);
    let mut sub = SubBuffer::new(0, 0, 0);
    for class in schema.iter() {
        sub.event(class.id, 1, &vec![0; zero_len(&class.fields)]);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut sink = sink(dir.path(), None);
    sink.begin(&session(), &schema).unwrap();
    sink.packet(sub.in_place(0)).unwrap();
    sink.end(&[]).unwrap();
    assert_eq!(read(dir.path()).lines.len(), schema.len());
    assert!(Events::new(&schema, 0, &sub.bytes, 0).all(|event| event.is_ok()));
}
