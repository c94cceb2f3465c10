//! The event queue: commands of ours into buffers of the driver's.

use vhost_user_backend::VringRwLock;
use vm_memory::GuestAddressSpace;

use super::pace::PER_TURN;
use super::queue::{self, Next};
use super::{Device, Queues};
use crate::wire;

impl Device {
    /// Send what waits, as far as the driver has buffers for it.
    pub(super) fn send_commands(&self, queues: &mut Queues, vring: &VringRwLock) {
        let index = wire::VQ_EVENT;
        if queues.broken[usize::from(index)] || !queue::is_running(vring) {
            return;
        }
        let mem = self.mem.memory();
        if queue::has_more(vring, &mem) {
            self.vm.with_session(|session| {
                session.reconcile();
            });
        }
        for _ in 0..PER_TURN {
            let Some(command) = self.vm.with_session(|session| session.commands().next()) else {
                break;
            };
            match queue::next(vring, &mem, 0) {
                Next::Chain { head, chain } => {
                    let written = chain.and_then(|chain| chain.room.write(&mem, &command));
                    match written {
                        Ok(len) => {
                            self.vm.with_session(|session| session.commands().sent());
                            queue::give_back(vring, head, len);
                        }
                        Err(error) => {
                            self.vm.complain(format_args!("event queue: {error}"));
                            queue::give_back(vring, head, 0);
                        }
                    }
                }
                Next::None => break,
                Next::Broken(error) => {
                    self.give_up(queues, index, error);
                    break;
                }
            }
        }
        queue::notify(vring);
    }
}
