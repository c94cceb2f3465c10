//! The whole way: a real guest, the driver, `serve`, babeltrace2.

mod analyses;
mod calls;
mod compass;
mod contexts;
mod events;
mod exact;
mod filter;
mod hostile;
mod kernels;
mod kinds;
mod life;
mod numbers;
mod overwrite;
mod restart;
mod rig;
mod rings;
mod schema;
mod size;
mod state;
mod stress;
mod watch;
mod zero_copy;
