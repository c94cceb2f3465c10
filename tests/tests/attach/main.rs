//! The device of a guest that runs: plugged in, looked at, and unplugged.

mod cycles;
mod dead_serve;
mod driver;
mod guest_side;
mod libvirt;
mod machines;
mod migration;
#[path = "../trace/numbers.rs"]
#[allow(dead_code, reason = "the tests of traces use the rest")]
mod numbers;
mod refusals;
mod report;
mod rig;
mod snapshot;
