//! Where a device can be plugged in while the VM runs.

use std::collections::BTreeSet;

use host_sink::escape::printable;
use serde_json::Value;

use super::machine::PLACES;
use super::obstacle::{Judgement, Obstacle};
use crate::monitor::{Monitor, MonitorError};

/// Devices with room for one other behind them.
const PORTS: [&str; 2] = ["pcie-root-port", "xio3130-downstream"];

/// i440FX's root bus, which takes devices by itself.
const I440FX_BUS: &str = "/machine/i440fx/pci.0";

/// Name of a bus that has room for a device.
pub fn find_slot(monitor: &mut Monitor) -> Result<Judgement, MonitorError> {
    let mut ports = Vec::new();
    let mut in_use = BTreeSet::new();
    for place in PLACES {
        for (name, kind) in monitor.children(place)? {
            let path = format!("{place}/{name}");
            if let Some(Value::String(bus)) = monitor.property(&path, "parent_bus")? {
                in_use.insert(bus);
            }
            if PORTS.contains(&kind.as_str()) {
                ports.push(path);
            }
        }
    }
    for port in &ports {
        if monitor.property(port, "hotplug")? == Some(false.into()) {
            continue;
        }
        for (bus, kind) in monitor.children(port)? {
            if kind == "PCIE" && !in_use.contains(&format!("{port}/{bus}")) {
                return Ok(Ok(bus));
            }
        }
    }
    if monitor.property(I440FX_BUS, "type")?.is_some() {
        return Ok(Ok("pci.0".into()));
    }
    let kind = monitor.property("/machine", "type")?;
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("machine");
    let found = match ports.len() {
        0 => "it has no pcie-root-port".to_owned(),
        n => format!("none of its {n} PCI Express ports is free for hot plug"),
    };
    Ok(Err(Obstacle::new(
        format!(
            "no free hot-pluggable slot in this VM ({}): {found}",
            printable(kind.as_bytes())
        ),
        "unplug another device, or say another bus with --bus; else start the VM with a free port \
         (q35: `-device pcie-root-port,id=vtrace-port,chassis=100`; microvm has no hot plug: give \
         it the device at its start, with `vhost-trace qemu-args`)",
    )))
}
