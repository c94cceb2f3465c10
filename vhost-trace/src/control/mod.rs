//! The control socket of a VM: how the commands talk to its `serve`. Whoever
//! may open the socket, which is the user that runs `serve` alone, may do
//! everything.

mod change;
mod client;
mod connection;
mod message;
mod module;
mod pending;
mod probe;
mod server;
mod status;

pub use client::{Client, ClientError, DEAD_SERVE};
pub use connection::Connection;
pub use message::{Event, NewProbe, Probe, ProbeAction, Reply, Request};
pub use module::ModuleWish;
pub use server::{Facts, Server};
pub use status::{DriverStatus, Policy, Status};
