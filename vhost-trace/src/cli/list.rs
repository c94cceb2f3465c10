//! `list`.

use super::Place;
use crate::control::{Client, ClientError, Reply, Request};

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: Place,
}

impl ListArgs {
    /// A line for each VM: its name and how it is.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let run_dir = self.place.find()?;
        for vm in run_dir.vms()? {
            let state = match Client::connect(&run_dir, &vm) {
                Ok(mut client) => match client.ask(Request::Status) {
                    Ok(Reply::Status(status)) => match (&status.driver, status.front_end) {
                        (Some(driver), _) => format!("{} (epoch {})", driver.phase, driver.epoch),
                        (None, true) => "no driver".into(),
                        (None, false) => "no front end".into(),
                    },
                    Ok(_) => client.unexpected().to_string(),
                    Err(error) => error.to_string(),
                },
                Err(ClientError::Dead { .. }) => "dead".into(),
                Err(error) => error.to_string(),
            };
            println!("{vm}\t{state}");
        }
        Ok(())
    }
}
