//! What a descriptor may say.

use vhost_trace_ringbuf::layout::{RING_MAGIC, RingDesc};
use vhost_trace_ringbuf::{DescError, Geometry, Mode};

const CONTROL: u64 = 0x10_0000;

fn desc() -> RingDesc {
    let mut desc = RingDesc::from_bytes(&[0; RingDesc::BYTES]);
    (desc.magic, desc.version, desc.sub_size, desc.nsub) = (RING_MAGIC, 1, 8192, 4);
    for (slot, gpa) in (0..).zip(&mut desc.sub_gpa[..4]) {
        *gpa = 0x20_0000 - slot * 0x2000;
    }
    desc
}

fn refused(change: impl FnOnce(&mut RingDesc)) -> DescError {
    let mut desc = desc();
    change(&mut desc);
    Geometry::validate(&desc, CONTROL).expect_err("it makes no sense")
}

#[test]
fn ring_descriptor_is_believed() {
    let geometry = Geometry::validate(&desc(), CONTROL).unwrap();
    assert_eq!(
        (geometry.mode(), geometry.sub_size(), geometry.nsub()),
        (Mode::Discard, 8192, 4)
    );
    assert_eq!(geometry.capacity(), 32768);
    assert_eq!(geometry.control_bytes(), 3 * 4096);
    assert_eq!(
        (
            geometry.slot_of(8192 * 7 + 5),
            geometry.start_of(8192 * 7 + 5)
        ),
        (3, 8192 * 7)
    );
    // Slots not in use may hold anything.
    let mut desc = desc();
    (desc.mode, desc.sub_gpa[4]) = (1, 7);
    assert_eq!(
        Geometry::validate(&desc, CONTROL).unwrap().mode(),
        Mode::Overwrite
    );
    // With many, the control area needs another page.
    assert_eq!(
        Geometry::new(Mode::Discard, 4096, 256)
            .unwrap()
            .guest_bytes(),
        3 * 4096
    );
}

#[test]
fn ring_descriptor_is_refused() {
    assert_eq!(refused(|desc| desc.magic = 1), DescError::Magic(1));
    assert_eq!(refused(|desc| desc.version = 2), DescError::Version(2));
    assert_eq!(refused(|desc| desc.mode = 2), DescError::Mode(2));
    for sub_size in [0, 2048, 12288, 8 << 20, u32::MAX] {
        assert_eq!(
            refused(|desc| desc.sub_size = sub_size),
            DescError::SubSize(sub_size)
        );
    }
    for nsub in [0, 1, 3, 512, u32::MAX] {
        assert_eq!(refused(|desc| desc.nsub = nsub), DescError::NumSub(nsub));
    }
    for gpa in [1, 0x20_0800, !4095] {
        let error = refused(|desc| desc.sub_gpa[2] = gpa);
        assert_eq!(error, DescError::Address { slot: Some(2), gpa });
        assert!(
            error
                .to_string()
                .contains(&format!("sub_gpa[2] is {gpa:#x}"))
        );
    }
    // Over another, and over each page of the control area.
    for gpa in [
        0x20_0000,
        0x20_1000,
        0x1f_f000,
        CONTROL - 4096,
        CONTROL,
        CONTROL + 0x2000,
    ] {
        assert_eq!(
            refused(|desc| desc.sub_gpa[3] = gpa),
            DescError::Overlap { slot: 3, gpa }
        );
    }
    for gpa in [CONTROL + 1, !4095] {
        let error = Geometry::validate(&desc(), gpa).unwrap_err();
        assert_eq!(error, DescError::Address { slot: None, gpa });
    }
}
