//! `serve` and the commands as a front end and a driver see them, without a
//! guest: this process is QEMU, and the memory that it shares has what a
//! driver, good or bad, would have put there.

mod commands;
mod driver;
mod hostile;
mod life;
mod memory;
mod modules;
mod program;
mod ring;
mod socket;
mod whole;
