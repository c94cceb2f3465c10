//! The device of a guest that runs: plugged in, looked at, and unplugged.

mod cycles;
#[path = "../trace/numbers.rs"]
#[allow(dead_code, reason = "the tests of traces use the rest")]
mod numbers;
mod rig;
