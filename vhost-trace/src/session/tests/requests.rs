//! Requests, their order and their lengths.

use super::*;

#[test]
fn serve_requests_come_in_order() {
    let mut fixture = Fixture::new();
    for (kind, len) in [
        (req::ROOT, 8),
        (req::SCHEMA, 0),
        (req::RING_ADD, 24),
        (req::RING_DEL, 24),
    ] {
        assert_eq!(fixture.status(kind, &vec![0; len]), Status::Stale, "{kind}");
    }
    fixture.hello();
    assert_eq!(fixture.epoch, 1);
    assert_eq!(
        fixture.ring(0, RING, DATA, |_| {}),
        Status::BadRequest,
        "no root"
    );
    assert_eq!(fixture.root(), Status::Ok);
    assert_eq!(fixture.root(), Status::Exists);
    assert!(fixture.session.take_messages().is_empty());
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
    let messages = fixture.session.take_messages();
    assert!(
        matches!(&messages[..], [Message::Begin { .. }, Message::Add(ring)] if ring.subs.len() == 2),
        "{messages:?}"
    );
    assert_eq!(fixture.session.live_epoch(), Some(1));

    fixture.hello();
    assert_eq!(fixture.epoch, 2);
    assert!(matches!(
        &fixture.session.take_messages()[..],
        [Message::End]
    ));
    assert_eq!(fixture.status(req::BYE, &[]), Status::Ok);
    assert!(fixture.session.guest().is_none());
    assert_eq!(fixture.session.live_epoch(), None);
}

#[test]
fn serve_requests_have_their_lengths() {
    let mut fixture = Fixture::traced();
    assert_eq!(fixture.raw(&[]), Answer::Now(Status::BadRequest, 0));
    assert_eq!(
        fixture.raw(&[1, 0, 0, 0, 1, 0, 0]),
        Answer::Now(Status::BadRequest, 0)
    );
    // The head promises more, or less, than there is.
    for len in [0u8, 2, 255] {
        let bytes = [4, 0, 0, 0, len, 0, 0, 0, 9];
        assert_eq!(fixture.raw(&bytes), Answer::Now(Status::BadRequest, 0));
    }
    for kind in [0, 10, 0xdead_beef] {
        assert_eq!(fixture.status(kind, &[]), Status::BadRequest, "{kind}");
    }
    let sizes = [
        (req::HELLO, size_of::<wire::Hello>()),
        (req::CLOCK_SAMPLE, 16),
        (req::ROOT, 8),
        (req::RING_ADD, 24),
        (req::RING_DEL, 24),
        (req::EPOCH_ACK, 8),
        (req::BYE, 0),
    ];
    for (kind, size) in sizes {
        assert_eq!(
            fixture.status(kind, &vec![0; size + 1]),
            Status::BadRequest,
            "{kind}"
        );
    }
    assert_eq!(fixture.session.take_complaints().len(), 15);
}

#[test]
fn serve_schemas_are_bounded() {
    let mut fixture = Fixture::traced();
    assert_eq!(
        fixture.status(req::SCHEMA, &record(2, "a\"; env {")),
        Status::BadValue
    );
    assert_eq!(
        fixture.status(req::SCHEMA, &record(abi::ID_FULL, "x")),
        Status::BadValue
    );
    assert_eq!(fixture.status(req::SCHEMA, &[1]), Status::BadValue);
    let mut fields = record(2, "many");
    fields[6] = 255;
    assert_eq!(fixture.status(req::SCHEMA, &fields), Status::BadValue);
    assert_eq!(fixture.session.guest().unwrap().schema.len(), 1);
    // Again the same is nothing new.
    fixture.session.take_messages();
    assert_eq!(fixture.status(req::SCHEMA, &record(1, "first")), Status::Ok);
    assert!(fixture.session.take_messages().is_empty());
    assert_eq!(
        fixture.status(req::SCHEMA, &record(2, "second")),
        Status::Ok
    );
    assert!(matches!(
        fixture.session.take_messages()[..],
        [Message::Schema(_)]
    ));
}

#[test]
fn serve_contexts_come_before_rings() {
    let missing = |fixture: &Fixture| fixture.session.driver_status().unwrap().contexts_missing;
    let contexts = record_with(abi::ID_FULL, 0, "contexts", "tid");
    let mut fixture = Fixture::new();
    fixture.hello();
    assert_eq!(fixture.root(), Status::Ok);
    assert_eq!(fixture.status(req::SCHEMA, &contexts), Status::Ok);
    assert!(missing(&fixture).is_empty(), "it may not have said all");
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
    assert_eq!(missing(&fixture), ["perf_cpu_cycles"]);
    assert_eq!(fixture.status(req::SCHEMA, &contexts), Status::Ok);
    let other = record_with(abi::ID_FULL, 0, "contexts", "perf_cpu_cycles");
    let late = record_with(abi::ID_FULL, 1, "contexts", "tid");
    for record in [other, late] {
        assert_eq!(fixture.status(req::SCHEMA, &record), Status::BadValue);
    }
    // A driver that has none is traced without.
    assert_eq!(missing(&Fixture::traced()), ["tid", "perf_cpu_cycles"]);
}
