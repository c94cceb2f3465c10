//! `stop`.

use super::Target;
use crate::control::{Reply, Request};

/// Arguments of `stop`.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    #[command(flatten)]
    target: Target,
}

impl StopArgs {
    /// Ask, and wait until the serve has ended.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        match client.ask(Request::Stop)? {
            Reply::Stopping => {}
            _ => return Err(client.unexpected().into()),
        }
        // Its end of the socket goes with it.
        while client.receive()?.is_some() {}
        Ok(())
    }
}
