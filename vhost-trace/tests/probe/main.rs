//! Probe definitions from their text to the driver's own interpreter, which is
//! compiled here for user space.

mod driver;
mod model;

use proptest::prelude::*;

use driver::Driver;
use model::{model, world};
use vhost_trace::probe::{Definition, ProbeSet};
use vhost_trace::wire;

fn payload(text: &str) -> Result<Vec<u8>, String> {
    let definition = Definition::new(text, 0).map_err(|error| error.to_string())?;
    Ok(definition.payload())
}

#[test]
fn probe_def_errors_say_what_is_wrong() {
    for (text, part) in [
        ("", "a definition begins with p:NAME"),
        ("do_exit", "a definition begins with p:NAME"),
        ("q:x do_exit", "a definition begins with p:NAME"),
        ("p3:x do_exit", "a definition begins with p:NAME"),
        ("p:1x do_exit", "\"1x\" is no name for events"),
        ("p:a/b do_exit", "is no name for events"),
        ("r0:x do_exit", "is no number of calls"),
        ("r5000:x do_exit", "is no number of calls"),
        ("p:x", "a function, FUNCTION+OFFSET, or MODULE:FUNCTION"),
        ("t:x", "a tracepoint, without the name of its subsystem"),
        ("p:x do_exit+", "is no place to probe"),
        ("p:x do_exit+-1", "is no place to probe"),
        ("p:x 0xffffffff81000000", "is no place to probe"),
        ("r:x do_exit+4", "is no place to probe"),
        ("t:x sched/sched_switch", "is no place to probe"),
        ("p:x f stack[0]", "the stack has 1 to 64 return addresses"),
        ("p:x f stack[65]", "the stack has 1 to 64 return addresses"),
        ("p:x f 1a=%di", "\"1a\" is no name of an argument"),
        ("p:x f =%di", "\"\" is no name of an argument"),
        ("p:x f ip=%di", "the event has a field ip of its own"),
        ("p:x f a=%di a=%si", "two arguments are called a"),
        ("p:x f %di arg1=%si", "two arguments are called arg1"),
        ("p:x f a=di", "is nothing that can be fetched"),
        ("p:x f a=", "is nothing that can be fetched"),
        ("p:x f a=$nothing", "is nothing that can be fetched"),
        ("p:x f a=%edi", "there is no register \"edi\", only ax, cx"),
        ("p:x f a=+0x(%di)", "\"0x\" is no integer of 64 bits"),
        ("p:x f a=+0(%di", "a parenthesis is missing"),
        ("p:x f a=+8%di", "is nothing that can be fetched"),
        ("p:x f a=\\99999999999999999999", "is no integer of 64 bits"),
        ("p:x f a=@", "is no name of a symbol"),
        ("p:x f a=$arg0", "only $arg1 to $arg12"),
        ("p:x f a=$arg13", "only $arg1 to $arg12"),
        (
            "p:x f+4 a=$arg1",
            "$argN is only for t:, and p: at the begin of a function",
        ),
        ("r:x f a=$arg1", "$argN is only for t:"),
        ("p:x f a=$retval", "$retval is only for r:"),
        ("t:x f a=%di", "a register is only for p: and r:"),
        ("t:x f a=$stack", "$stack is only for p: and r:"),
        ("t:x f a=$stack3", "$stackN is only for p: and r:"),
        ("p:x f a=%di:u7", "there is no type \"u7\""),
        ("p:x f a=%di:symbol", "there is no type \"symbol\""),
        ("p:x f a=%di:b9@0/8", "there is no type \"b9@0/8\""),
        ("p:x f a=%di:b4@61/64", "there is no type"),
        ("p:x f a=%di:string", "a text is in memory"),
        ("p:x f a=%di:u8[4]", "an array is in memory"),
        ("p:x f a=+0(%di):u8[65]", "up to 64 of them"),
        (
            "p:x f a=+0(%di):string[2]",
            "an array is in memory, as integers",
        ),
        ("p:x f a=$comm:u8", "$comm is a text"),
        ("p:x f a=+0($comm):string", "$comm is a text"),
        ("p:x f if", "is nothing that can be fetched"),
        ("p:x f a=%di if b == 1", "event x has no field b"),
        (
            "p:x f a=%di if a == \"x\"",
            "field a of event x is an integer",
        ),
        (
            "p:x f a=+0(%di):u8[2] if a == 1",
            "field a of event x is an array",
        ),
        ("p:x f a=%di if a =", "'=' has no meaning"),
        ("p:x f\ta=%di", "control character"),
    ] {
        let error = payload(text).expect_err(text);
        assert!(error.contains(part), "{text}: {error}");
    }
    let many = format!("p:x f{}", " %di".repeat(wire::probe::MAX_ARGS + 1));
    assert!(payload(&many).unwrap_err().contains("more than 32"));
    let large = format!("p:x f{}", " +0(%di):u64[64]".repeat(7));
    assert!(payload(&large).unwrap_err().contains("3072 bytes"));
    let deep = format!("p:x f {}%di{}", "+0(".repeat(16), ")".repeat(16));
    assert!(payload(&deep).unwrap_err().contains("16 steps"));
    let steps = format!("{}%di{}", "+0(".repeat(15), ")".repeat(15));
    let long = format!("p:x f{}", format!(" {steps}").repeat(20));
    assert!(
        payload(&long).unwrap_err().contains("does not fit"),
        "{long}"
    );
    let rate = Definition::new("p:x f", 2_000_000).unwrap_err();
    assert!(rate.to_string().contains("at most 1000000"));
}

#[test]
fn probe_def_sets_are_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        ProbeSet::read(&path).map_err(|error| error.to_string())
    };
    let set =
        read("set = 'files'\n[[probe]]\ndefine = 'p:a f'\nrate = 0\n[[probe]]\ndefine = 'r:b f'");
    let set = set.unwrap();
    let rates: Vec<Option<u32>> = set.probes.iter().map(|probe| probe.rate).collect();
    assert_eq!(
        (set.set.as_str(), &rates[..]),
        ("files", &[Some(0), None][..])
    );
    for (text, part) in [
        ("", "missing field `set`"),
        ("set = 'x'", "missing field `probe`"),
        ("set = 'x'\nprobe = 1", "invalid type"),
        (
            "set = 'x'\n[[probe]]\ndefine = 'p:a f'\nrates = 1",
            "unknown field `rates`",
        ),
        (
            "set = 'x'\n[[probe]]\ndefine = 'p:a f a=%no'",
            "there is no register \"no\"",
        ),
        (
            "set = 'x'\n[[probe]]\ndefine = 'p:a f'\nrate = 1000001",
            "at most 1000000",
        ),
    ] {
        let error = read(text).expect_err(text);
        assert!(
            error.contains(part) && error.contains("set.toml"),
            "{error}"
        );
    }
    std::fs::remove_file(&path).unwrap();
    let error = ProbeSet::read(&path).unwrap_err().to_string();
    assert!(error.contains("set.toml: No such file"), "{error}");
}

/// Each bound of the driver's, overstepped.
#[test]
fn probe_def_that_lies_is_refused() {
    let text = "p:x f a=+0(%di):u32 b=@s:string c=+4(%si):b4@8/32 if a == 1";
    let good = payload(text).unwrap();
    let world = some_world();
    let mut driver = Driver::start();
    assert!(driver.fetch(&good, &world).is_some());
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let head = size_of::<wire::ProbeDef>();
    // Behind the names: the arguments' heads, names, symbols and steps.
    let a = head + 2;
    let b = a + 8 + 1 + 2 * 16;
    let c = b + 8 + 1 + 1 + 2 * 16;
    let bad = [
        ("a kind", with(16, 4)),
        ("no kind", with(16, 0)),
        ("an offset", with(7, 1)),
        ("a rate", with(11, 1)),
        ("calls of no return", with(12, 1)),
        ("a filter too long", with(14, good[14] + 2)),
        ("a filter too short", with(14, good[14] - 2)),
        ("a stack", with(17, 65)),
        ("more arguments", with(18, 4)),
        ("fewer arguments", with(18, 2)),
        ("too many arguments", with(18, 33)),
        ("no name", with(19, 0)),
        ("a long name", with(19, 64)),
        ("no symbol", with(20, 0)),
        ("a long symbol", with(20, 201)),
        ("a reserved byte", with(21, 1)),
        ("a name of digits", with(head, b'1')),
        ("a symbol of blanks", with(head + 1, b' ')),
        ("a count of no array", with(a, 1)),
        ("a type", with(a + 2, 4)),
        ("a size", with(a + 3, 3)),
        ("a flag", with(a + 4, 8)),
        ("an argument without a name", with(a + 5, 0)),
        ("a symbol of a register", with(a + 6, 1)),
        ("no steps", with(a + 7, 0)),
        ("too many steps", with(a + 7, 17)),
        ("an argument's name of digits", with(a + 8, b'1')),
        ("a register", with(a + 9, 18)),
        ("a base that is none", with(a + 9 + 8, 0)),
        ("a base of a return", with(a + 9 + 8, 3)),
        ("a base that loads", with(a + 9 + 8, 9)),
        ("a size of what loads nothing", with(a + 9 + 9, 8)),
        ("a step's reserved byte", with(a + 9 + 10, 1)),
        ("a base again", with(a + 9 + 16 + 8, 1)),
        ("a step that is none", with(a + 9 + 16 + 8, 12)),
        ("a load of another size", with(a + 9 + 16 + 9, 8)),
        ("a text of a few bytes", with(b + 1, 0)),
        ("a text with a flag", with(b + 4, 1)),
        ("a step without its symbol", with(b + 6, 0)),
        ("a text that is not in memory", with(b + 7, 1)),
        ("bits that are loaded", with(c + 9 + 16 + 8, 11)),
        ("bits beyond a word", with(c + 9 + 32, 64)),
        ("bits far beyond", with(c + 9 + 34, 1)),
        ("a short one", good[..good.len() - 1].to_vec()),
        ("a long one", [&good[..], &[0]].concat()),
        ("a head only", good[..head].to_vec()),
        ("less than a head", good[..head - 1].to_vec()),
        ("nothing", Vec::new()),
    ];
    for (what, bad) in bad {
        assert_eq!(driver.fetch(&bad, &world), None, "{what}");
    }
}

fn some_world() -> driver::World {
    driver::World {
        registers: vec![driver::KERNEL; 18],
        stack: vec![0; 16],
        args: vec![0; 12],
        ip: 1,
        parent_ip: 2,
        comm: vec![0; 16],
        kernel: vec![0; driver::BYTES],
        user: vec![0; driver::BYTES],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn probe_def_fetches_what_it_says(
        cases in proptest::collection::vec((model(), world()), 32)
    ) {
        let mut driver = Driver::start();
        for (model, world) in cases {
            let text = model.to_string();
            let payload = payload(&text);
            prop_assert!(payload.is_ok(), "{}: {:?}", text, payload);
            let fetched = driver.fetch(&payload.unwrap(), &world);
            prop_assert_eq!(fetched, Some(model.fetch(&world)), "{}", text);
        }
    }

    /// Sanitizers and the interpreter's own bounds watch.
    #[test]
    fn probe_def_of_any_bytes_is_bounded(
        cases in proptest::collection::vec((
            model(),
            proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            any::<prop::sample::Index>(),
            any::<bool>(),
        ), 32),
        world in world(),
    ) {
        let mut driver = Driver::start();
        for (model, changes, cut, is_cut) in cases {
            let mut bytes = payload(&model.to_string()).unwrap();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if is_cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            driver.fetch(&bytes, &world);
        }
    }

    #[test]
    fn probe_def_text_of_any_kind_never_panics(
        text in prop_oneof![
            any::<String>(),
            "[prt][0-9]{0,5}:[a-z]{0,3} [a-z+0-9]{0,5}( [a-z$%@+\\\\():=0-9\\[\\]u/-]{0,16}){0,4}",
            model().prop_map(|model| model.to_string()),
        ],
        cut in any::<prop::sample::Index>(),
    ) {
        let _ = payload(&text);
        let cut = (0..=cut.index(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at));
        let _ = payload(&text[..cut.unwrap_or(0)]);
    }
}
