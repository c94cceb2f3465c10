//! Random scripts for the hostile guest.

use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::hostile;

proptest! {
    #![proptest_config(Config { cases: 3000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn ring_survives_lies(script in prop::collection::vec(any::<u8>(), 0..2000)) {
        hostile::run(&script);
    }
}
