//! Traces as babeltrace2 reads them.

use std::path::Path;
use std::process::Command;

/// What babeltrace2 says of a trace.
#[derive(Debug, Default)]
pub struct Reading {
    /// A line per event, time in cycles.
    pub lines: Vec<String>,
    /// Sum of its messages of discarded events.
    pub discarded: u64,
}

/// Reads all traces below `dir`. The reader must be content with them: exit
/// status 0, and nothing on its error output but discarded events, all counted.
pub fn read(dir: &Path) -> Reading {
    let output = Command::new("babeltrace2")
        .args(["--no-delta", "--clock-cycles"])
        .arg(dir)
        .output()
        .expect("babeltrace2 is installed (apt-get install babeltrace2)");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}: {errors}", output.status);
    let discarded = errors
        .lines()
        .filter(|line| !line.is_empty())
        .map(discarded)
        .sum();
    let lines = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(String::from)
        .collect();
    Reading { lines, discarded }
}

fn discarded(message: &str) -> u64 {
    let rest = message
        .split_once("WARNING: Tracer discarded ")
        .map(|(_, rest)| rest);
    let count = rest
        .and_then(|rest| rest.split_once(' '))
        .map(|(count, _)| count);
    match count.and_then(|count| count.parse().ok()) {
        Some(count) => count,
        None => panic!("babeltrace2 says: {message}"),
    }
}

impl Reading {
    /// The value of the unsigned field `name` in each line that has it.
    pub fn values(&self, name: &str) -> Vec<u64> {
        let pattern = format!(" {name} = ");
        let value = |line: &String| {
            let rest = line.split_once(&pattern)?.1;
            let end = rest.find([',', ' ']).unwrap_or(rest.len());
            Some(rest[..end].parse().unwrap())
        };
        self.lines.iter().filter_map(value).collect()
    }
}
