//! Stops and restarts.

use super::*;

#[test]
fn serve_epochs_end_and_begin() {
    let mut fixture = Fixture::traced();
    fixture.session.take_messages();
    fixture.session.stop();
    assert_eq!(fixture.session.live_epoch(), None);
    assert_eq!(
        fixture.ring(1, RING + 0x4000, 0x4_0000, |_| {}),
        Status::Stale
    );
    assert_eq!(
        fixture.status(req::EPOCH_ACK, &2u64.to_le_bytes()),
        Status::Stale,
        "not asked"
    );

    fixture.session.restart();
    assert_eq!(fixture.session.live_epoch(), None);
    let command = fixture.session.commands().next().unwrap();
    assert_eq!(command[0], wire::cmd::EPOCH as u8);
    assert_eq!(command[16..], 2u64.to_le_bytes());
    assert_eq!(
        fixture.status(req::EPOCH_ACK, &1u64.to_le_bytes()),
        Status::Stale
    );
    assert_eq!(
        fixture.status(req::EPOCH_ACK, &2u64.to_le_bytes()),
        Status::Ok
    );
    assert_eq!(fixture.session.live_epoch(), Some(2));
    assert!(matches!(
        fixture.session.take_messages()[..],
        [Message::Runs, Message::Resume { epoch: 2 }]
    ));
    assert_eq!(
        fixture.status(req::EPOCH_ACK, &2u64.to_le_bytes()),
        Status::Stale,
        "twice"
    );

    // Another kernel's memory where the root page was.
    fixture.session.stop();
    fixture.session.restart();
    fixture.mem.write_obj(0u64, GuestAddress(ROOT)).unwrap();
    assert_eq!(
        fixture.status(req::EPOCH_ACK, &3u64.to_le_bytes()),
        Status::Stale
    );
    assert_eq!(fixture.session.live_epoch(), None);
}
