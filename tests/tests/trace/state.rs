//! The state dump, against what the guest's /proc and /sys say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Event, Guest};

/// What a guest begins with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Of the one task that is looked at: descriptors and what they are of.
    pub files: BTreeMap<i64, String>,
    /// The path of its cgroup.
    pub cgroup: String,
    /// Numbers and actions.
    pub interrupts: BTreeSet<(i64, String)>,
    /// Names and numbers as the kernel has them, major << 20 | minor.
    pub disks: BTreeSet<(String, i64)>,
    /// Names and addresses.
    pub interfaces: BTreeSet<(String, i64)>,
}

/// Of a guest, whose interfaces the test itself has made.
pub fn of_guest(guest: &Guest, tid: i64, interfaces: &[(&str, i64)]) -> Result<State> {
    let files = guest.sh(&format!(
        "cd /proc/{tid}/fd; for fd in *; do echo $fd $(readlink $fd); done"
    ))?;
    let cgroup = guest.sh(&format!("sed -n 's/^0:://p' /proc/{tid}/cgroup"))?;
    let interrupts = guest.sh("cat /proc/interrupts")?;
    let disks = guest.sh("cd /sys/class/block; for disk in *; do
             [ $(cat $disk/size) = 0 ] || echo $disk $(tr : ' ' <$disk/dev)
         done")?;
    let pairs = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
        lines.map(|(a, b)| (a.to_string(), b.to_string())).collect()
    };
    let mut state = State {
        cgroup: cgroup.trim().to_string(),
        ..State::default()
    };
    for (fd, name) in pairs(&files) {
        state.files.insert(fd.parse()?, name);
    }
    for (disk, numbers) in pairs(&disks) {
        let (major, minor) = numbers.split_once(' ').context("no numbers")?;
        let number = (major.parse::<i64>()? << 20) | minor.parse::<i64>()?;
        state.disks.insert((disk, number));
    }
    for (number, rest) in interrupts.lines().filter_map(|line| line.split_once(':')) {
        // ` 24:  1  PCI-MSI 49152-edge  virtio0-config`
        let actions = rest.rsplit("  ").next().unwrap_or("").trim();
        if let Ok(number) = number.trim().parse()
            && !actions.ends_with("-edge")
        {
            let actions = actions.split(", ").map(str::to_string);
            let actions = actions.map(|action| (number, action));
            state.interrupts.extend(actions);
        }
    }
    state.interfaces = interfaces
        .iter()
        .map(|(name, address)| (name.to_string(), *address))
        .collect();
    Ok(state)
}

/// What a trace says of it.
#[derive(Debug)]
pub struct Dump {
    tid: i64,
    table: Option<i64>,
    state: State,
}

impl Dump {
    /// Looks at the files and the cgroup of this task.
    pub fn of_task(tid: i64) -> Self {
        Self {
            tid,
            table: None,
            state: State::default(),
        }
    }

    /// Takes down what an event adds.
    pub fn visit(&mut self, event: &Event<'_>) -> Result<()> {
        let int = |name| event.int(name).with_context(|| format!("{event:?}"));
        let text = |name| {
            let text = event.text(name).map(|text| text.trim_matches('"'));
            text.map(str::to_string)
                .with_context(|| format!("{event:?}"))
        };
        let state = &mut self.state;
        match event.name {
            "lttng_statedump_process_state" if int("tid")? == self.tid => {
                self.table = Some(int("file_table_address")?);
            }
            "lttng_statedump_file_descriptor" if self.table == Some(int("file_table_address")?) => {
                ensure!(int("pid")? == self.tid, "{event:?}");
                state.files.insert(int("fd")?, text("filename")?);
            }
            "lttng_statedump_process_cgroup" if int("tid")? == self.tid => {
                state.cgroup = text("path")?;
            }
            "lttng_statedump_interrupt" => {
                state.interrupts.insert((int("irq")?, text("action")?));
            }
            "lttng_statedump_block_device" => {
                state.disks.insert((text("diskname")?, int("dev")?));
            }
            "lttng_statedump_network_interface" => {
                let interface = (text("name")?, int("address_ipv4")?);
                state.interfaces.insert(interface);
            }
            _ => {}
        }
        Ok(())
    }

    /// All of it.
    pub fn state(self) -> State {
        self.state
    }
}
