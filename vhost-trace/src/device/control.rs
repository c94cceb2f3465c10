//! The control queue: requests in, responses out, in bounds.

use std::time::Instant;

use vhost_user_backend::{VringRwLock, VringT};
use vm_memory::{ByteValued, GuestAddressSpace, GuestMemoryMmap};

use super::chain::Room;
use super::pace::PER_TURN;
use super::queue::{self, Next};
use super::{Device, Queues};
use crate::guest::sigbus;
use crate::session::{Answer, Memory};
use crate::wire::{self, Status};

/// Bytes of one request, its head included: the largest schema record fits.
pub const MAX_REQUEST: u32 = (64 << 10) + size_of::<wire::Req>() as u32;

/// A request whose response waits for the drain.
#[derive(Debug)]
pub struct Unanswered {
    ticket: u64,
    head: u16,
    room: Room,
}

impl Device {
    /// Do what the driver asks; `true`: there is more, for another turn.
    pub(super) fn serve_control(&self, queues: &mut Queues, vring: &VringRwLock) -> bool {
        let mem = self.mem.memory();
        if queues.broken[usize::from(wire::VQ_CONTROL)] {
            return false;
        }
        let mut more = false;
        for turn in 0.. {
            if turn == PER_TURN {
                more = true;
                break;
            }
            match queue::next(vring, &mem, MAX_REQUEST) {
                Next::Chain { head, chain } => match chain {
                    Ok(chain) => self.answer(queues, vring, &mem, head, chain),
                    Err(error) => {
                        self.vm.complain(format_args!("control queue: {error}"));
                        queue::give_back(vring, head, 0);
                    }
                },
                Next::None => {
                    // Look once more after asking to be told.
                    if !vring.enable_notification().unwrap_or(false) {
                        break;
                    }
                }
                Next::Broken(error) => {
                    self.give_up(queues, wire::VQ_CONTROL, error);
                    break;
                }
            }
            if let Some(rest) = queues.pace.count(Instant::now()) {
                // Holds up nobody but this guest's own queues.
                std::thread::sleep(rest);
            }
        }
        queue::notify(vring);
        more
    }

    fn answer(
        &self,
        queues: &mut Queues,
        vring: &VringRwLock,
        mem: &GuestMemoryMmap,
        head: u16,
        chain: super::chain::Chain,
    ) {
        let faults = sigbus::faults();
        let memory = Memory {
            mem,
            map: &queues.map,
        };
        let answer = match &chain.request {
            Some(request) => self
                .vm
                .with_session(|session| session.request(request, &memory)),
            None => {
                self.vm
                    .complain(format_args!("a request of more than {MAX_REQUEST} bytes"));
                Answer::Now(Status::BadRequest, 0)
            }
        };
        match answer {
            Answer::Now(status, value) => {
                let len = respond(mem, &chain.room, status, value).unwrap_or_else(|error| {
                    self.vm.complain(format_args!("response: {error}"));
                    0
                });
                queue::give_back(vring, head, len);
            }
            Answer::WhenReleased { ticket } => queues.unanswered.push(Unanswered {
                ticket,
                head,
                room: chain.room,
            }),
        }
        if sigbus::faults() != faults {
            self.vm.complain(format_args!(
                "memory of the guest went away under a request; its memory file was truncated"
            ));
        }
    }

    /// Answer the requests whose tickets were released.
    pub(super) fn answer_released(&self, queues: &mut Queues, released: &[u64]) {
        let Some(vring) = queues.vrings.first().cloned() else {
            return;
        };
        let mem = self.mem.memory();
        let due = queues
            .unanswered
            .extract_if(.., |request| released.contains(&request.ticket));
        for request in due {
            let len = respond(&mem, &request.room, Status::Ok, 0).unwrap_or(0);
            queue::give_back(&vring.0, request.head, len);
        }
        queue::notify(&vring.0);
    }

    /// A queue makes no sense any more: leave it alone until it is set up anew.
    pub(super) fn give_up(&self, queues: &mut Queues, index: u16, error: virtio_queue::Error) {
        queues.broken[usize::from(index)] = true;
        log::error!(
            "VM {}: queue {index} is not served any more until the device is reset: {error}",
            self.vm.name()
        );
    }
}

fn respond(
    mem: &GuestMemoryMmap,
    room: &Room,
    status: Status,
    value: u64,
) -> Result<u32, super::chain::BadChain> {
    let response = wire::Resp {
        status: status as u32,
        reserved: 0,
        value,
    };
    room.write(mem, response.as_slice())
}
