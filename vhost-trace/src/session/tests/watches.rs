//! Watches on their way to the driver.

use super::filters::{introduced, rules, sent};
use super::*;
use crate::session::desired::{Pattern, Rule};
use crate::session::enable::Unwanted;
use crate::wire::cmd::{DISABLE, ENABLE, FILTER, STATEDUMP};

const ALL: u64 = 1 << wire::F_FILTER | 1 << wire::F_WATCH;

fn watch(fixture: &mut Fixture, text: &str) -> Result<WatchId, String> {
    let watched = fixture.session.watch(rules(text));
    watched.map_err(|error: Unwanted| error.to_string())
}

/// The driver has done all that it was asked.
fn done(fixture: &mut Fixture) {
    for seq in 1..100_u32 {
        let done = wire::Done { seq, error: 0 };
        fixture.status(req::DONE, done.as_slice());
    }
}

#[test]
fn probe_watch_leaves_events_as_they_were() {
    let mut fixture = introduced(Fixture::new(), ALL);
    let id = watch(&mut fixture, "with_a").unwrap();
    assert_eq!(fixture.session.watch_state(id), WatchState::Asked);
    assert_eq!(sent(&mut fixture), [(FILTER, vec![1]), (STATEDUMP, vec![])]);
    assert_eq!(fixture.session.watch_state(id), WatchState::Asked);
    done(&mut fixture);
    let armed = WatchState::Armed(vec!["with_a".into()]);
    assert_eq!(fixture.session.watch_state(id), armed);
    assert!(fixture.session.take_watch_news());
    assert!(!fixture.session.take_watch_news());

    // A rule that comes meanwhile stays; the watch goes on.
    fixture.session.desire(&[], &rules("with_*")).unwrap();
    assert_eq!(sent(&mut fixture), [(ENABLE, vec![2, 3])]);
    fixture.session.unwatch(id);
    assert_eq!(sent(&mut fixture), [(ENABLE, vec![1])]);
    let id = watch(&mut fixture, "with_a if a == 1").unwrap();
    assert_eq!(sent(&mut fixture), [(FILTER, vec![1])]);
    let all: Vec<Pattern> = vec!["*".parse().unwrap()];
    fixture.session.desire(&all, &[]).unwrap();
    assert_eq!(
        sent(&mut fixture),
        [(DISABLE, vec![2, 3]), (FILTER, vec![1])]
    );
    fixture.session.unwatch(id);
    assert_eq!(sent(&mut fixture), [(DISABLE, vec![1])]);
    assert!(!fixture.session.take_watch_news());
}

#[test]
fn probe_watch_outlives_drivers() {
    let mut fixture = Fixture::new();
    let id = watch(&mut fixture, "with_a if a == 1").unwrap();
    assert_eq!(fixture.session.watch_state(id), WatchState::Waiting);
    let mut fixture = introduced(fixture, ALL);
    assert_eq!(sent(&mut fixture)[0], (FILTER, vec![1]));
    done(&mut fixture);
    let armed = WatchState::Armed(vec!["with_a".into()]);
    assert_eq!(fixture.session.watch_state(id), armed);
    fixture.session.forget();
    assert_eq!(fixture.session.watch_state(id), WatchState::Waiting);
    let mut fixture = introduced(fixture, ALL);
    assert_eq!(sent(&mut fixture)[0], (FILTER, vec![1]));

    // One that knows no watches.
    let mut fixture = introduced(fixture, 1 << wire::F_FILTER);
    assert!(sent(&mut fixture).is_empty());
    let WatchState::Failed(why) = fixture.session.watch_state(id) else {
        panic!("it has not failed");
    };
    assert!(why.contains("too old for a watch of event with_a"), "{why}");
}

#[test]
fn probe_watch_fails_with_its_command() {
    let mut fixture = introduced(Fixture::new(), ALL);
    let id = watch(&mut fixture, "with_a").unwrap();
    sent(&mut fixture);
    let failed = wire::Done { seq: 1, error: 22 };
    let payload = [failed.as_slice(), b"event 1 stays off"].concat();
    assert_eq!(fixture.status(req::DONE, &payload), Status::Ok);
    let WatchState::Failed(why) = fixture.session.watch_state(id) else {
        panic!("it has not failed");
    };
    assert!(why.contains("event 1 stays off (errno 22"), "{why}");
}

#[test]
fn probe_watch_that_cannot_be_is_refused() {
    let mut fixture = introduced(Fixture::new(), ALL);
    for (text, part) in [
        ("no_such", "no event is called no_such"),
        ("with_a if b == 1", "event with_a has no field b"),
        ("state_a", "event state_a is part of the state dump"),
    ] {
        let error = watch(&mut fixture, text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(fixture.session.watch(Vec::new()).is_err());
    let many: Vec<Rule> = (0..17).flat_map(|_| rules("with_a")).collect();
    assert!(fixture.session.watch(many).is_err());
    assert!(sent(&mut fixture).is_empty());
}

#[test]
fn probe_watch_by_what_events_do_not_carry_is_alone() {
    let mut fixture = introduced(Fixture::new(), ALL);
    let blind = "with_a if $pid == 1";
    let id = watch(&mut fixture, blind).unwrap();
    let again = watch(&mut fixture, blind).unwrap();
    for other in ["with_a", "with_a if a == 1"] {
        let error = watch(&mut fixture, other).unwrap_err();
        assert!(error.contains("a watch is in the way"), "{error}");
        let error = fixture.session.desire(&[], &rules(other)).unwrap_err();
        assert!(error.to_string().contains("serve --context pid"), "{error}");
    }
    fixture.session.unwatch(id);
    fixture.session.unwatch(again);
    fixture.session.desire(&[], &rules("with_*")).unwrap();
    let error = watch(&mut fixture, blind).unwrap_err();
    assert!(error.contains("serve --context pid"), "{error}");
    assert!(watch(&mut fixture, "with_a if $cpu == 1").is_ok());
}

#[test]
fn probe_watch_gives_classes_of_other_modules_back() {
    let mut fixture = introduced(Fixture::new(), ALL);
    let class = wire::FIRST_CLASS;
    let record = record_with(class, 0, "module_event", "a");
    assert_eq!(fixture.status(req::SCHEMA, &record), Status::Ok);
    // The host looks at its filter.
    let id = watch(&mut fixture, "module_event if a == 1").unwrap();
    assert_eq!(sent(&mut fixture)[0], (FILTER, vec![class]));
    fixture.session.unwatch(id);
    assert_eq!(sent(&mut fixture), [(ENABLE, vec![class])]);

    // It was off: a rule had it, and then not.
    fixture.session.desire(&[], &rules("module_event")).unwrap();
    assert_eq!(sent(&mut fixture)[0], (ENABLE, vec![class]));
    let off: Vec<Pattern> = vec!["module_event".parse().unwrap()];
    fixture.session.desire(&off, &[]).unwrap();
    assert_eq!(sent(&mut fixture), [(DISABLE, vec![class])]);
    let id = watch(&mut fixture, "module_event").unwrap();
    sent(&mut fixture);
    fixture.session.unwatch(id);
    assert_eq!(sent(&mut fixture), [(DISABLE, vec![class])]);
    let error = watch(&mut fixture, "module_event if $pid == 1").unwrap_err();
    assert!(error.contains("serve --context pid"), "{error}");
}
