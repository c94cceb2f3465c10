//! `events`.

use super::Target;
use crate::control::{Reply, Request};

/// Arguments of `events`.
#[derive(Debug, clap::Args)]
pub struct EventsArgs {
    #[command(flatten)]
    target: Target,
    /// List the guest's events; those that are enabled have a star.
    #[arg(long, conflicts_with_all = ["enable", "disable"])]
    list: bool,
    /// Enable events: patterns with * and ?, or `syscalls`, with commas
    /// between them.
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    enable: Vec<String>,
    /// Disable events, before others are enabled.
    #[arg(long, value_name = "PATTERNS", value_delimiter = ',')]
    disable: Vec<String>,
}

impl EventsArgs {
    /// Change what is enabled, or list it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        if self.list || (self.enable.is_empty() && self.disable.is_empty()) {
            return self.list();
        }
        let vm = self.target.vm.clone();
        let mut client = self.target.connect()?;
        let reply = client.ask(Request::Change {
            enable: self.enable,
            disable: self.disable,
        })?;
        let Reply::Changed {
            enabled,
            unmatched,
            remembered,
            errors,
        } = reply
        else {
            return Err(client.unexpected().into());
        };
        for pattern in &unmatched {
            eprintln!(
                "vhost-trace: VM {vm}: no event is called {pattern} (`vhost-trace events {vm} \
                 --list` shows all); it is remembered for events that may come"
            );
        }
        if remembered {
            println!("VM {vm}: remembered; it takes effect when the guest's driver starts");
        } else {
            println!("VM {vm}: {enabled} events are enabled");
        }
        if !errors.is_empty() {
            return Err(format!("VM {vm}: {}", errors.join("; ")).into());
        }
        Ok(())
    }

    fn list(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        let Reply::Events { rules, events } = client.ask(Request::Events)? else {
            return Err(client.unexpected().into());
        };
        for event in &events {
            println!("{} {}", if event.enabled { '*' } else { ' ' }, event.name);
        }
        if events.is_empty() {
            let vm = &self.target.vm;
            eprintln!("vhost-trace: VM {vm}: the guest's driver has not told of any events yet");
            for rule in rules {
                println!("{rule}");
            }
        }
        Ok(())
    }
}
