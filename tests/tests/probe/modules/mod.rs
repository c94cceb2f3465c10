//! Probe modules: loaded, used and unloaded, without the guest's user space.

mod frozen;
mod kit;
mod reasons;
mod systemtap;
mod trouble;
mod use_it;
