//! Probes that the host puts into a guest's kernel, and what acts on them.

mod agent;
mod definitions;
mod examples;
mod figures;
mod modules;
mod refusals;
#[path = "../trace/rig.rs"]
#[allow(dead_code, reason = "the tests of traces use the rest")]
mod rig;
mod watch;
mod watcher;
