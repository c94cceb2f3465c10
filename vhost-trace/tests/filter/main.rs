//! Filters from their text to the driver's own evaluator, which is compiled
//! here for user space.

mod driver;
mod expression;
mod host;

use host_sink::schema::{Base, EventClass, Field, FieldKind, IntType};
use proptest::prelude::*;

use driver::{Driver, VALUES, Values, Verdict};
use expression::{Expression, expression};
use host::with_event;
use vhost_trace::filter::{Filter, Program, Recorded};
use vhost_trace::wire;

/// An event with fields of all kinds that a filter can look at, and an array.
fn class() -> EventClass {
    let int = |size, signed| IntType {
        size,
        signed,
        big_endian: false,
        base: Base::Decimal,
    };
    let field = |name: &str, kind| Field {
        name: name.into(),
        kind,
    };
    EventClass {
        id: 7,
        channel: 0,
        name: "event".into(),
        fields: vec![
            field("count", FieldKind::Int(int(8, false))),
            field("prio", FieldKind::Int(int(4, true))),
            field("comm", FieldKind::Text(16)),
            field("path", FieldKind::String),
            field("pair", FieldKind::Array(int(4, true), 2)),
        ],
    }
}

fn compiled(text: &str) -> Result<Program, String> {
    let filter: Filter = text.parse().map_err(|error| format!("{error}"))?;
    filter.compile(&class()).map_err(|error| error.to_string())
}

#[test]
fn filter_examples_are_evaluated() {
    let mut driver = Driver::start();
    let values = Values {
        numbers: [
            3,
            -5i64 as u64,
            0,
            0,
            100,
            90,
            10,
            9,
            0,
            1,
            4242,
            0,
            1,
            0,
            1,
        ],
        comm: b"db_writer".to_vec(),
        path: b"/etc/passwd".to_vec(),
        procname: b"worker*".to_vec(),
    };
    for (text, passes) in [
        ("count == 3", true),
        ("count != 0x3", false),
        ("count & 6", true),
        ("count & 4", false),
        ("prio < 0 && comm == \"db*\"", true),
        ("prio < -5 || prio > -5", false),
        ("prio <= -5 && prio >= -5", true),
        ("!(prio <= -5 && prio >= -5)", false),
        ("comm == \"*writer\"", true),
        ("comm == \"db\"", false),
        ("comm == \"*\" && !comm == \"x\"", true),
        ("path == \"*/pass*\" && path != \"/etc\"", true),
        (
            "$tid == 100 && $pid == 90 && $vtid == 10 && $vpid == 9",
            true,
        ),
        ("$ctx.cpu_id == 1 && $cpu == 01", true),
        ("$cgroup == 4242 && $ctx.procname == \"worker\\*\"", true),
        ("$procname == \"worker\\\\*\"", false),
        // && binds closer.
        ("count == 3 || count == 4 && count == 5", true),
        ("(count == 3 || count == 4) && count == 5", false),
    ] {
        let program = compiled(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let verdict = driver.evaluate(&program.payload(&[1, 2]), &values);
        assert_eq!(verdict, Verdict::of(passes), "{text}");
    }
}

#[test]
fn filter_errors_say_what_is_wrong() {
    for (text, part) in [
        ("", "a field, a $context, ! or ( is expected"),
        ("count", "==, !=, <, <=, >, >= or & is expected"),
        ("count == ", "an integer or a text in quotes"),
        ("count == 1 prio", "&&, || or the end"),
        ("count == 1,prio == 2", "',' has no meaning"),
        ("(count == 1", "&&, || or )"),
        ("count = 1", "'=' has no meaning"),
        ("count == 18446744073709551616", "no integer of 64 bits"),
        ("count == 0x", "no integer"),
        ("count == 12ab", "no integer"),
        ("comm == \"db", "has no end"),
        ("comm == \"d\u{1b}b\"", "control character"),
        ("$nothing == 1", "no context $nothing, only $tid"),
        ("$tid == \"x\"", "$tid is an integer"),
        ("$procname == 1", "$procname is a text"),
        ("$cpu == -1", "$cpu is never negative"),
        ("comm < \"x\"", "== and != are all"),
        ("vruntime > 1", "event event has no field vruntime"),
        ("pair == 1", "field pair of event event is an array"),
        ("prio == \"x\"", "field prio of event event is an integer"),
        ("comm == 1", "field comm of event event is a text"),
        (
            "count == -1",
            "field count of event event is an unsigned integer",
        ),
        (
            "prio == 9223372036854775808",
            "is a signed integer of at most",
        ),
    ] {
        let error = compiled(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
    let many = vec!["count == 1"; wire::MAX_TERMS + 1].join(" && ");
    assert!(compiled(&many).unwrap_err().contains("32 comparisons"));
    assert!(compiled(&many[14..]).is_ok());
    let deep = format!("{}count == 1{}", "(".repeat(40), ")".repeat(40));
    assert!(compiled(&deep).unwrap_err().contains("around each other"));
    let long = format!("comm == \"{}\"", "x".repeat(wire::MAX_PATTERNS));
    assert!(compiled(&long).unwrap_err().contains("512 bytes"));
    let long = format!("comm == \"{}\"", "x".repeat(4096));
    assert!(compiled(&long).unwrap_err().contains("at most 2048"));
}

#[test]
fn probe_watch_filters_are_bounded_together() {
    let filter = |terms| vec!["count == 1"; terms].join(" && ").parse::<Filter>();
    let (rule, watch) = (filter(20).unwrap(), filter(12).unwrap());
    let recorded = Recorded::Passing(&rule);
    let with = |watches: &[Option<&Filter>]| Program::watching(&class(), recorded, watches);
    assert!(with(&[Some(&watch)]).is_ok());
    let error = with(&[Some(&watch), Some(&watch)]).unwrap_err();
    assert!(error.to_string().contains("more than 32 comparisons"));
    // What is watched anyway needs no filter.
    let mut driver = Driver::start();
    let program = with(&[Some(&watch), Some(&watch), None]).unwrap();
    let verdict = driver.evaluate(&program.payload(&[]), &Values::default());
    assert_eq!(verdict, Verdict::Notified);
}

#[test]
fn probe_watch_filters_know_what_events_do_not_say() {
    let values = Values::default();
    let field = |name: &str| Field {
        name: name.into(),
        kind: FieldKind::Text(16),
    };
    for (text, carried, missing) in [
        ("count == 1 && $cpu == 0", None, None),
        ("count == 1 || !($vtid == 2)", None, Some("vtid")),
        ("$procname == \"x\"", Some("procname"), None),
        ("$procname == \"x\"", Some("vtid"), Some("procname")),
    ] {
        let filter: Filter = text.parse().unwrap();
        let carried: Vec<Field> = carried.into_iter().map(field).collect();
        let found = filter.missing_context(&carried);
        assert_eq!(found.map(|context| context.name), missing, "{text}");
    }
    // Not even then is there a guess.
    let filter: Filter = "nothing == 1 || count == 0".parse().unwrap();
    let passes = with_event(&class(), &values, |vcpu, event| filter.passes(vcpu, event));
    assert_eq!(passes, None);
}

#[test]
fn filter_fits_a_command_with_its_ids() {
    let many = vec!["count == 1"; wire::MAX_TERMS].join(" && ");
    let program = compiled(&many).unwrap();
    let ids = vec![1; program.max_ids()];
    let bytes = program.payload(&ids).len() + size_of::<wire::Cmd>();
    assert!(bytes <= wire::CMD_BYTES && bytes + 2 > wire::CMD_BYTES);
}

/// Each bound of the driver's, overstepped.
#[test]
fn filter_programs_that_lie_are_refused() {
    let program = compiled("count == 1 && (comm == \"x\" || $procname == \"y\")").unwrap();
    let good = program.payload(&[1, 2, 3]);
    let term = |index: usize, field: usize| size_of::<wire::Filter>() + 16 * index + field;
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let patterns = term(3, 0);
    let bad = [
        ("no terms", with(0, 0)),
        ("too many terms", with(0, 33)),
        ("fewer terms than bytes", with(0, 2)),
        ("more patterns than bytes", with(2, 6)),
        ("odd patterns", with(2, 3)),
        ("more ids than bytes", with(4, 4)),
        ("reserved", with(6, 1)),
        ("a short one", good[..good.len() - 1].to_vec()),
        ("a long one", [&good[..], &[0]].concat()),
        ("a head only", good[..7].to_vec()),
        ("nothing", Vec::new()),
        ("no operation", with(term(0, 2), 0)),
        ("an unknown operation", with(term(0, 2), 6)),
        ("an unknown flag", with(term(0, 3), 2)),
        ("a jump to itself", with(term(1, 4), 1)),
        ("a jump back", with(term(2, 5), 0)),
        ("a jump behind the end", with(term(0, 4), 3)),
        ("a reserved field", with(term(0, 6), 1)),
        ("a pattern behind the end", with(term(1, 8), 4)),
        ("a pattern far behind the end", with(term(1, 15), 0x80)),
        ("patterns without an end", with(patterns + 3, b'y')),
        ("a number of a text", with(term(2, 2), 1)),
        ("a text of a number", with(term(2, 0), 0)),
        ("no such context", with(term(2, 0), 0x0b)),
        ("no such field", with(term(0, 0), 64)),
    ];
    let mut driver = Driver::start();
    let values = Values::default();
    assert_ne!(driver.evaluate(&good, &values), Verdict::Refused);
    for (what, bad) in bad {
        assert_eq!(driver.evaluate(&bad, &values), Verdict::Refused, "{what}");
    }
}

fn values() -> impl Strategy<Value = Values> {
    let number = prop_oneof![0..4u64, Just(u64::MAX), any::<u64>()];
    let signed = prop_oneof![-3..4i64, any::<i32>().prop_map(i64::from)];
    let text = "[ab*\\\\\"]{0,6}".prop_map(String::into_bytes);
    (
        proptest::collection::vec(number, VALUES),
        signed,
        proptest::collection::vec(text, 3),
    )
        .prop_map(|(numbers, signed, texts)| {
            let mut values = Values {
                numbers: numbers.try_into().expect("as many"),
                comm: texts[0].clone(),
                path: texts[1].clone(),
                procname: texts[2].clone(),
            };
            values.numbers[1] = signed as u64;
            // No vCPU has a larger number.
            values.numbers[9] &= u64::from(u32::MAX);
            values
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn filter_means_what_it_says(
        cases in proptest::collection::vec((expression(), values()), 64)
    ) {
        let mut driver = Driver::start();
        for (expression, values) in cases {
            let text = expression.to_string();
            let program = compiled(&text);
            prop_assert!(program.is_ok(), "{}: {:?}", text, program);
            let verdict = driver.evaluate(&program.unwrap().payload(&[]), &values);
            prop_assert_eq!(verdict, Verdict::of(expression.holds(&values)), "{}", text);
            let filter: Filter = text.parse().unwrap();
            let host = with_event(&class(), &values, |vcpu, event| filter.passes(vcpu, event));
            prop_assert_eq!(host, Some(expression.holds(&values)), "on the host: {}", text);
        }
    }

    /// Of a rule's filter, or none, and watches'.
    #[test]
    fn probe_watch_programs_mean_what_they_say(
        cases in proptest::collection::vec(
            (
                proptest::option::of(proptest::option::of(expression())),
                proptest::collection::vec(proptest::option::weighted(0.9, expression()), 1..4),
                values(),
            ),
            32,
        )
    ) {
        let mut driver = Driver::start();
        let parse = |expression: &Expression| expression.to_string().parse::<Filter>().unwrap();
        for (rule, watches, values) in cases {
            let holds = |expression: &Expression| expression.holds(&values);
            let expected = if watches.iter().any(|watch| watch.as_ref().is_none_or(holds)) {
                Verdict::Notified
            } else {
                let is_recorded = |rule: &Option<Expression>| rule.as_ref().is_none_or(holds);
                Verdict::of(rule.as_ref().is_some_and(is_recorded))
            };
            let filter = rule.as_ref().map(|rule| rule.as_ref().map(parse));
            let recorded = match &filter {
                None => Recorded::Nothing,
                Some(None) => Recorded::All,
                Some(Some(filter)) => Recorded::Passing(filter),
            };
            let filters: Vec<_> = watches.iter().map(|watch| watch.as_ref().map(parse)).collect();
            let filters: Vec<_> = filters.iter().map(Option::as_ref).collect();
            match Program::watching(&class(), recorded, &filters) {
                Ok(program) => {
                    let verdict = driver.evaluate(&program.payload(&[]), &values);
                    prop_assert_eq!(verdict, expected, "{:?} {:?}", rule, watches);
                }
                Err(error) => prop_assert!(error.to_string().contains("32 comparisons"), "{}", error),
            }
        }
    }

    #[test]
    fn filter_text_of_any_kind_never_panics(
        text in prop_oneof![
            any::<String>(),
            "[a-z0-9$&|!()<>=\"\\\\* -]{0,64}",
            expression().prop_map(|expression: Expression| expression.to_string()),
        ],
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = compiled(&text);
        let cut = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at));
        let _ = compiled(&text[..cut.unwrap_or(0)]);
    }

    /// Sanitizers and the evaluator's own bound on steps watch.
    #[test]
    fn filter_programs_of_any_kind_end(
        expression in expression(),
        values in values(),
        spoilt in proptest::collection::vec(
            proptest::collection::vec((any::<prop::sample::Index>(), 0..40u8), 0..4),
            64,
        ),
    ) {
        let good = compiled(&expression.to_string()).unwrap().payload(&[1, 2]);
        let mut driver = Driver::start();
        for changes in spoilt {
            let mut payload = good.clone();
            for (at, byte) in changes {
                let at = at.index(payload.len());
                payload[at] = byte;
            }
            driver.evaluate(&payload, &values);
        }
    }
}
