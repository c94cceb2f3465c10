//! The Rust mirror of the shared memory against the C header.

use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::process::Command;

use vhost_trace_ringbuf::layout::*;

use crate::compile::compile;

#[test]
fn ring_layout_is_that_of_the_c_header() {
    let mut here = String::new();
    macro_rules! of {
        ($name:literal, $type:ty, $($field:ident)*) => {
            writeln!(here, "{} {}", $name, size_of::<$type>()).unwrap();
            $(writeln!(here, "{}.{} {}", $name, stringify!($field), offset_of!($type, $field))
                .unwrap();)*
        };
    }
    of!("vtrace_ring_desc", RingDesc, magic version ring vcpu channel mode sub_size nsub epoch
        reserved sub_gpa);
    of!("vtrace_ring_host", RingHost, consumed wake_at);
    of!("vtrace_open", Open, begin len stamp overtaken);
    of!("vtrace_sub", Sub, commit end end_stamp opened);
    of!("vtrace_ring_guest", RingGuest, pos stamp active reserved0 open lost);
    writeln!(here, "vtrace_ring_guest.sub {}", size_of::<RingGuest>()).unwrap();
    of!("vtrace_preamble", Preamble, begin lost position);
    of!("vtrace_clock_slot", ClockSlot, base base_ns mult reserved);
    of!("vtrace_clock", Clock, index reserved slot);
    for (name, value) in [
        ("PAGE", PAGE),
        ("MIN_SUB", MIN_SUB.into()),
        ("MAX_SUB", MAX_SUB.into()),
        ("MIN_NSUB", MIN_NSUB.into()),
        ("MAX_NSUB", MAX_NSUB.into()),
        ("LEVELS", LEVELS as u64),
        ("RING_MAGIC", RING_MAGIC.into()),
        ("VERSION", VERSION.into()),
        ("MODE_DISCARD", MODE_DISCARD.into()),
        ("MODE_OVERWRITE", MODE_OVERWRITE.into()),
        ("WAKE_NEVER", WAKE_NEVER),
        ("OPEN_GOT", OPEN_GOT),
        ("COMMIT_EVENT", COMMIT_EVENT),
        ("COMMIT_BYTES", COMMIT_BYTES),
        ("LOST_FULL", LOST_FULL as u64),
        ("LOST_TOO_BIG", LOST_TOO_BIG as u64),
        ("LOST_NESTED", LOST_NESTED as u64),
        ("LOST_WRAPPED", LOST_WRAPPED as u64),
        ("LOST_REASONS", LOST_REASONS as u64),
        ("ID_FULL", ID_FULL.into()),
        ("HEADER", HEADER),
        ("HEADER_FULL", HEADER_FULL),
    ] {
        writeln!(here, "VTRACE_{name} {value}").unwrap();
    }

    let program = compile("layout.c", "layout", &[]).expect("it compiles");
    let output = Command::new(program).output().unwrap();
    let header = String::from_utf8(output.stdout).unwrap();
    let pairs = here.lines().zip(header.lines());
    for (here, header) in pairs {
        assert_eq!(here, header, "left: layout.rs, right: vtrace_abi.h");
    }
    assert_eq!(here.lines().count(), header.lines().count());
}

#[test]
fn ring_descriptor_decodes() {
    let mut bytes = [0; RingDesc::BYTES];
    let fields = [RING_MAGIC, 1, 2, 3, 4, 5, 4096, 8];
    for (at, field) in bytes.chunks_exact_mut(4).zip(fields) {
        at.copy_from_slice(&field.to_le_bytes());
    }
    bytes[32..40].copy_from_slice(&9u64.to_le_bytes());
    let last = bytes.len() - 8;
    bytes[last..].copy_from_slice(&0xabcd_0000u64.to_le_bytes());
    let desc = RingDesc::from_bytes(&bytes);
    assert_eq!(
        (desc.ring, desc.vcpu, desc.channel, desc.mode),
        (2, 3, 4, 5)
    );
    assert_eq!((desc.sub_size, desc.nsub, desc.epoch), (4096, 8, 9));
    assert_eq!(desc.sub_gpa[255], 0xabcd_0000);
}
