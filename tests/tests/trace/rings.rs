//! Rings as they lie in a guest's memory, found and read without any help of
//! the device: what a trace of them must hold.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

// As guest-driver/vtrace_abi.h has it.
const PAGE: u64 = 4096;
const MAGIC_AND_VERSION: u64 = 0x1_474e_5256;
const EVENTS: u32 = 0;
const LEVELS: usize = 4;
const OPEN_GOT: u64 = 1 << 63;
const COMMIT_BYTES: u64 = (1 << 24) - 1;
const PREAMBLE: u64 = 24;
const ID_FULL: u16 = 0xffff;

/// A vCPU's ring of events.
#[derive(Debug)]
pub struct Ring {
    pub vcpu: u32,
    sub_size: u64,
    slots: Vec<u64>,
    epoch: u64,
    guest_gpa: u64,
}

/// What its guest had written when it stood still.
#[derive(Debug)]
pub struct Content {
    pub vcpu: u32,
    /// The ring's position.
    pub pos: u64,
    /// Events that were lost, for any reason.
    pub lost: u64,
    /// Bytes that were reserved and not committed.
    pub missing: u64,
    /// Reservations that may be among them; none if nothing is missing.
    pub holes: Vec<Hole>,
    /// All whole events, in order.
    pub events: Vec<Numbered>,
}

/// A reservation in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub level: usize,
    pub begin: u64,
    pub end: u64,
    /// Of these, padding of the sub-buffer before.
    pub padding: u64,
}

/// A numbered event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbered {
    pub position: u64,
    pub context: usize,
    pub sequence: u64,
}

/// Finds the rings of events in a guest's memory: the newest of each vCPU.
pub fn find_rings(memory: &Path) -> Result<Vec<Ring>> {
    let file = File::open(memory).with_context(|| format!("opening {memory:?}"))?;
    let mut rings = BTreeMap::<u32, Ring>::new();
    for gpa in (0..file.metadata()?.len()).step_by(PAGE as usize) {
        if words(&file, gpa, 1)?[0] != MAGIC_AND_VERSION {
            continue;
        }
        let desc = words(&file, gpa, 8)?;
        let (vcpu, channel) = ((desc[1] >> 32) as u32, desc[2] as u32);
        let (sub_size, nsub) = (desc[3] & 0xffff_ffff, desc[3] >> 32);
        if channel != EVENTS || rings.get(&vcpu).is_some_and(|ring| ring.epoch > desc[4]) {
            continue;
        }
        let ring = Ring {
            vcpu,
            sub_size,
            slots: words(&file, gpa + 64, nsub as usize)?,
            epoch: desc[4],
            guest_gpa: gpa + 2 * PAGE,
        };
        rings.insert(vcpu, ring);
    }
    ensure!(!rings.is_empty(), "no ring in {memory:?}");
    Ok(rings.into_values().collect())
}

/// What all rings hold: the guest stands still.
pub fn read_rings(memory: &Path, rings: &[Ring]) -> Result<Vec<Content>> {
    let file = File::open(memory).with_context(|| format!("opening {memory:?}"))?;
    rings.iter().map(|ring| ring.read(&file)).collect()
}

/// The guest's words of a ring.
struct Words(Vec<u64>);

impl Words {
    fn pos(&self) -> u64 {
        self.0[0]
    }

    /// begin, len, stamp, overtaken.
    fn open(&self, level: usize) -> &[u64] {
        &self.0[8 + 4 * level..][..4]
    }

    fn lost(&self) -> u64 {
        self.0[24..32].iter().sum()
    }

    /// commit, end, end_stamp, opened.
    fn sub(&self, slot: usize) -> &[u64] {
        &self.0[32 + 4 * slot..][..4]
    }

    /// The reservations that were made, as the specification tells them from
    /// those that were only about to be.
    fn holes(&self, sub_size: u64) -> Vec<Hole> {
        let mut holes = Vec::new();
        let mut limit = self.pos();
        for level in (0..LEVELS).rev() {
            let [begin, word, _, overtaken] = self.open(level) else {
                continue;
            };
            let (begin, len, got) = (*begin, word & !OPEN_GOT, word & OPEN_GOT != 0);
            if len == 0 || !(got || (begin >= *overtaken && begin < limit)) {
                continue;
            }
            let end = begin + len;
            let following = (begin / sub_size + 1) * sub_size;
            let padding = if end > following {
                following - begin
            } else {
                0
            };
            holes.push(Hole {
                level,
                begin,
                end,
                padding,
            });
            limit = begin;
        }
        holes.reverse();
        holes
    }
}

impl Ring {
    fn capacity(&self) -> u64 {
        self.sub_size * self.slots.len() as u64
    }

    fn slot(&self, position: u64) -> usize {
        (position % self.capacity() / self.sub_size) as usize
    }

    fn load(&self, memory: &File) -> Result<Words> {
        Ok(Words(words(
            memory,
            self.guest_gpa,
            32 + 4 * self.slots.len(),
        )?))
    }

    fn read(&self, memory: &File) -> Result<Content> {
        let words = self.load(memory)?;
        let pos = words.pos();
        let oldest = (pos / self.sub_size + 1) * self.sub_size;
        let oldest = oldest.saturating_sub(self.capacity());
        let subs = || (oldest..=pos).step_by(self.sub_size as usize);
        let missing = subs().map(|start| self.missing(&words, start)).sum();
        let holes = if missing == 0 {
            Vec::new()
        } else {
            words.holes(self.sub_size)
        };
        let mut events = Vec::new();
        for start in subs() {
            self.events(memory, &words, start, &holes, &mut events)
                .with_context(|| format!("vCPU {}: sub-buffer {start:#x}", self.vcpu))?;
        }
        Ok(Content {
            vcpu: self.vcpu,
            pos,
            lost: words.lost(),
            missing,
            holes,
            events,
        })
    }

    /// Bytes of a sub-buffer that were reserved and not committed.
    fn missing(&self, words: &Words, start: u64) -> u64 {
        let reserved = self.sub_size.min(words.pos() - start);
        let laps = start / self.capacity() * self.sub_size;
        let committed = words.sub(self.slot(start))[0].wrapping_sub(laps) & COMMIT_BYTES;
        reserved - committed
    }

    fn events(
        &self,
        memory: &File,
        words: &Words,
        start: u64,
        holes: &[Hole],
        events: &mut Vec<Numbered>,
    ) -> Result<()> {
        let slot = self.slot(start);
        let following = start + self.sub_size;
        let closer = holes
            .iter()
            .find(|hole| hole.begin < following && hole.end > following && hole.begin >= start);
        let end = match closer {
            Some(hole) => hole.begin,
            None if words.pos() > following => words.sub(slot)[1],
            None => words.pos(),
        };
        let mut bytes = vec![0; self.sub_size as usize];
        memory.read_exact_at(&mut bytes, self.slots[slot])?;
        let mut at = start + PREAMBLE;
        while at < end {
            let inside = |hole: &&Hole| (hole.begin..hole.end).contains(&at);
            if let Some(hole) = holes.iter().find(inside) {
                at = hole.end;
                continue;
            }
            let from = bytes.get((at - start) as usize..).context("too long")?;
            let (event, len) = event(from, at).with_context(|| format!("at {at:#x}"))?;
            events.push(event);
            at += len;
        }
        ensure!(
            at == end || holes.iter().any(|hole| hole.end == at),
            "its events end at {at:#x}, not {end:#x}"
        );
        Ok(())
    }
}

/// The witness's event that `bytes` begin with, and its bytes.
fn event(bytes: &[u8], position: u64) -> Result<(Numbered, u64)> {
    let id = u16::from_le_bytes(part(bytes, 0)?);
    let at = if id == ID_FULL { 14 } else { 6 };
    let context = u32::from_le_bytes(part(bytes, at)?);
    if context > 3 {
        bail!("context {context}");
    }
    let event = Numbered {
        position,
        context: context as usize,
        sequence: u64::from_le_bytes(part(bytes, at + 4)?),
    };
    let payload = u16::from_le_bytes(part(bytes, at + 16)?);
    Ok((event, at as u64 + 18 + u64::from(payload)))
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let part = bytes.get(at..at + N).context("too short")?;
    Ok(part.try_into()?)
}

fn words(memory: &File, at: u64, count: usize) -> Result<Vec<u64>> {
    let mut bytes = vec![0; 8 * count];
    memory.read_exact_at(&mut bytes, at)?;
    Ok(bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("8 bytes")))
        .collect())
}
