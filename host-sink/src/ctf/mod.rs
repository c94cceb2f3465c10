//! Traces in files: CTF 1.8 in the layout of LTTng's kernel tracer, so that the
//! tools that read those read these.
//!
//! ```text
//! DIR/                          given by the user; holds sessions of many runs
//!   web1-20251121-013005/       one per HELLO: its clock and environment
//!     kernel/                   a complete trace
//!       metadata                TSDL, grows with the schema
//!       events_0 events_1 ..    a stream per vCPU: CHANNEL_VCPU
//!       statedump_0 ..
//!       index/events_0.idx ..   LTTng's index format 1.1
//! ```
//!
//! With a size limit a session is cut into chunks, `chunk-000001/kernel` and so
//! on, each a complete trace by itself: with an id of its own, all of the
//! schema so far, and a count of loss that begins at 0. `babeltrace2 DIR` reads
//! everything below; any directory in between works too.
//!
//! In a stream file each sub-buffer is a block of the host's and the guest's
//! pages behind it, written in one call straight from guest memory, with
//! O_DIRECT where the file system can. A session's directory appears with its
//! first packet.

mod chunk;
mod disk;
mod file_error;
mod layout;
mod metadata;
mod options;
mod placed;
mod sink;
mod stream;
mod time;
mod tsdl;

pub use options::{AtLimit, CtfOptions, Limit};
pub use sink::CtfSink;
