//! The guest's memory, which the guest and the front end may change at any
//! time in any way.

mod area;
mod map;
pub mod ranges;
pub mod sigbus;

pub use area::{Area, BadArea};
pub use map::{GuestMap, Region};
