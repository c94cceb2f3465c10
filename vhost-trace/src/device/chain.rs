//! One descriptor chain of a driver, read with every bound.

use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Most descriptors of a chain: a request is a few pieces, so more is hostile.
const MAX_DESCRIPTORS: usize = 64;

/// A chain, in private memory.
#[derive(Debug)]
pub struct Chain {
    /// What the driver wrote, all readable buffers one after the other; none
    /// if they have more bytes than a request may have.
    pub request: Option<Vec<u8>>,
    /// Where the device may write.
    pub room: Room,
}

/// Buffers that the device may write.
#[derive(Clone, Debug, Default)]
pub struct Room {
    parts: Vec<(GuestAddress, u32)>,
}

/// What is wrong with a chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChain {
    /// It does not end where it says that it goes on.
    #[error("a descriptor chain that loops, or leads out of its table")]
    Broken,
    /// More than [`MAX_DESCRIPTORS`].
    #[error("a chain of more than {MAX_DESCRIPTORS} descriptors")]
    TooLong,
    /// A readable buffer behind a writable one.
    #[error("a readable buffer behind a writable one")]
    OutOfOrder,
    /// A buffer that is not guest memory.
    #[error("a buffer at {0:#x}, which is not guest memory")]
    Unreadable(u64),
    /// The buffers have less room than what is to be written.
    #[error("buffers of {has} bytes, {needs} are needed")]
    NoRoom {
        /// What they have.
        has: u64,
        /// What is needed.
        needs: u64,
    },
}

impl Chain {
    /// Read `chain`, whose readable part may have `max` bytes.
    pub fn read(
        mem: &GuestMemoryMmap,
        chain: DescriptorChain<&GuestMemoryMmap>,
        max: u32,
    ) -> Result<Chain, BadChain> {
        let mut request = Some(Vec::new());
        let mut room = Room::default();
        let mut more = true;
        for (count, descriptor) in chain.enumerate() {
            if count == MAX_DESCRIPTORS {
                return Err(BadChain::TooLong);
            }
            more = descriptor.has_next();
            if descriptor.is_write_only() {
                room.parts.push((descriptor.addr(), descriptor.len()));
                continue;
            }
            if !room.parts.is_empty() {
                return Err(BadChain::OutOfOrder);
            }
            let Some(read) = &mut request else {
                continue;
            };
            let from = read.len();
            let to = from as u64 + u64::from(descriptor.len());
            if to > u64::from(max) {
                request = None;
                continue;
            }
            read.resize(to as usize, 0);
            mem.read_slice(&mut read[from..], descriptor.addr())
                .map_err(|_| BadChain::Unreadable(descriptor.addr().0))?;
        }
        // The iterator ends without a word where a chain cannot be followed.
        if more {
            return Err(BadChain::Broken);
        }
        Ok(Chain { request, room })
    }
}

impl Room {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|(_, len)| u64::from(*len)).sum()
    }

    /// Write all of `bytes`; returns how many they are.
    pub fn write(&self, mem: &GuestMemoryMmap, bytes: &[u8]) -> Result<u32, BadChain> {
        let (has, needs) = (self.bytes(), bytes.len() as u64);
        if has < needs {
            return Err(BadChain::NoRoom { has, needs });
        }
        let mut rest = bytes;
        for &(address, len) in &self.parts {
            let (now, later) = rest.split_at(rest.len().min(len as usize));
            mem.write_slice(now, address)
                .map_err(|_| BadChain::Unreadable(address.0))?;
            rest = later;
        }
        Ok(bytes.len() as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtio_bindings::bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
    use virtio_queue::desc::{RawDescriptor, split::Descriptor};
    use virtio_queue::mock::MockSplitQueue;
    use virtio_queue::{Queue, QueueOwnedT, QueueT};

    const NEXT: u16 = VRING_DESC_F_NEXT as u16;
    const WRITE: u16 = VRING_DESC_F_WRITE as u16;

    /// What comes of a chain that begins with descriptor 0.
    fn read(descriptors: &[(u64, u32, u16, u16)]) -> Result<Chain, BadChain> {
        let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x100000)]).unwrap();
        let mock = MockSplitQueue::new(&mem, 128);
        for (index, &(addr, len, flags, next)) in descriptors.iter().enumerate() {
            let descriptor = RawDescriptor::from(Descriptor::new(addr, len, flags, next));
            mock.desc_table().store(index as u16, descriptor).unwrap();
        }
        mock.avail().ring().ref_at(0).unwrap().store(0u16.to_le());
        mock.avail().idx().store(1u16.to_le());
        mem.write_slice(b"request", GuestAddress(0x80000)).unwrap();
        let mut queue: Queue = mock.create_queue().unwrap();
        queue.set_ready(true);
        let chain = queue.iter(&mem).unwrap().next().unwrap();
        Chain::read(&mem, chain, 4096)
    }

    #[test]
    fn serve_chains_are_read_and_bounded() {
        let good = read(&[
            (0x80000, 3, NEXT, 1),
            (0x80003, 4, NEXT, 2),
            (0x90000, 16, WRITE, 0),
        ]);
        let good = good.unwrap();
        assert_eq!(good.request.unwrap(), b"request");
        assert_eq!(good.room.bytes(), 16);

        assert_eq!(
            read(&[(0x80000, 1, NEXT, 1), (0x80000, 1, NEXT, 0)]).unwrap_err(),
            BadChain::TooLong,
            "a loop"
        );
        assert_eq!(
            read(&[(0x80000, 1, NEXT, 999)]).unwrap_err(),
            BadChain::Broken,
            "a descriptor out of the table"
        );
        let big = read(&[(0x80000, 4097, NEXT, 1), (0x90000, 16, WRITE, 0)]).unwrap();
        assert_eq!((big.request, big.room.bytes()), (None, 16));
        let big = read(&[(0x80000, 4096, NEXT, 1), (0x80000, u32::MAX - 4096, 0, 0)]);
        assert_eq!(big.unwrap().request, None);
        assert_eq!(
            read(&[(0x90000, 16, WRITE | NEXT, 1), (0x80000, 1, 0, 0)]).unwrap_err(),
            BadChain::OutOfOrder
        );
        assert_eq!(
            read(&[(0xffff_0000_0000, 16, 0, 0)]).unwrap_err(),
            BadChain::Unreadable(0xffff_0000_0000)
        );
    }

    #[test]
    fn serve_room_is_written_in_pieces() {
        let mem = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let room = Room {
            parts: vec![(GuestAddress(0), 3), (GuestAddress(0x100), 8)],
        };
        assert_eq!(room.write(&mem, b"response"), Ok(8));
        let mut back = [0; 5];
        mem.read_slice(&mut back, GuestAddress(0x100)).unwrap();
        assert_eq!(&back, b"ponse");
        assert!(matches!(
            room.write(&mem, &[0; 12]),
            Err(BadChain::NoRoom { has: 11, needs: 12 })
        ));
    }
}
