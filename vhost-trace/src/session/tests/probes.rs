//! Probe definitions on their way to drivers, and back.

use super::*;
use crate::probe::Definition;
use crate::session::probes::State;

const PROBES: u64 = 1 << wire::F_PROBE | 1 << wire::F_FILTER;

fn new(text: &str) -> Vec<(Definition, Option<String>)> {
    vec![(Definition::new(text, 0).unwrap(), None)]
}

fn introduce(fixture: &mut Fixture, features: u64) {
    fixture.session.set_features(features);
    fixture.hello();
    assert_eq!(fixture.root(), Status::Ok);
    assert_eq!(fixture.status(req::SCHEMA, &record(1, "first")), Status::Ok);
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
}

/// What the driver gets: kinds and numbers.
fn sent(fixture: &mut Fixture) -> Vec<(u32, u32)> {
    fixture.session.reconcile();
    let mut found = Vec::new();
    while let Some(command) = fixture.session.commands().next() {
        fixture.session.commands().sent();
        let head: wire::Cmd = wire::parse(&command).unwrap();
        found.push((head.kind, head.seq));
    }
    found
}

fn done(fixture: &mut Fixture, seq: u32, error: u32, text: &str) {
    let done = [
        &seq.to_le_bytes()[..],
        &error.to_le_bytes(),
        text.as_bytes(),
    ];
    assert_eq!(fixture.status(req::DONE, &done.concat()), Status::Ok);
}

fn states(fixture: &Fixture) -> Vec<State> {
    let probes = fixture.session.probes().iter();
    probes.map(|probe| probe.state.clone()).collect()
}

#[test]
fn probe_def_is_sent_to_each_driver() {
    use wire::cmd::{PROBE_ADD, PROBE_DEL};
    let mut fixture = Fixture::new();
    let early = fixture.session.add_probes(new("p:early f"));
    assert!(early.unwrap().is_empty());
    introduce(&mut fixture, PROBES);
    let [(PROBE_ADD, seq)] = sent(&mut fixture)[..] else {
        panic!("not one command");
    };
    assert_eq!(states(&fixture), [State::Sent(seq)]);
    // It waited for a driver: a failure is remembered, not the end of it.
    done(&mut fixture, seq, 2, "no f");
    assert_eq!(states(&fixture), [State::Failed("no f (errno 2)".into())]);

    // This one does not wait: a failure is its end.
    let seqs = fixture.session.add_probes(new("p:late f")).unwrap();
    sent(&mut fixture);
    done(&mut fixture, seqs[0], 2, "no f");
    assert_eq!(states(&fixture).len(), 1);
    let seqs = fixture.session.add_probes(new("p:late f")).unwrap();
    assert!(fixture.session.add_probes(new("t:late f")).is_err());
    sent(&mut fixture);
    done(&mut fixture, seqs[0], 0, "");
    assert_eq!(states(&fixture)[1], State::On);

    // The next driver gets both.
    introduce(&mut fixture, PROBES);
    let kinds: Vec<u32> = sent(&mut fixture).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [PROBE_ADD, PROBE_ADD]);
    fixture.session.take_results();

    // One that does not answer in time may do it later.
    fixture.session.expire(Instant::now() + TIMEOUT);
    assert!(matches!(
        states(&fixture)[..],
        [State::Failed(_), State::Failed(_)]
    ));
    let kinds: Vec<u32> = sent(&mut fixture).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [PROBE_DEL, PROBE_DEL]);
    let names = ["early".to_owned(), "late".to_owned()];
    assert_eq!(fixture.session.delete_probes(&names).unwrap().len(), 2);
    assert!(fixture.session.delete_probes(&names).is_err());
    assert!(states(&fixture).is_empty());
}

#[test]
fn probe_def_is_bounded_and_needs_its_driver() {
    let mut fixture = Fixture::new();
    let many: Vec<_> = (0..wire::probe::MAX)
        .flat_map(|number| new(&format!("p:x{number} f")))
        .collect();
    fixture.session.add_probes(many).unwrap();
    assert!(fixture.session.add_probes(new("p:x f")).is_err());
    // A driver that knows none gets none.
    introduce(&mut fixture, 0);
    assert!(sent(&mut fixture).is_empty());
    let names = ["x0".to_owned()];
    assert_eq!(fixture.session.delete_probes(&names).unwrap()[0].1, None);
    let error = fixture.session.add_probes(new("p:x f")).unwrap_err();
    assert!(error.to_string().contains("too old"));
    // All or none.
    introduce(&mut fixture, PROBES);
    let both = [new("p:fresh f"), new("p:x1 f")].concat();
    assert!(fixture.session.add_probes(both).is_err());
    assert_eq!(states(&fixture).len(), wire::probe::MAX - 1);
}

/// Rules of events do not reach the classes of definitions.
#[test]
fn probe_def_is_on_whatever_rules_say() {
    use wire::cmd::{ENABLE, STATEDUMP};
    let mut fixture = Fixture::new();
    introduce(&mut fixture, PROBES);
    let seqs = fixture.session.add_probes(new("t:mine f a=$arg1:u32"));
    sent(&mut fixture);
    let mine = record_with(0x8000, 0, "mine", "a");
    assert_eq!(fixture.status(req::SCHEMA, &mine), Status::Ok);
    done(&mut fixture, seqs.unwrap()[0], 0, "");
    let all = ["*".parse().unwrap()];
    fixture.session.desire(&[], &all).unwrap();
    let kinds: Vec<u32> = sent(&mut fixture).iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [ENABLE, STATEDUMP]);
    let enabled = fixture.session.guest().unwrap().enabled.clone();
    assert_eq!(enabled.into_keys().collect::<Vec<_>>(), [1]);
    let events = fixture.session.events();
    assert!(events.iter().all(|event| event.enabled), "{events:?}");
    let gone = fixture.session.delete_probes(&["mine".to_owned()]);
    assert!(gone.unwrap()[0].1.is_some());
    assert!(!fixture.session.events()[1].enabled);
}
