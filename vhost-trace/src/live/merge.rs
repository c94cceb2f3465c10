//! Events of all vCPUs in order of time.
//!
//! The drain looks at one ring after the other, so that an early event of the
//! first ring may come a pass later than a late one of the last. An event is
//! shown when one more pass has begun and ended since: by then everything
//! earlier has come.

use std::sync::Arc;

use host_sink::decode::{DecodeError, Events};
use host_sink::schema::Schema;
use host_sink::value::Event;

use super::batch::{Batch, Piece};

/// Pieces whose events have not all been shown.
#[derive(Debug, Default)]
pub struct Merge {
    held: Vec<Held>,
    newest: u64,
}

#[derive(Debug)]
struct Held {
    piece: Piece,
    schema: Arc<Schema>,
    shown: usize,
    end: usize,
}

impl Held {
    fn events(&self) -> Events<'_> {
        let piece = &self.piece;
        Events::new(
            &self.schema,
            piece.stream.channel,
            &piece.content,
            piece.begin,
        )
    }
}

impl Merge {
    /// Take the pieces of another pass, and show the events that are due, with
    /// their vCPUs; `bad` hears of pieces that end in nonsense.
    pub fn pass(
        &mut self,
        batch: Batch,
        mut show: impl FnMut(u32, &Event<'_>),
        mut bad: impl FnMut(u32, DecodeError),
    ) {
        let due = self.newest;
        for piece in batch.pieces {
            let mut held = Held {
                piece,
                schema: batch.schema.clone(),
                shown: 0,
                end: 0,
            };
            let mut end = 0;
            for event in held.events() {
                match event {
                    Ok(event) => self.newest = self.newest.max(event.stamp),
                    Err(error) => {
                        bad(held.piece.stream.vcpu, error);
                        break;
                    }
                }
                end += 1;
            }
            held.end = end;
            self.held.push(held);
        }

        let mut events: Vec<(u32, Event<'_>)> = Vec::new();
        let mut shown = Vec::new();
        for held in &self.held {
            let vcpu = held.piece.stream.vcpu;
            let left = held.events().take(held.end).skip(held.shown);
            let before = events.len();
            events.extend(
                left.flatten()
                    .take_while(|event| event.stamp <= due)
                    .map(|event| (vcpu, event)),
            );
            shown.push(events.len() - before);
        }
        // Stable: those of one vCPU keep their order.
        events.sort_by_key(|(_, event)| event.stamp);
        for (vcpu, event) in &events {
            show(*vcpu, event);
        }
        drop(events);
        for (held, shown) in self.held.iter_mut().zip(shown) {
            held.shown += shown;
        }
        self.held.retain(|held| held.shown < held.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_sink::packet::StreamKey;
    use std::time::SystemTime;

    const RECORD: [u8; 15] = [15, 0, 1, 0, 0, 0, 1, 1, b'e', 1, 1, 0, 1, 0, 0];

    fn schema() -> Arc<Schema> {
        let mut record = RECORD.to_vec();
        record.push(b'x');
        record[0] += 1;
        let mut schema = Schema::new();
        schema.add(&record).unwrap();
        Arc::new(schema)
    }

    fn batch(pieces: &[(u32, &[u32])]) -> Batch {
        let trace = host_sink::session::Session {
            vm: "vm".into(),
            boot_id: [0; 16],
            epoch: 1,
            release: String::new(),
            version: String::new(),
            nodename: String::new(),
            clock_offset: 0,
            started: SystemTime::UNIX_EPOCH,
            env: Vec::new(),
        };
        let mut batch = Batch::new(Arc::new(trace), schema());
        for (vcpu, stamps) in pieces {
            let bytes: Vec<u8> = stamps
                .iter()
                .flat_map(|stamp| {
                    let [a, b, c, d] = stamp.to_le_bytes();
                    [1, 0, a, b, c, d, 9]
                })
                .collect();
            let stream = StreamKey {
                channel: 0,
                vcpu: *vcpu,
            };
            batch.add(stream, 0, &bytes, stamps.len() as u64);
        }
        batch
    }

    #[test]
    fn serve_live_events_are_in_order() {
        let mut merge = Merge::default();
        let mut pass = |pieces: &[(u32, &[u32])]| {
            let mut seen = Vec::new();
            merge.pass(
                batch(pieces),
                |vcpu, event| seen.push((vcpu, event.stamp)),
                |_, error| panic!("{error}"),
            );
            seen
        };
        assert!(pass(&[(0, &[1, 4, 9]), (1, &[2, 7])]).is_empty());
        assert_eq!(
            pass(&[(0, &[10]), (1, &[8, 11])]),
            [(0, 1), (1, 2), (0, 4), (1, 7), (1, 8), (0, 9)]
        );
        assert_eq!(pass(&[]), [(0, 10), (1, 11)]);
        assert!(pass(&[]).is_empty());
    }
}
