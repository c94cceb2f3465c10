//! What the vhost-user crate asks of a device.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use vhost::vhost_user::message::VhostUserProtocolFeatures;
use vhost_user_backend::{VhostUserBackend, VringRwLock};
use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_ring::{
    VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC,
};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use super::{Device, Queues, Vring, config_space};
use crate::vm::Vm;
use crate::wire;

/// VHOST_USER_F_PROTOCOL_FEATURES.
const PROTOCOL_FEATURES: u32 = 30;

/// Entries of a queue, at most.
pub const QUEUE_SIZE: usize = 1024;

/// The event of [`Device::wake_fd`]: behind the queues and the crate's own.
pub const WAKE_EVENT: u16 = wire::NUM_VQS as u16 + 1;

impl Device {
    /// A device for a new connection of the VM's front end.
    pub fn new(vm: Arc<Vm>, mem: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<Arc<Device>> {
        let event = || new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC);
        let exit = event()?;
        Ok(Arc::new(Device {
            vm,
            mem,
            queues: Mutex::new(Queues::default()),
            rung: AtomicBool::new(false),
            wake: event()?,
            exit_fd: exit.0.as_raw_fd(),
            exit: Mutex::new(Some(exit)),
        }))
    }

    /// The descriptor that ends the queues' thread, which that thread does not
    /// close.
    pub fn exit_fd(&self) -> RawFd {
        self.exit_fd
    }

    /// To be listened to by the queues' thread, as [`WAKE_EVENT`].
    pub fn wake_fd(&self) -> &EventConsumer {
        &self.wake.0
    }

    /// Wakes the queues' thread.
    pub fn waker(&self) -> io::Result<EventNotifier> {
        self.wake.1.try_clone()
    }

    pub(super) fn wake(&self) {
        if let Err(error) = self.wake.1.notify() {
            log::error!("VM {}: cannot wake the queues: {error}", self.vm.name());
        }
    }
}

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = VringRwLock;

    fn num_queues(&self) -> usize {
        wire::NUM_VQS
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1
            | 1 << VIRTIO_RING_F_INDIRECT_DESC
            | 1 << VIRTIO_RING_F_EVENT_IDX
            | 1 << PROTOCOL_FEATURES
            | 1 << wire::F_FILTER
            | 1 << wire::F_MODULE
            | 1 << wire::F_PROBE
            | 1 << wire::F_WATCH
    }

    fn acked_features(&self, features: u64) {
        self.vm
            .with_session(|session| session.set_features(features));
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
    }

    fn set_event_idx(&self, _enabled: bool) {
        // The crate's queues know it already.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        config_space::read(self.vm.config_space(), offset, size)
    }

    fn set_config(&self, _offset: u32, _buf: &[u8]) -> io::Result<()> {
        // An error would end the connection with the front end.
        self.vm
            .complain(format_args!("the configuration space is read-only"));
        Ok(())
    }

    fn update_memory(&self, _mem: GuestMemoryAtomic<GuestMemoryMmap>) -> io::Result<()> {
        self.memory_changed()
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        let mut exit = self
            .exit
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        exit.take()
    }

    fn stop_vring(&self, queue_index: u32) -> io::Result<()> {
        if queue_index == u32::from(wire::VQ_DOORBELL) {
            self.rung.store(false, Ordering::Relaxed);
        }
        self.stop_queue(queue_index);
        Ok(())
    }

    fn handle_event(
        &self,
        device_event: u16,
        _evset: EventSet,
        vrings: &[VringRwLock],
        _thread_id: usize,
    ) -> io::Result<()> {
        if device_event == wire::VQ_DOORBELL {
            if self.rung.swap(true, Ordering::Relaxed) {
                self.vm.kicked();
            }
            return Ok(());
        }
        if device_event == WAKE_EVENT {
            // Nothing to read: another event has emptied it already.
            let _ = self.wake.0.consume();
        }
        {
            let mut queues = self.queues();
            if queues.vrings.is_empty() {
                queues.vrings = vrings.iter().cloned().map(Vring).collect();
            }
        }
        // An error here would end the queues' thread for good.
        self.on_event();
        Ok(())
    }
}
