//! A packet and its place in a stream file.

use super::layout::{EMPTY_CONTENT, Framing, HEADER_BYTES, INDEX_ENTRY_BYTES, Origin, StreamIds};

/// Where a packet ends, and what the next one starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Bytes of the stream file.
    pub(super) data: u64,
    /// Bytes of its index.
    pub(super) index: u64,
    /// Sequence number of the next packet.
    pub(super) sequence: u64,
    /// End of the packet before.
    pub(super) end: u64,
    /// Loss that the packet before told.
    pub(super) discarded: u64,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made by the host alone, without events: one block.
    Empty,
    /// A sub-buffer in part, to be replaced: a block and pages.
    Provisional,
    /// A sub-buffer as it stays: a block and pages.
    Whole,
}

/// A packet behind `from`, with the filler before it where it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) from: Mark,
    pub(super) kind: Kind,
    pub(super) origin: Origin,
    pub(super) begin: u64,
    pub(super) end: u64,
    /// Bytes of preamble and events in the pages.
    pub(super) content: usize,
    pub(super) discarded: u64,
}

impl Placed {
    /// Bytes of pages.
    pub(super) fn body(&self, block: usize) -> usize {
        match self.kind {
            Kind::Empty => 0,
            Kind::Provisional | Kind::Whole => self.content.next_multiple_of(block),
        }
    }

    /// Where the next packet goes.
    pub(super) fn behind(&self, block: usize) -> Mark {
        let packets = self.packets(block);
        let count = packets.iter().flatten().count() as u64;
        Mark {
            data: self.from.data + (block + self.body(block)) as u64,
            index: self.from.index + count * INDEX_ENTRY_BYTES as u64,
            sequence: self.from.sequence + count,
            end: self.end,
            discarded: self.discarded,
        }
    }

    /// The host's bytes. `out` is the block, zeroed.
    pub(super) fn fill_block(&self, ids: &StreamIds, out: &mut [u8]) {
        let [empty, full] = self.packets(out.len());
        if let Some(empty) = empty {
            empty.empty(ids, self.origin, out);
        }
        if let Some(full) = full {
            let at = out.len() - HEADER_BYTES;
            out[at..].copy_from_slice(&full.header(ids));
        }
    }

    /// The entries in the stream's index.
    pub(super) fn index_entries(&self, ids: &StreamIds, block: usize) -> Vec<u8> {
        let mut entries = Vec::with_capacity(2 * INDEX_ENTRY_BYTES);
        let mut offset = self.from.data;
        for framing in self.packets(block).iter().flatten() {
            entries.extend(framing.index_entry(ids, offset));
            offset += framing.size as u64;
        }
        entries
    }

    /// The packets that this is for a reader: one without events, and one with
    /// them whose header ends the block.
    fn packets(&self, block: usize) -> [Option<Framing>; 2] {
        let full = Framing {
            sequence: self.from.sequence + 1,
            begin: self.begin,
            end: self.end,
            content: HEADER_BYTES + self.content,
            size: HEADER_BYTES + self.body(block),
            discarded: self.discarded,
        };
        let empty = Framing {
            sequence: self.from.sequence,
            content: EMPTY_CONTENT,
            ..full
        };
        match self.kind {
            Kind::Empty => [
                Some(Framing {
                    size: block,
                    ..empty
                }),
                None,
            ],
            Kind::Provisional | Kind::Whole => {
                let filler = Framing {
                    end: self.begin,
                    size: block - HEADER_BYTES,
                    discarded: self.from.discarded,
                    ..empty
                };
                [Some(filler), Some(full)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::StreamKey;

    const IDS: StreamIds = StreamIds {
        trace: [1; 16],
        stream: StreamKey {
            channel: 0,
            vcpu: 2,
        },
    };

    fn placed(kind: Kind) -> Placed {
        let from = Mark {
            data: 4096,
            index: 16,
            sequence: 7,
            end: 50,
            discarded: 3,
        };
        let origin = Origin {
            epoch: 1,
            position: 2,
        };
        Placed {
            from,
            kind,
            origin,
            begin: 60,
            end: 90,
            content: 1000,
            discarded: 5,
        }
    }

    #[test]
    fn packets_fill_their_place() {
        for (block, kind, len, packets) in [
            (512, Kind::Whole, 512 + 1024, 2),
            (4096, Kind::Provisional, 8192, 2),
            (512, Kind::Empty, 512, 1),
        ] {
            let placed = placed(kind);
            let behind = placed.behind(block);
            assert_eq!(behind.data, 4096 + len);
            assert_eq!(
                (behind.index, behind.sequence),
                (16 + 72 * packets, 7 + packets)
            );
            assert_eq!((behind.end, behind.discarded), (90, 5));
            let sizes: usize = placed.packets(block).iter().flatten().map(|p| p.size).sum();
            assert_eq!(sizes as u64, len);
            assert_eq!(placed.index_entries(&IDS, block).len() as u64, 72 * packets);
        }
    }

    #[test]
    fn the_header_ends_the_block() {
        let mut block = [0; 4096];
        placed(Kind::Whole).fill_block(&IDS, &mut block);
        let magic = 0xc1fc_1fc1u32.to_le_bytes();
        assert_eq!(block[..4], magic);
        assert_eq!(block[4096 - HEADER_BYTES..][..4], magic);
    }

    #[test]
    fn a_filler_tells_no_loss_of_its_own() {
        let [filler, full] = placed(Kind::Whole).packets(512).map(Option::unwrap);
        assert_eq!((filler.discarded, full.discarded), (3, 5));
        assert_eq!(
            (filler.begin, filler.end, full.begin, full.end),
            (60, 60, 60, 90)
        );
    }
}
