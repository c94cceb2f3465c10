//! The driver's writer and the reference writer against the reader: every
//! interleaving of nested writers, and death at every step.
#![cfg(not(loom))]

mod clocks;
mod compile;
mod faults;
mod geometry;
mod host;
mod hostile;
mod kicks;
mod layout;
mod lies;
mod machine;
mod memory;
mod oracle;
mod parse;
mod random;
mod reading;
mod reference;
mod scenario;
mod stepped;
mod tape;
