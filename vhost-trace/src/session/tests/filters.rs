//! Filters on their way to the driver.

use super::*;
use crate::session::desired::Rule;

pub fn rules(text: &str) -> Vec<Rule> {
    vec![text.parse().unwrap()]
}

/// A driver with these features, and events with and without a field.
pub fn introduced(mut fixture: Fixture, features: u64) -> Fixture {
    fixture.session.set_features(features);
    fixture.hello();
    assert_eq!(fixture.root(), Status::Ok);
    let schema = [
        record_with(1, 0, "with_a", "a"),
        record_with(2, 0, "with_b", "b"),
        record_with(3, 0, "with_both", "a"),
        record_with(4, 1, "state_a", "a"),
    ];
    assert_eq!(fixture.status(req::SCHEMA, &schema.concat()), Status::Ok);
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
    fixture
}

/// What the driver gets: kinds of commands and their ids.
pub fn sent(fixture: &mut Fixture) -> Vec<(u32, Vec<u16>)> {
    fixture.session.reconcile();
    let mut found = Vec::new();
    while let Some(command) = fixture.session.commands().next() {
        fixture.session.commands().sent();
        let (head, payload) = command.split_at(size_of::<wire::Cmd>());
        let kind = u32::from(head[0]);
        let ids = match wire::parse::<wire::Filter>(payload) {
            Some(filter) if kind == wire::cmd::FILTER => {
                &payload[payload.len() - 2 * usize::from(filter.num_ids)..]
            }
            _ => payload,
        };
        let ids = ids.chunks(2).map(|id| u16::from_le_bytes([id[0], id[1]]));
        found.push((kind, ids.collect()));
    }
    found
}

const FILTERS: u64 = 1 << wire::F_FILTER;

#[test]
fn filter_is_set_changed_and_removed() {
    use wire::cmd::{DISABLE, ENABLE, FILTER, STATEDUMP};
    let mut fixture = introduced(Fixture::new(), FILTERS);
    let mut want = |text: &str| {
        fixture.session.desire(&[], &rules(text)).unwrap();
        sent(&mut fixture)
    };
    // Those that have the field; state has no filter.
    let first = [(FILTER, vec![1, 3]), (STATEDUMP, vec![])];
    assert_eq!(want("* if a == 1"), first);
    assert_eq!(want("* if a == 1"), []);
    assert_eq!(want("with_a if a == 2"), [(FILTER, vec![1])]);
    assert_eq!(want("with_a"), [(ENABLE, vec![1])]);
    assert_eq!(want("* if $tid == 1"), [(FILTER, vec![1, 2, 3])]);
    let events = fixture.session.events();
    let filters: Vec<_> = events.iter().map(|event| event.filter.as_deref()).collect();
    let tid = Some("$tid == 1");
    assert_eq!(filters, [tid, tid, tid, None]);
    let with: Vec<_> = vec!["with_b".parse().unwrap()];
    fixture.session.desire(&with, &[]).unwrap();
    assert_eq!(sent(&mut fixture), [(DISABLE, vec![2])]);

    // The next driver gets the same.
    let mut fixture = introduced(fixture, FILTERS);
    let again = [(FILTER, vec![1, 3]), (STATEDUMP, vec![])];
    assert_eq!(sent(&mut fixture), again);
}

#[test]
fn filter_that_does_not_fit_is_not_taken() {
    let mut fixture = introduced(Fixture::new(), FILTERS);
    for (text, part) in [
        ("with_a if b == 1", "event with_a has no field b"),
        ("with_* if c == 1", "has no field c"),
        (
            "with_* if a == \"x\"",
            "field a of event with_a is an integer",
        ),
        (
            "state_a if a == 1",
            "event state_a is part of the state dump",
        ),
    ] {
        let error = fixture.session.desire(&[], &rules(text)).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
    assert!(fixture.session.rules().is_empty());
    assert!(sent(&mut fixture).is_empty());
}

#[test]
fn filter_that_does_not_fit_a_later_driver_leaves_the_event_off() {
    let mut fixture = Fixture::new();
    for text in ["with_a if b == 1", "with_b if b == 1", "no_such if c == 1"] {
        fixture.session.desire(&[], &rules(text)).unwrap();
    }
    let mut fixture = introduced(fixture, FILTERS);
    assert_eq!(sent(&mut fixture)[0], (wire::cmd::FILTER, vec![2]));
    let status = fixture.session.driver_status().unwrap();
    assert_eq!(status.unfit, ["event with_a has no field b"]);
    assert_eq!(status.enabled, 1);
    // Another wish is not refused for that.
    fixture.session.desire(&[], &rules("with_both")).unwrap();
    assert_eq!(sent(&mut fixture), [(wire::cmd::ENABLE, vec![3])]);
}

#[test]
fn filter_needs_a_driver_that_knows_it() {
    let mut fixture = Fixture::new();
    fixture
        .session
        .desire(&[], &rules("with_a if a == 1"))
        .unwrap();
    let mut fixture = introduced(fixture, 0);
    assert_eq!(sent(&mut fixture), [], "never without the filter");
    let status = fixture.session.driver_status().unwrap();
    assert!(status.unfit[0].contains("too old"), "{:?}", status.unfit);
    let error = fixture.session.desire(&[], &rules("with_* if $tid == 1"));
    assert!(error.unwrap_err().to_string().contains("too old"));
}
