//! The command `vhost-trace`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info"))
        .format_timestamp_millis()
        .init();
    match vhost_trace::cli::Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("vhost-trace: {error}");
            ExitCode::FAILURE
        }
    }
}
