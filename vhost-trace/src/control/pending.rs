//! A client's wish on its way through the guest.

use std::fmt::Debug;

use super::message::Reply;
use crate::session::commands::CommandResult;
use crate::vm::Vm;

/// A wish whose commands have not all been answered. It is dropped when it has
/// been answered, and when its client leaves before that.
pub trait Pending: Debug {
    /// Take note of a command's result, which may be another's.
    fn note(&mut self, result: &CommandResult);
    /// The answer, when all is known.
    fn reply(&mut self, vm: &Vm) -> Option<Reply>;
    /// The client has left: take back what makes no sense without it.
    fn cancel(&mut self, _vm: &Vm) {}
}
