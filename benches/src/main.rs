//! The benchmarks: `cargo xtask bench`.

mod detect;
mod heartbeat;
mod report;
mod service;
mod stamp;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", about = "The benchmarks of vhost-trace")]
struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// How soon the host acts when a service in the guest is killed, by a signal
    /// and by the out-of-memory killer, beside heartbeats that poll it
    Detect {
        /// Of each kind; one takes up to 15 s
        #[arg(long, default_value_t = 20)]
        runs: u32,
    },
    /// What `watch` runs: says in this file when it came to run
    #[command(hide = true)]
    Stamp { file: PathBuf },
}

fn main() -> Result<()> {
    match Args::parse().bench {
        Bench::Detect { runs } => detect::detect(runs),
        Bench::Stamp { file } => stamp::put(&file),
    }
}
