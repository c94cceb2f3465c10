//! The examples of the documentation.

use std::fs;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{read_trace, workspace_dir};

use crate::rig::{Rig, SMALL, TIME};

/// The blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    blocks
        .filter_map(|rest| rest.split_once("```").map(|block| block.0))
        .collect()
}

/// The words of a line, as a shell makes them; only single quotes are in use.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn probe_def_examples_of_the_documentation_work() -> Result<()> {
    let text = fs::read_to_string(workspace_dir().join("docs/probes.md"))?;
    let text = text
        .split_once("## Probe definitions")
        .context("no definitions")?
        .1;
    let text = text.split("\n## ").next().unwrap_or(text);
    let mut rig = Rig::boot("web1", 1, SMALL)?;
    rig.load_driver()?;
    let set = rig.serve.dir().join("files.toml");
    fs::write(&set, blocks(text, "toml").concat())?;
    let mut commands = 0;
    for block in blocks(text, "sh") {
        for line in block.lines() {
            let line = line.replace("files.toml", &set.display().to_string());
            let words = words(line.strip_prefix("vhost-trace ").context(line.clone())?);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            if words[1] == "del" {
                let work = "cat /etc/none /init >/dev/null 2>&1; workload getppid 5";
                rig.guest.sh_within(work, TIME)?;
            }
            println!("{}", rig.serve.cli(&words)?.trim());
            commands += 1;
        }
    }
    ensure!(commands > 8);
    rig.finish()?;
    let summary = read_trace(&rig.serve.trace(), |_| Ok(()))?;
    println!("{:?}", summary.names);
    for name in ["opens", "failed", "parents", "wakes", "opened"] {
        assert!(summary.count(name) > 0, "{name}: {:?}", summary.names);
    }
    Ok(())
}
