//! A guest for the tests: who it is, and one kind of event with a number.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use vhost_trace_host_sink::ctf::{CtfOptions, CtfSink, Limit};
use vhost_trace_host_sink::schema::Schema;
use vhost_trace_host_sink::session::Session;

use crate::producer::SubBuffer;
use crate::schema_bytes::{event, int};

/// Id of the event `numbered`, whose only field is the u64 `n`.
pub const NUMBERED: u16 = 1;

/// The guest of VM web1.
pub fn session() -> Arc<Session> {
    Arc::new(Session {
        vm: "web1".into(),
        boot_id: [0x11; 16],
        epoch: 3,
        release: "6.1.0-56-amd64".into(),
        version: "#1 SMP \"quoted\" \u{1b}[31m".into(),
        nodename: "guest".into(),
        clock_offset: 1_700_000_000_000_000_000,
        started: UNIX_EPOCH + Duration::from_secs(1_763_688_605),
        env: Vec::new(),
    })
}

/// Directory of the session's trace below the sink's.
pub const SESSION_DIR: &str = "web1-20251121-013005";

/// A schema of `records`.
pub fn schema(records: &[Vec<u8>]) -> Arc<Schema> {
    let mut schema = Schema::new();
    schema.add(&records.concat()).unwrap();
    Arc::new(schema)
}

/// The schema of the event `numbered`, on both channels.
pub fn numbered() -> Arc<Schema> {
    let fields = [int("n", 8, 0)];
    schema(&[
        event(NUMBERED, 0, "numbered", &fields),
        event(2, 1, "numbered_state", &fields),
    ])
}

/// A sub-buffer with `count` events, numbered and stamped from `first` on.
pub fn numbers(vcpu: u32, position: u64, first: u64, count: u64) -> SubBuffer {
    let mut sub = SubBuffer::new(vcpu, position, first);
    for n in first..first + count {
        sub.event(NUMBERED, n, &n.to_le_bytes());
    }
    sub
}

/// A sink that writes below `dir`.
pub fn sink(dir: &Path, limit: Option<Limit>) -> CtfSink {
    CtfSink::create(CtfOptions {
        dir: dir.to_owned(),
        vm: "web1".into(),
        limit,
    })
    .unwrap()
}
