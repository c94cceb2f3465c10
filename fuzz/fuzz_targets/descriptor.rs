//! A ring's descriptor: whatever is believed keeps its promises.
#![no_main]

use ringbuf::layout::{RING_MAGIC, RingDesc};
use ringbuf::{Geometry, Mode};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut input = input.iter().copied();
    let mut byte = || input.next().unwrap_or(0);
    let shape = byte();
    // Near each other, mostly pages; the first is the control area's.
    let mut address = || match byte() {
        at @ 0..250 => u64::from(at) << 12,
        250 => u64::MAX << 12,
        251 => (u64::MAX << 12) - (u64::from(byte()) << 12),
        at => u64::from(at) << (byte() % 64),
    };
    let control = address();
    let mut desc = RingDesc::from_bytes(&[0; RingDesc::BYTES]);
    desc.magic = RING_MAGIC;
    desc.version = 1;
    desc.mode = u32::from(shape & 1);
    desc.nsub = 2 << (shape >> 1 & 7);
    desc.sub_size = 4096 << (shape >> 4);
    for gpa in desc.sub_gpa.iter_mut().take(desc.nsub as usize) {
        *gpa = address();
    }
    match byte() {
        1 => desc.magic = byte().into(),
        2 => desc.version = byte().into(),
        3 => desc.mode = byte().into(),
        4 => desc.nsub = byte().into(),
        5 => desc.sub_size = u32::from(byte()) << (byte() % 32),
        _ => {}
    }
    let Ok(geometry) = Geometry::validate(&desc, control) else {
        return;
    };
    assert_eq!(geometry.mode() == Mode::Overwrite, desc.mode == 1);
    assert_eq!(geometry.sub_size(), desc.sub_size.into());
    let parts = desc.sub_gpa[..geometry.nsub()]
        .iter()
        .map(|gpa| (*gpa, geometry.sub_size()));
    let mut parts: Vec<_> = parts.chain([(control, geometry.control_bytes())]).collect();
    parts.sort_unstable();
    for (gpa, bytes) in &parts {
        assert!(gpa % 4096 == 0 && gpa.checked_add(*bytes).is_some());
    }
    for pair in parts.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "parts overlap");
    }
});
