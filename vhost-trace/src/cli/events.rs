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
    /// between them; with ` if FILTER` behind them those that pass it, as in
    /// 'sched_switch if prev_prio < 0 && next_comm == "db*"'. Without, a filter
    /// that they had is gone.
    #[arg(long, value_name = "PATTERNS[ if FILTER]")]
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
            enable: self.enable.iter().flat_map(|text| rules(text)).collect(),
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
            let star = if event.enabled { '*' } else { ' ' };
            match &event.filter {
                Some(filter) => println!("{star} {} if {filter}", event.name),
                None => println!("{star} {}", event.name),
            }
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

/// The rules of an argument: a filter is one for all its patterns.
fn rules(text: &str) -> Vec<String> {
    let (patterns, filter) = match text.split_once(" if ") {
        Some((patterns, filter)) => (patterns, format!(" if {filter}")),
        None => (text, String::new()),
    };
    let patterns = patterns.split(',');
    patterns
        .map(|pattern| format!("{pattern}{filter}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn filter_is_one_for_all_patterns() {
        assert_eq!(rules("a,b*"), ["a", "b*"]);
        assert_eq!(
            rules("a,b if comm == \"x, if y\""),
            ["a if comm == \"x, if y\"", "b if comm == \"x, if y\""]
        );
    }
}
