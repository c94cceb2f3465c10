//! Takes content apart into events, as a sink's decoder would.

use vhost_trace_ringbuf::layout::{HEADER, HEADER_FULL, ID_FULL, PREAMBLE};

use crate::machine::Event;

/// Adds the events in `bytes`, which a preamble begins, to `found`; returns
/// their number. Each is whole and has the stamp that its writer gave it, and
/// all stamps are within the packet's, in order.
pub fn parse(events: &[Event], bytes: &[u8], begin: u64, end: u64, found: &mut Vec<u32>) -> u64 {
    let mut bytes = &bytes[PREAMBLE as usize..];
    let mut stamp = begin;
    let mut count = 0;
    while !bytes.is_empty() {
        let id = u16::from_le_bytes(bytes[..2].try_into().unwrap());
        let (id, time, header) = if id == ID_FULL {
            let id = u32::from_le_bytes(bytes[2..6].try_into().unwrap());
            let time = u64::from_le_bytes(bytes[6..14].try_into().unwrap());
            (id, time, HEADER_FULL)
        } else {
            let low = u32::from_le_bytes(bytes[2..6].try_into().unwrap());
            let since = low.wrapping_sub(stamp as u32);
            (id.into(), stamp + u64::from(since), HEADER)
        };
        let Some(event) = events.get(id as usize) else {
            panic!("no event {id}");
        };
        assert_eq!(time, event.stamp, "stamp of event {id}");
        assert!(
            (stamp..=end).contains(&time),
            "stamp of event {id} is in its packet"
        );
        stamp = time;
        let (head, rest) = bytes.split_at(header as usize + event.payload as usize);
        let payload = &head[header as usize..];
        let whole = |(i, byte): (usize, &u8)| *byte == (id as usize + 7 * i) as u8;
        // The large ones are there to fill.
        let step = if payload.len() < 256 { 1 } else { 97 };
        assert!(
            payload.iter().enumerate().step_by(step).all(whole),
            "payload of event {id}"
        );
        found.push(id);
        bytes = rest;
        count += 1;
    }
    count
}
