//! Exact loss of one sink, though packets may be skipped before they reach it,
//! fail in it, or be taken in part first and as a whole later.
//!
//! Two halves. The submitting side keeps [`Skips`] since the last packet that
//! it queued and sends them along with the next one. The sink's thread keeps an
//! [`Account`] per stream and settles each position with its whole packet or
//! when another appears, because only then is it certain how much of it the
//! sink ended up with.

use crate::packet::StreamKey;

/// Events of a stream at one position, seen and not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skip {
    position: u64,
    events: u64,
    /// Nothing more comes at this position.
    whole: bool,
}

/// What was skipped of one stream since its last queued packet.
///
/// The first and the last are kept apart: the sink may hold a part of the
/// first already, and the whole of the last may still come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skips {
    first: Option<Skip>,
    middle: u64,
    last: Option<Skip>,
}

impl Skips {
    /// A packet of `events` at `position` was not queued, which was the whole
    /// of a sub-buffer or a part. After a part the same position again (a
    /// longer part, or the whole) replaces what was said of it.
    pub(crate) fn add(&mut self, position: u64, events: u64, whole: bool) {
        let newest = if self.last.is_some() {
            &mut self.last
        } else {
            &mut self.first
        };
        match newest {
            Some(part) if part.position == position && !part.whole => {
                part.events = part.events.max(events);
                part.whole = whole;
            }
            None => {
                *newest = Some(Skip {
                    position,
                    events,
                    whole,
                })
            }
            Some(_) => {
                let before = self.last.replace(Skip {
                    position,
                    events,
                    whole,
                });
                self.middle += before.map_or(0, |skip| skip.events);
            }
        }
    }
}

/// What the sink holds and lost of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    lost: u64,
    open: Option<Open>,
    discarded: u64,
    end: u64,
}

/// The newest position: how much of it was offered, and how much is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    position: u64,
    offered: u64,
    held: u64,
}

impl Account {
    /// Takes note of what never reached the sink. Returns the events that this
    /// settles as lost.
    pub(crate) fn skipped(&mut self, skips: Skips) -> u64 {
        let before = self.lost;
        self.skip(skips.first);
        self.lost += skips.middle;
        self.skip(skips.last);
        self.lost - before
    }

    fn skip(&mut self, skip: Option<Skip>) {
        if let Some(Skip {
            position,
            events,
            whole,
        }) = skip
        {
            self.offered(position, events);
            if whole {
                self.settle();
            }
        }
    }

    /// `events` at `position` are about to be offered to the sink. Returns the
    /// events that this settles as lost.
    pub(crate) fn offered(&mut self, position: u64, events: u64) -> u64 {
        let lost = match self.open {
            Some(open) if open.position == position => 0,
            _ => self.settle(),
        };
        let open = self.open.get_or_insert(Open {
            position,
            offered: 0,
            held: 0,
        });
        open.offered = open.offered.max(events);
        lost
    }

    /// The sink took what was offered last, of `events` events. Returns how
    /// many more it holds than before.
    pub(crate) fn taken(&mut self, events: u64) -> u64 {
        self.open.as_mut().map_or(0, |open| {
            let more = events.saturating_sub(open.held);
            open.held = open.held.max(events);
            more
        })
    }

    /// Nothing more comes at the newest position. Returns the events of it that
    /// are lost.
    pub(crate) fn settle(&mut self) -> u64 {
        let lost = self.open.take().map_or(0, |open| open.offered - open.held);
        self.lost += lost;
        lost
    }

    /// Remembers the framing of the newest packet, for a session that ends
    /// without a last word.
    pub(crate) fn framing(&mut self, discarded: u64, end: u64) {
        self.discarded = self.discarded.max(discarded);
        self.end = self.end.max(end);
    }

    /// The ring's loss and this sink's own so far.
    pub(crate) fn discarded(&self) -> u64 {
        self.discarded + self.lost
    }

    /// The latest end of a packet of the stream.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }
}

/// Accounts or skips by stream. A guest has few streams and they come in
/// bursts, so order matters more than hashing.
pub(crate) type ByStream<T> = std::collections::BTreeMap<StreamKey, T>;

#[cfg(test)]
mod tests {
    use super::*;

    const PART: bool = false;
    const WHOLE: bool = true;

    fn skips(list: &[(u64, u64, bool)]) -> Skips {
        let mut skips = Skips::default();
        for &(position, events, whole) in list {
            skips.add(position, events, whole);
        }
        skips
    }

    #[test]
    fn skipped_packets_are_lost_once() {
        let mut account = Account::default();
        account.skipped(skips(&[
            (0, 5, WHOLE),
            (1, 6, WHOLE),
            (2, 7, WHOLE),
            (3, 8, WHOLE),
        ]));
        account.offered(4, 9);
        account.taken(9);
        account.settle();
        assert_eq!(account.discarded(), 26);
    }

    #[test]
    fn a_part_that_the_sink_holds_is_not_lost_with_the_whole() {
        let mut account = Account::default();
        account.offered(0, 5);
        assert_eq!(account.taken(5), 5);
        account.skipped(skips(&[(0, 20, WHOLE), (1, 6, WHOLE)]));
        assert_eq!(account.discarded(), 15 + 6);
    }

    #[test]
    fn a_skipped_part_is_not_lost_when_the_whole_comes() {
        let mut account = Account::default();
        account.skipped(skips(&[(0, 4, PART), (1, 3, PART), (1, 5, PART)]));
        account.offered(1, 9);
        assert_eq!(account.taken(9), 9);
        account.settle();
        assert_eq!(account.discarded(), 4);
    }

    #[test]
    fn a_position_begins_anew_after_its_whole() {
        // A vCPU whose ring went away and came back starts from 0 again.
        let mut account = Account::default();
        account.skipped(skips(&[
            (0, 4, WHOLE),
            (0, 3, PART),
            (0, 5, WHOLE),
            (0, 1, WHOLE),
        ]));
        account.offered(0, 2);
        account.settle();
        assert_eq!(account.discarded(), 4 + 5 + 1 + 2);
    }

    #[test]
    fn the_whole_replaces_the_part() {
        let mut account = Account::default();
        account.offered(0, 5);
        account.taken(5);
        account.offered(0, 8);
        assert_eq!(account.taken(8), 3);
        account.offered(1, 1);
        account.taken(1);
        assert_eq!(account.settle(), 0);
        assert_eq!(account.discarded(), 0);
    }

    #[test]
    fn a_failed_packet_is_lost_but_for_the_part_held() {
        let mut account = Account::default();
        account.offered(0, 5);
        account.taken(5);
        account.offered(0, 8);
        assert_eq!(account.offered(1, 2), 3);
        assert_eq!(account.settle(), 2);
        assert_eq!(account.discarded(), 5);
    }

    #[test]
    fn the_rings_own_loss_is_kept_beside() {
        let mut account = Account::default();
        account.framing(100, 7);
        account.framing(90, 5);
        account.skipped(skips(&[(0, 1, WHOLE)]));
        assert_eq!((account.discarded(), account.end()), (101, 7));
    }
}
