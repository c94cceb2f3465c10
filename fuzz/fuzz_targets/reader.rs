//! A ring's reader against memory that changes between any two of its loads.
#![no_main]

extern crate ringbuf as vhost_trace_ringbuf;

#[path = "../../ringbuf/tests/ring/hostile/mod.rs"]
mod hostile;

libfuzzer_sys::fuzz_target!(|script: &[u8]| hostile::run(script));
