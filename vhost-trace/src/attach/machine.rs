//! A QEMU that runs: whether it can have the device, and whether it has it.

use host_sink::escape::printable;
use serde_json::{Value, json};

use super::device::{DEVICE, ID};
use super::obstacle::{Judgement, Obstacle};
use crate::cli::check_id;
use crate::monitor::{Monitor, MonitorError};

/// Where QEMU keeps devices with an id, and those without.
pub(super) const PLACES: [&str; 2] = ["/machine/peripheral", "/machine/peripheral-anon"];

/// Path of the trace device among QEMU's objects, if it is there.
pub fn find_device(monitor: &mut Monitor) -> Result<Option<String>, MonitorError> {
    for place in PLACES {
        for (name, kind) in monitor.children(place)? {
            let path = format!("{place}/{name}");
            // Another one of that type may be another backend's.
            if kind == DEVICE && monitor.property(&path, "chardev")? == Some(ID.into()) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Whether the trace device's chardev is there.
pub fn has_chardev(monitor: &mut Monitor) -> Result<bool, MonitorError> {
    let list = monitor.ask("query-chardev", json!({}))?;
    Ok(entries(&list).iter().any(|chardev| chardev["label"] == ID))
}

/// Whether this QEMU knows the device.
pub fn judge_type(monitor: &mut Monitor) -> Result<Judgement, MonitorError> {
    let version = monitor.ask("query-version", json!({}))?;
    let number = |key| version["qemu"][key].as_u64().unwrap_or(0);
    let version = format!(
        "QEMU {}.{}.{}",
        number("major"),
        number("minor"),
        number("micro")
    );
    let types = match monitor.ask("qom-list-types", json!({ "implements": DEVICE })) {
        Ok(types) => types,
        Err(MonitorError::Refused { .. }) => Value::Null,
        Err(error) => return Err(error),
    };
    Ok(
        if entries(&types).iter().any(|kind| kind["name"] == DEVICE) {
            Ok(format!("{version} has {DEVICE}"))
        } else {
            Err(Obstacle::new(
                format!("{version} has no {DEVICE}"),
                "start the VM with QEMU 11.1 or later",
            ))
        },
    )
}

/// Whether all of the VM's memory can be seen by other processes.
pub fn judge_memory(monitor: &mut Monitor) -> Result<Judgement, MonitorError> {
    let list = monitor.ask("query-memdev", json!({}))?;
    let id = |memory: &Value| printable(memory["id"].as_str().unwrap_or("?").as_bytes());
    let memories = entries(&list);
    let private: Vec<String> = memories
        .iter()
        .filter(|memory| memory["share"] != true)
        .map(id)
        .collect();
    const REMEDY: &str = "this cannot be changed while the VM runs, and without it no host process \
         can trace the VM: start it with `-object memory-backend-memfd,id=vtrace-mem,size=SIZE,\
         share=on -machine memory-backend=vtrace-mem` (`vhost-trace qemu-args VM --memory SIZE` \
         prints it; in libvirt: <memoryBacking><source type='memfd'/><access mode='shared'/>\
         </memoryBacking>)";
    Ok(if !private.is_empty() {
        Err(Obstacle::new(
            format!("memory {} is not shared", private.join(", ")),
            REMEDY,
        ))
    } else if memories.is_empty() {
        Err(Obstacle::new("QEMU tells of no memory backend", REMEDY))
    } else {
        let all: Vec<String> = memories.iter().map(id).collect();
        Ok(format!("memory {} is shared", all.join(", ")))
    })
}

/// Whether QEMU and Linux leave this virtio id to us.
pub fn judge_id(id: u32) -> Judgement {
    match check_id(id) {
        Ok(()) => Ok(format!("virtio id {id} is free")),
        Err(error) => Err(Obstacle::new(
            error.to_string(),
            "`vhost-trace serve --virtio-id ID`, and the driver's parameter virtio_id",
        )),
    }
}

/// Whether the guest can answer: devices come and go with its help.
pub fn judge_state(monitor: &mut Monitor) -> Result<Judgement, MonitorError> {
    let status = monitor.ask("query-status", json!({}))?;
    let state = printable(status["status"].as_str().unwrap_or("?").as_bytes());
    let remedy = match state.as_str() {
        "running" => return Ok(Ok("the VM runs".into())),
        "inmigrate" => {
            "a device that its source does not have would break the migration; wait \
             for its end"
        }
        "postmigrate" | "finish-migrate" => {
            "the VM goes on elsewhere: use the QEMU that it moved \
             to"
        }
        "guest-panicked" | "internal-error" | "shutdown" | "io-error" => {
            "what its driver wrote before can be read; a guest without a driver that is dead \
             already cannot be traced any more: start it again"
        }
        _ => "let it go on first (QMP `cont`, or `virsh resume`)",
    };
    Ok(Err(Obstacle::new(
        format!("the VM does not run ({state})"),
        remedy,
    )))
}

pub(super) fn entries(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
