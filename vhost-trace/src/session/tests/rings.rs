//! Registration of rings.

use super::*;

#[test]
fn serve_rings_are_checked() {
    let mut fixture = Fixture::traced();
    let far = 0x4_0000;
    let mut bad = |change: fn(&mut Desc)| {
        fixture.ring(1, RING + 0x4000, far, |desc| {
            desc.words[3] = 1;
            change(desc);
        })
    };
    assert_eq!(bad(|desc| desc.words[0] = 0), Status::BadValue, "magic");
    assert_eq!(bad(|desc| desc.words[1] = 2), Status::BadValue, "version");
    assert_eq!(bad(|desc| desc.words[2] = 2), Status::BadValue, "ring");
    assert_eq!(bad(|desc| desc.words[3] = 2), Status::BadValue, "vcpu");
    assert_eq!(bad(|desc| desc.words[4] = 2), Status::BadValue, "channel");
    assert_eq!(bad(|desc| desc.words[5] = 1), Status::BadValue, "mode");
    assert_eq!(
        bad(|desc| desc.words[6] = 4096),
        Status::BadValue,
        "sub_size"
    );
    assert_eq!(bad(|desc| desc.words[7] = 3), Status::BadValue, "nsub");
    assert_eq!(bad(|desc| desc.epoch = 7), Status::BadValue, "epoch");
    assert_eq!(
        bad(|desc| desc.subs[1] += 1),
        Status::BadAddress,
        "misaligned"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = 0x10_0000),
        Status::BadAddress,
        "outside"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = 0xf_f000),
        Status::BadAddress,
        "half outside"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = u64::MAX - 4095),
        Status::BadAddress,
        "overflow"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = desc.subs[0]),
        Status::Exists,
        "itself"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = DATA),
        Status::Exists,
        "another ring"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = ROOT - 0x1000),
        Status::Exists,
        "the root page"
    );
    assert_eq!(
        bad(|desc| desc.subs[1] = CLOCK),
        Status::Exists,
        "the clock page"
    );
    let same = bad(|desc| desc.words[3] = 0);
    assert_eq!(same, Status::Exists, "the same vCPU and channel");
    assert_eq!(
        fixture.ring(0, RING + 0x4000, far, |_| {}),
        Status::Exists,
        "the same number"
    );
    assert_eq!(fixture.ring(1, 0x10_0000, far, |_| {}), Status::BadAddress);
    assert_eq!(
        fixture.ring(1, RING + 0x4800, far, |_| {}),
        Status::BadAddress
    );
    let (epoch, gpa) = (fixture.epoch, RING + 0x4000);
    assert_eq!(
        fixture.ring_request(req::RING_ADD, 1, gpa, epoch - 1),
        Status::Stale
    );
    // Of what was wrong nothing stays.
    assert_eq!(
        fixture.ring(1, gpa, far, |desc| desc.words[3] = 1),
        Status::Ok
    );
    let complaints = fixture.session.take_complaints().join("\n");
    assert!(complaints.contains("ring 1: vCPU 1: "), "{complaints}");
    assert!(complaints.contains("0x100000"), "{complaints}");
}

#[test]
fn serve_rings_are_given_back() {
    let mut fixture = Fixture::traced();
    let epoch = fixture.epoch;
    assert_eq!(
        fixture.ring_request(req::RING_DEL, 1, 0, epoch),
        Status::NoEntry
    );
    assert_eq!(
        fixture.ring_request(req::RING_DEL, 0, 0, epoch + 1),
        Status::Stale
    );
    fixture.session.take_messages();
    let request = wire::RingRef {
        ring: 0,
        epoch,
        ..Default::default()
    };
    let answer = fixture.request(req::RING_DEL, request.as_slice());
    let Answer::WhenReleased { ticket } = answer else {
        panic!("{answer:?}");
    };
    let messages = fixture.session.take_messages();
    assert!(
        matches!(messages[..], [Message::Remove { ring: 0, ticket: Some(t) }] if t == ticket),
        "{messages:?}"
    );
    assert_eq!(
        fixture.ring_request(req::RING_DEL, 0, 0, epoch),
        Status::NoEntry
    );
    assert_eq!(fixture.ring(0, RING, DATA, |_| {}), Status::Ok);
}

#[test]
fn serve_rings_go_with_their_memory() {
    let mut fixture = Fixture::traced();
    fixture.session.take_messages();
    let (mem, mut map) = (
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), DATA as usize)]).unwrap(),
        GuestMap::default(),
    );
    map.update(&mem).unwrap();
    fixture.session.memory_changed(&Memory {
        mem: &mem,
        map: &map,
    });
    assert!(matches!(
        fixture.session.take_messages()[..],
        [Message::Remove {
            ring: 0,
            ticket: None
        }]
    ));
}

#[test]
fn serve_control_areas_are_whole() {
    let mut fixture = Fixture::traced();
    // The descriptor is in memory, the rest of its area is not.
    let last = 0x10_0000 - PAGE;
    assert_eq!(
        fixture.ring(1, last, 0x4_0000, |desc| desc.words[3] = 1),
        Status::BadAddress
    );
}
