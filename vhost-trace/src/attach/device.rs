//! The device as QEMU is to have it: the same on its command line and plugged
//! into a VM that runs.

use serde_json::{Map, Value, json};
use vm_memory::ByteValued;

use crate::wire;

/// The device that lets a backend be any virtio device.
pub const DEVICE: &str = "vhost-user-test-device-pci";

/// The same where there is no PCI.
pub const DEVICE_MMIO: &str = "vhost-user-test-device";

/// Id of the device, and of its chardev: one VM has one of them, so that it is
/// found again by its name.
pub const ID: &str = "vtrace";

/// Entries of each queue: requests come one at a time, commands by eights.
const VQ_SIZE: u32 = 64;

/// The device's properties with these names of QEMU's, in order.
fn properties(virtio_id: u32) -> [(&'static str, Value); 6] {
    let config_size = wire::Config::default().as_slice().len();
    [
        ("id", ID.into()),
        ("chardev", ID.into()),
        ("virtio-id", virtio_id.into()),
        ("num_vqs", wire::NUM_VQS.into()),
        ("vq_size", VQ_SIZE.into()),
        ("config_size", config_size.into()),
    ]
}

/// Value of `-chardev`.
pub fn chardev_option(socket: &str) -> String {
    // A comma in a value is written twice.
    format!("socket,id={ID},path={}", socket.replace(',', ",,"))
}

/// Value of `-device` for this device.
pub fn device_option(device: &str, virtio_id: u32) -> String {
    let mut option = device.to_owned();
    for (name, value) in properties(virtio_id) {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        option.push_str(&format!(",{name}={value}"));
    }
    option
}

/// Arguments of `chardev-add`.
pub fn chardev_arguments(socket: &str) -> Value {
    let addr = json!({ "type": "unix", "data": { "path": socket } });
    let data = json!({ "addr": addr, "server": false });
    json!({ "id": ID, "backend": { "type": "socket", "data": data } })
}

/// Arguments of `device_add`, for a device on this bus.
pub fn device_arguments(virtio_id: u32, bus: &str) -> Value {
    let properties = properties(virtio_id).map(|(name, value)| (name.to_owned(), value));
    let mut arguments = Map::from_iter(properties);
    arguments.insert("driver".into(), DEVICE.into());
    arguments.insert("bus".into(), bus.into());
    arguments.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attach_device_is_the_same_both_ways() {
        let option = device_option(DEVICE, 37);
        let arguments = device_arguments(37, "rp0");
        assert_eq!(arguments["driver"], DEVICE);
        for word in option.split(',').skip(1) {
            let (name, value) = word.split_once('=').unwrap();
            let there = &arguments[name];
            assert_eq!(
                there.as_str().map_or(there.to_string(), str::to_owned),
                value
            );
        }
        assert_eq!(arguments.as_object().unwrap().len(), 8);
    }
}
