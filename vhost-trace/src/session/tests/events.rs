//! What the user wants, as commands.

use super::*;

#[test]
fn serve_wanted_events_are_enabled() {
    let mut fixture = Fixture::new();
    let pattern = |text: &str| vec![text.parse().unwrap()];
    let all = "*".parse().unwrap();
    fixture.session.desire(&[], &[all]).unwrap();
    assert!(fixture.session.reconcile().is_empty(), "no driver");
    fixture.hello();
    assert_eq!(fixture.root(), Status::Ok);
    assert_eq!(fixture.status(req::SCHEMA, &record(1, "first")), Status::Ok);
    assert!(fixture.session.reconcile().is_empty(), "no rings");
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);

    let sent = |fixture: &mut Fixture| {
        let mut kinds = Vec::new();
        while let Some(command) = fixture.session.commands().next() {
            fixture.session.commands().sent();
            kinds.push(u32::from(command[0]));
        }
        kinds
    };
    assert_eq!(fixture.session.reconcile(), [1, 2]);
    assert!(fixture.session.reconcile().is_empty(), "asked already");
    assert_eq!(
        sent(&mut fixture),
        [wire::cmd::ENABLE, wire::cmd::STATEDUMP]
    );
    assert_eq!(
        fixture.status(req::SCHEMA, &record(2, "second")),
        Status::Ok
    );
    assert_eq!(fixture.session.reconcile(), [3]);
    assert_eq!(sent(&mut fixture), [wire::cmd::ENABLE]);
    fixture.session.desire(&pattern("first"), &[]).unwrap();
    fixture.session.reconcile();
    assert_eq!(sent(&mut fixture), [wire::cmd::DISABLE]);
    let enabled: Vec<_> = fixture
        .session
        .events()
        .iter()
        .map(|event| event.enabled)
        .collect();
    assert_eq!(enabled, [false, true]);

    // Answers.
    let done = |seq: u32, error: u32, text: &[u8]| {
        [&seq.to_le_bytes()[..], &error.to_le_bytes(), text].concat()
    };
    assert_eq!(
        fixture.status(req::DONE, &done(99, 0, b"")),
        Status::NoEntry
    );
    assert_eq!(
        fixture.status(req::DONE, &done(1, 0, &[b'x'; 513])),
        Status::BadRequest
    );
    assert_eq!(fixture.status(req::DONE, &done(1, 0, b"")), Status::Ok);
    assert_eq!(
        fixture.status(req::DONE, &done(2, 12, b"no\x1bmem")),
        Status::Ok
    );
    fixture.session.expire(Instant::now() + TIMEOUT);
    let results: Vec<_> = fixture.session.take_results();
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Done,
            Outcome::Failed(12, "no\\x1bmem".into()),
            Outcome::TimedOut,
            Outcome::TimedOut
        ]
    );

    // The same wishes for the next driver.
    fixture.session.desire(&pattern("first"), &[]).unwrap();
    fixture.hello();
    assert_eq!(fixture.root(), Status::Ok);
    assert_eq!(
        fixture.status(req::SCHEMA, &record(9, "second")),
        Status::Ok
    );
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
    fixture.session.reconcile();
    assert_eq!(
        sent(&mut fixture),
        [wire::cmd::ENABLE, wire::cmd::STATEDUMP]
    );
}
