//! Kernel traces of virtual machines, read by the host from memory that it
//! shares with the guest.
//!
//! One `serve` process per VM is the device ([`device`]) and reads the rings
//! ([`drain`]); the rest of the command line ([`cli`]) talks to it over a
//! control socket ([`control`]). `docs/architecture.md` has the whole picture.

pub mod attach;
pub mod check;
pub mod cli;
pub mod config;
pub mod context;
pub mod control;
pub mod device;
pub mod drain;
pub mod driver;
pub mod filter;
pub mod guest;
pub mod live;
pub mod monitor;
pub mod outbox;
pub mod probe;
pub mod serve;
pub mod session;
pub mod signals;
pub mod vm;
pub mod wire;
