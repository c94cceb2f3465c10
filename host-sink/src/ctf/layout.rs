//! Bytes of a packet that the host makes.
//!
//! What a stream file holds for each sub-buffer is one *block* of the host's
//! and behind it the guest's pages exactly as they lie in guest memory:
//! preamble, events, padding. Block and pages leave in one write, from where
//! they are. The block is 512 bytes, or more where the file system wants more,
//! so that the pages stay aligned for O_DIRECT.
//!
//! ```text
//! | block                                   | pages                        |
//! | filler: a packet         | header and   | guest's      | events | junk |
//! | without events,  | note  | context      | preamble     |        |      |
//!   ^ packet                 ^ packet
//! ```
//!
//! A packet's header and context are packed and as LTTng's, with the guest's
//! preamble as the context's last fields; they take less than a block. The rest
//! of it is a packet of its own, the *filler*, because no reader accepts
//! anything else there: Babeltrace complains of unknown fields in a packet
//! header and repeats those of a context with every event; Trace Compass reads
//! both through a window of 4096 bytes and, with an index, expects no gap
//! between them. What follows a packet's content is nobody's business, so the
//! filler also holds a note for ourselves: epoch and position of the sub-buffer
//! behind it.

use crate::packet::{PREAMBLE_BYTES, StreamKey};

/// Bytes of packet header and packet context before the guest's preamble.
pub(super) const HEADER_BYTES: usize = 32 + 52;
/// Bytes of content of a packet without events.
pub(super) const EMPTY_CONTENT: usize = HEADER_BYTES + PREAMBLE_BYTES;
/// Bytes of the smallest block: filler and header fit, and it is the smallest
/// that disks have.
pub(super) const LEAST_BLOCK: usize = 512;
/// Bytes of one entry of an index file.
pub(super) const INDEX_ENTRY_BYTES: usize = 72;

/// First bytes of every CTF packet.
const CTF_MAGIC: u32 = 0xc1fc_1fc1;
/// First bytes of an index file.
const INDEX_MAGIC: u32 = 0xc1f1_dcc1;
/// First bytes of a note: "VTRCNOTE".
const NOTE_MAGIC: u64 = u64::from_le_bytes(*b"VTRCNOTE");

const _: () = assert!(LEAST_BLOCK - HEADER_BYTES >= EMPTY_CONTENT + 24);

/// What all packets of a stream have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamIds {
    pub(super) trace: [u8; 16],
    pub(super) stream: StreamKey,
}

/// Where a sub-buffer comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) epoch: u64,
    pub(super) position: u64,
}

/// Framing of one packet in a file. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framing {
    pub(super) sequence: u64,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) content: usize,
    pub(super) size: usize,
    pub(super) discarded: u64,
}

impl Framing {
    /// Packet header and the host's part of the packet context.
    pub(super) fn header(&self, ids: &StreamIds) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut out = Filler { bytes: &mut header };
        out.put(&CTF_MAGIC.to_le_bytes());
        out.put(&ids.trace);
        out.put(&ids.stream.channel.to_le_bytes());
        out.put(&ids.instance().to_le_bytes());
        out.put(&self.begin.to_le_bytes());
        out.put(&self.end.to_le_bytes());
        out.put(&bits(self.content).to_le_bytes());
        out.put(&bits(self.size).to_le_bytes());
        out.put(&self.sequence.to_le_bytes());
        out.put(&self.discarded.to_le_bytes());
        out.put(&ids.stream.vcpu.to_le_bytes());
        header
    }

    /// A packet without events, and in its padding a note of `origin`. `out` is
    /// zeroed and has room for both.
    pub(super) fn empty(&self, ids: &StreamIds, origin: Origin, out: &mut [u8]) {
        let mut out = Filler { bytes: out };
        out.put(&self.header(ids));
        // As the guest's preamble: begin, lost, position.
        out.put(&self.begin.to_le_bytes());
        out.put(&0u64.to_le_bytes());
        out.put(&origin.position.to_le_bytes());
        out.put(&NOTE_MAGIC.to_le_bytes());
        out.put(&origin.epoch.to_le_bytes());
        out.put(&origin.position.to_le_bytes());
    }

    /// The packet's entry in the stream's index, given its offset in bytes.
    pub(super) fn index_entry(&self, ids: &StreamIds, offset: u64) -> [u8; INDEX_ENTRY_BYTES] {
        let mut entry = [0; INDEX_ENTRY_BYTES];
        let mut out = Filler { bytes: &mut entry };
        for word in [
            offset,
            bits(self.size),
            bits(self.content),
            self.begin,
            self.end,
            self.discarded,
            u64::from(ids.stream.channel),
            ids.instance(),
            self.sequence,
        ] {
            out.put(&word.to_be_bytes());
        }
        entry
    }
}

impl StreamIds {
    /// Tells the streams of one channel apart.
    fn instance(&self) -> u64 {
        u64::from(self.stream.vcpu)
    }
}

/// First bytes of an index file, format 1.1.
pub(super) fn index_header() -> [u8; 16] {
    let mut header = [0; 16];
    let mut out = Filler { bytes: &mut header };
    for word in [INDEX_MAGIC, 1, 1, INDEX_ENTRY_BYTES as u32] {
        out.put(&word.to_be_bytes());
    }
    header
}

fn bits(bytes: usize) -> u64 {
    bytes as u64 * 8
}

/// Writes fields one behind the other; they fit.
struct Filler<'a> {
    bytes: &'a mut [u8],
}

impl Filler<'_> {
    fn put(&mut self, field: &[u8]) {
        let (head, rest) = std::mem::take(&mut self.bytes).split_at_mut(field.len());
        head.copy_from_slice(field);
        self.bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: StreamIds = StreamIds {
        trace: [7; 16],
        stream: StreamKey {
            channel: 1,
            vcpu: 0x0102,
        },
    };
    const FRAMING: Framing = Framing {
        sequence: 9,
        begin: 100,
        end: 200,
        content: 600,
        size: 1024,
        discarded: 5,
    };

    #[test]
    fn the_header_is_full_to_its_last_byte() {
        let header = FRAMING.header(&IDS);
        assert_eq!(header[..4], 0xc1fc_1fc1u32.to_le_bytes());
        assert_eq!(header[HEADER_BYTES - 4..], 0x0102u32.to_le_bytes());
        assert_eq!(
            header[HEADER_BYTES - 12..HEADER_BYTES - 4],
            5u64.to_le_bytes()
        );
    }

    #[test]
    fn a_note_lies_behind_the_content() {
        let mut bytes = [0; LEAST_BLOCK - HEADER_BYTES];
        FRAMING.empty(
            &IDS,
            Origin {
                epoch: 3,
                position: 0x1234,
            },
            &mut bytes,
        );
        assert_eq!(bytes[..HEADER_BYTES], FRAMING.header(&IDS));
        let note = &bytes[EMPTY_CONTENT..];
        assert_eq!(note[..8], *b"VTRCNOTE");
        assert_eq!(note[8..16], 3u64.to_le_bytes());
        assert_eq!(note[16..24], 0x1234u64.to_le_bytes());
    }

    #[test]
    fn an_index_is_big_endian_and_counts_bits() {
        assert_eq!(index_header()[..8], [0xc1, 0xf1, 0xdc, 0xc1, 0, 0, 0, 1]);
        let entry = FRAMING.index_entry(&IDS, 512);
        assert_eq!(entry[..8], 512u64.to_be_bytes());
        assert_eq!(entry[8..16], (1024u64 * 8).to_be_bytes());
        assert_eq!(entry[64..], 9u64.to_be_bytes());
    }
}
