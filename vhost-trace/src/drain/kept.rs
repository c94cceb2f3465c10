//! Parts of sub-buffers that a ring's trace keeps: those that were written
//! while the guest stood still, and of which the whole never came because the
//! guest had overwritten it before it was read again.

use host_sink::packet::PacketInfo;

/// What such parts hold, and the one that may become the next.
#[derive(Debug, Default)]
pub struct Kept {
    /// Packets that stay.
    pub packets: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Events in them; the reader has them among those overwritten.
    pub events: u64,
    last: Option<PacketInfo>,
}

impl Kept {
    /// The sinks get a part, as a provisional packet.
    pub fn wrote(&mut self, part: &PacketInfo) {
        self.last = Some(part.clone());
    }

    /// There is a packet at `position`: it takes the part's place, or comes
    /// behind it.
    pub fn reached(&mut self, position: u64) {
        let Some(part) = self.last.take_if(|part| part.position <= position) else {
            return;
        };
        if part.position < position {
            self.packets += 1;
            self.bytes += part.content_len as u64;
            self.events += part.events;
        }
    }
}

#[cfg(test)]
mod tests {
    use host_sink::packet::StreamKey;

    use super::*;

    fn part(position: u64, events: u64) -> PacketInfo {
        PacketInfo {
            stream: StreamKey {
                channel: 0,
                vcpu: 0,
            },
            epoch: 1,
            position,
            begin: 0,
            end: 0,
            events,
            discarded: 0,
            content_len: 100,
        }
    }

    #[test]
    fn serve_keeps_parts_that_nothing_replaced() {
        let mut kept = Kept::default();
        kept.wrote(&part(4096, 3));
        kept.reached(0);
        kept.reached(4096);
        kept.reached(8192);
        assert_eq!(kept.events, 0, "it was replaced");

        kept.wrote(&part(8192, 3));
        kept.reached(8192);
        kept.wrote(&part(8192, 5));
        kept.reached(8192 + 300);
        kept.reached(16384);
        assert_eq!((kept.packets, kept.bytes, kept.events), (1, 100, 5));
    }
}
