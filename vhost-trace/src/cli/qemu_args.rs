//! `qemu-args`.

use std::path::PathBuf;

use super::{Place, qemu};
use crate::attach::device;
use crate::config::{ByteSize, DEFAULT_VIRTIO_ID, VmName};
use crate::control::{Client, Reply, Request};

/// QEMU's machine types for x86.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Machine {
    /// `-machine q35`
    #[default]
    Q35,
    /// `-machine pc`
    #[value(name = "i440fx", alias = "pc")]
    I440fx,
    /// `-machine microvm`, without PCI
    Microvm,
}

impl Machine {
    fn device(self) -> &'static str {
        match self {
            Machine::Q35 | Machine::I440fx => device::DEVICE,
            Machine::Microvm => device::DEVICE_MMIO,
        }
    }
}

/// Arguments of `qemu-args`.
#[derive(Debug, clap::Args)]
pub struct QemuArgs {
    /// Name of the VM.
    #[arg(value_name = "VM", required_unless_present = "socket_path")]
    vm: Option<VmName>,
    /// Socket of its serve [default: in the run directory].
    #[arg(short, long, value_name = "PATH")]
    socket_path: Option<PathBuf>,
    /// The QEMU that will get the arguments: it is asked whether it has the
    /// device.
    #[arg(long, value_name = "PATH", default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    /// Memory of the VM; prints the arguments that make it shared, too.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Machine type that the VM has.
    #[arg(long, value_enum, default_value_t)]
    machine: Machine,
    /// Virtio id of the device [default: what the serve says, or 37].
    #[arg(long, value_name = "ID")]
    virtio_id: Option<u32>,
    #[command(flatten)]
    place: Place,
}

impl QemuArgs {
    /// Print the arguments in one line, to be put into a command line.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let (mut socket, mut id) = (self.socket_path.clone(), self.virtio_id);
        if let Some(vm) = &self.vm {
            let run_dir = self.place.find()?;
            // Without a serve, where one would be.
            if (socket.is_none() || id.is_none())
                && let Ok(mut client) = Client::connect(&run_dir, vm)
                && let Reply::Status(status) = client.ask(Request::Status)?
            {
                socket = socket.or(Some(status.socket.into()));
                id = id.or(Some(status.virtio_id));
            }
            socket = socket.or_else(|| Some(run_dir.vhost_user(vm)));
        }
        let socket = socket.ok_or("no VM and no --socket-path")?;
        let socket = std::path::absolute(&socket)?;
        let socket = socket.to_str().ok_or("the socket's path is not UTF-8")?;
        if socket.contains(char::is_whitespace) {
            return Err(format!(
                "socket path {socket:?} has white space, which would part the arguments"
            )
            .into());
        }
        let id = id.unwrap_or(DEFAULT_VIRTIO_ID);
        qemu::check_id(id)?;
        let device = self.machine.device();
        qemu::check_device(&self.qemu, device)?;
        println!("{}", arguments(device, socket, id, self.memory).join(" "));
        Ok(())
    }
}

/// The arguments, word by word.
fn arguments(device: &str, socket: &str, id: u32, memory: Option<ByteSize>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    if let Some(size) = memory {
        option(
            "-object",
            format!("memory-backend-memfd,id=vtrace-mem,size={size},share=on"),
        );
        option("-machine", "memory-backend=vtrace-mem".into());
    }
    option("-chardev", device::chardev_option(socket));
    option("-device", device::device_option(device, id));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_qemu_args_are_complete() {
        let words = arguments(
            device::DEVICE,
            "/run/a,b.sock",
            37,
            Some("1G".parse().unwrap()),
        );
        assert_eq!(
            words.join(" "),
            "-object memory-backend-memfd,id=vtrace-mem,size=1073741824,share=on \
             -machine memory-backend=vtrace-mem \
             -chardev socket,id=vtrace,path=/run/a,,b.sock \
             -device vhost-user-test-device-pci,id=vtrace,chardev=vtrace,virtio-id=37,num_vqs=3,\
             vq_size=64,config_size=80"
        );
        assert_eq!(arguments(device::DEVICE, "/s", 37, None).len(), 4);
    }
}
