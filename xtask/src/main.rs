//! The tasks of the vhost-trace workspace.

mod demo;
mod kernels;
mod ring;
mod steps;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::Lab;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The tasks of the vhost-trace workspace")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Trace a guest that this boots, and show its events
    Demo,
    /// Prepare the laboratory of the tests and say where things are
    Lab,
    /// Measure, and report: `cargo xtask bench help` says what there is
    Bench {
        /// The benchmark and its options
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run the tests: the default tier takes less than 30 minutes on 2 cores
    Test {
        /// Only the steps whose name begins with this, and the tests whose
        /// name contains it
        name: Option<String>,
        /// What takes longer, too
        #[arg(long)]
        full: bool,
    },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        Task::Demo => demo::demo().map(|()| true),
        Task::Lab => show_lab().map(|()| true),
        Task::Bench { args } => bench(&args),
        Task::Test { name, full } => test::test(name.as_deref(), full),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &[String]) -> Result<bool> {
    let mut cargo = test::cargo();
    cargo.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "vhost-trace-benches",
        "--",
    ]);
    Ok(cargo.args(args).status()?.success())
}

fn show_lab() -> Result<()> {
    let lab = Lab::prepare()?;
    println!("cache:   {}", lab::cache_dir().display());
    println!("qemu:    {}", lab.qemu.program.display());
    println!("         {}", lab.qemu.version);
    println!("accel:   {}", lab.accel.qemu_arg());
    println!("kernel:  {}", lab.kernel.release);
    println!("image:   {}", lab.kernel.image.display());
    println!("modules: {}", lab.kernel.modules_dir.display());
    Ok(())
}
