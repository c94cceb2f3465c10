//! A virtqueue whose driver may have put anything into it.

use std::num::Wrapping;

use vhost_user_backend::{VringRwLock, VringT};
use virtio_queue::{Error, Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::chain::{BadChain, Chain};

/// The next chain of a queue.
#[derive(Debug)]
pub enum Next {
    /// There is none.
    None,
    /// One that may be answered.
    Chain {
        /// What the used ring names it by.
        head: u16,
        /// Its content, or what is wrong with it.
        chain: Result<Chain, BadChain>,
    },
    /// The queue itself makes no sense.
    Broken(Error),
}

/// Take the next chain; its readable part may have `max` bytes.
pub fn next(vring: &VringRwLock, mem: &GuestMemoryMmap, max: u32) -> Next {
    let mut state = vring.get_mut();
    let queue: &mut Queue = state.get_queue_mut();
    if !queue.ready() {
        return Next::None;
    }
    let chain = match queue.iter(mem) {
        Ok(mut available) => available.next(),
        Err(error) => return Next::Broken(error),
    };
    match chain {
        Some(chain) => Next::Chain {
            head: chain.head_index(),
            chain: Chain::read(mem, chain, max),
        },
        None => Next::None,
    }
}

/// Give a chain back with `len` bytes written. The driver is told later, by
/// [`notify`].
pub fn give_back(vring: &VringRwLock, head: u16, len: u32) {
    if let Err(error) = vring.add_used(head, len) {
        log::debug!("used ring: {error}");
    }
}

/// Tell the driver about what was given back, if it wants to know.
pub fn notify(vring: &VringRwLock) {
    if vring.needs_notification().unwrap_or(true)
        && let Err(error) = vring.signal_used_queue()
    {
        log::debug!("interrupt: {error}");
    }
}

/// Whether the driver has put chains there that were not taken.
pub fn has_more(vring: &VringRwLock, mem: &GuestMemoryMmap) -> bool {
    let state = vring.get_ref();
    let queue = state.get_queue();
    queue.ready()
        && queue
            .avail_idx(mem, std::sync::atomic::Ordering::Acquire)
            .is_ok_and(|index| index != Wrapping(queue.next_avail()))
}

/// Whether the front end lets us use it.
pub fn is_running(vring: &VringRwLock) -> bool {
    let state = vring.get_ref();
    state.is_enabled() && state.get_queue().ready()
}
