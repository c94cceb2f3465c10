//! Stop, restart and reset of the queues. The front end tells all three in the
//! same way: the queues are stopped, and perhaps started again later.

use vhost_user_backend::VringT;
use vm_memory::GuestAddressSpace;

use super::{Device, Queues, queue};
use crate::session::Memory;

impl Device {
    /// A queue is stopped; the front end waits for this to return. With the
    /// first of them the epoch ends: afterwards nothing of ours writes to the
    /// guest's memory but what the queues ask for.
    pub(super) fn stop_queue(&self, index: u32) {
        let mut queues = self.queues();
        let this = index as usize;
        if queues.stopped_at.is_some() {
            if !std::mem::replace(&mut queues.stopped[this], true) {
                return;
            }
            // The guest ran for so short a time that nobody has noticed.
            self.ran(&mut queues);
        }
        let Some(control) = queues.vrings.first().cloned() else {
            return;
        };
        log::info!("VM {}: queue {index} is stopped", self.vm.name());
        queues.stopped_at = Some(control.0.queue_next_avail());
        queues.stopped = Default::default();
        queues.stopped[this] = true;
        self.vm.with_session(|session| session.stop());
        // Not while the drain works: the queues' thread may want the lock.
        drop(queues);
        let released = self.vm.drain().stop();
        let mut queues = self.queues();
        self.answer_released(&mut queues, &released);
        queues.unanswered.clear();
        queues.broken = Default::default();
    }

    /// A queue has something to do: if it was stopped, find out who is there.
    /// The control queue goes on where it was after a pause of the VM; a new
    /// driver begins at its start.
    pub(super) fn after_stop(&self, queues: &mut Queues) {
        let control = queues.vrings.first();
        if control.is_some_and(|control| queue::is_running(&control.0)) {
            self.ran(queues);
        }
    }

    /// The front end has left, perhaps before anybody noticed that it had
    /// started the queues again.
    pub fn left(&self) {
        self.after_stop(&mut self.queues());
    }

    /// The queues were started again after a stop.
    fn ran(&self, queues: &mut Queues) {
        let Some(stopped_at) = queues.stopped_at.take() else {
            return;
        };
        let Some(control) = queues.vrings.first() else {
            return;
        };
        let as_left = control.0.queue_next_avail() == stopped_at;
        self.vm.with_session(|session| {
            if as_left {
                session.restart();
            } else {
                session.forget();
            }
        });
    }

    /// The front end has another memory table.
    pub(super) fn memory_changed(&self) -> std::io::Result<()> {
        let mem = self.mem.memory();
        let mut queues = self.queues();
        queues.map.update(&mem)?;
        let memory = Memory {
            mem: &mem,
            map: &queues.map,
        };
        self.vm
            .with_session(|session| session.memory_changed(&memory));
        drop(queues);
        // What was removed is not touched any more when the front end goes on.
        self.vm.drain().settle();
        Ok(())
    }

    /// Something happened to a queue that has buffers, or to us.
    pub(super) fn on_event(&self) {
        let mut queues = self.queues();
        let [control, commands] = [0, 1].map(|index| queues.vrings[index].0.clone());
        self.after_stop(&mut queues);
        let released = self.vm.drain().take_released();
        if !released.is_empty() {
            self.answer_released(&mut queues, &released);
        }
        if queue::is_running(&control) && self.serve_control(&mut queues, &control) {
            self.wake();
        }
        self.send_commands(&mut queues, &commands);
    }
}
