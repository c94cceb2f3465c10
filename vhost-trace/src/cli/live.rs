//! `live`.

use std::io::{self, ErrorKind, Write};

use super::Target;
use crate::control::{Reply, Request};

/// Arguments of `live`.
#[derive(Debug, clap::Args)]
pub struct LiveArgs {
    #[command(flatten)]
    target: Target,
    /// A JSON object a line.
    #[arg(long)]
    json: bool,
}

impl LiveArgs {
    /// Print lines until the serve ends, or nobody reads them any more.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        client.send(Request::Live { json: self.json })?;
        let mut out = io::stdout().lock();
        let mut told = (0, 0);
        while let Some(reply) = client.receive()? {
            let Reply::Lines {
                lines,
                missed,
                lost,
            } = reply
            else {
                return Err(client.unexpected().into());
            };
            match print(&mut out, &lines) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                result => result?,
            }
            if told != (missed, lost) {
                let (more_missed, more_lost) = (missed - told.0, lost - told.1);
                if more_missed > 0 {
                    eprintln!("vhost-trace: {more_missed} events not shown: they came too fast");
                }
                if more_lost > 0 {
                    eprintln!("vhost-trace: {more_lost} events lost: the guest's rings were full");
                }
                told = (missed, lost);
            }
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, lines: &[String]) -> io::Result<()> {
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}
