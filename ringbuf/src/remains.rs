//! What is left in a ring whose guest stands still.

use core::ops::Range;

use crate::fault::{Fault, at_least, at_most, exactly};
use crate::geometry::Mode;
use crate::layout::{LEVELS, PREAMBLE, Preamble};
use crate::memory::HostMemory;
use crate::open::{Hole, Open};
use crate::permit::Stopped;
use crate::reader::Reader;
use crate::word::Word;

/// Whole events in a row, copied; a preamble is in front of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Position of its first byte in the ring: of the sub-buffer, or behind a hole.
    pub position: u64,
    /// No event in it is earlier, and none before it is later; ns.
    pub begin: u64,
    /// No event in it is later, and none behind it is earlier; ns.
    pub end: u64,
    at: usize,
    len: usize,
}

impl Piece {
    /// Where in the copy it is. Its first 24 bytes are a preamble of its own,
    /// made here: `begin`, the remnant's `lost_before`, `position`.
    pub fn range(&self) -> Range<usize> {
        self.at..self.at + self.len
    }
}

/// What is left of one sub-buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remnant {
    /// The sub-buffer's position.
    pub position: u64,
    /// Events in all pieces, unless a writer was stopped where that cannot be told.
    pub events: Option<u64>,
    /// Events the guest had lost when the sub-buffer was opened, cumulative; if
    /// its preamble is in a hole, what is known of earlier ones.
    pub lost_before: u64,
    /// Events overwritten before it, cumulative; see [`Reader::overwritten`].
    pub overwritten_before: u64,
    pieces: [Piece; LEVELS + 1],
    num_pieces: usize,
    holes: [Option<Hole>; LEVELS],
}

impl Remnant {
    /// The pieces that have events, in order; at most 5.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces[..self.num_pieces]
    }

    /// What is missing between and around them; at most 4. A hole that a
    /// sub-buffer's preamble is in begins with the sub-buffer.
    pub fn holes(&self) -> impl Iterator<Item = Hole> {
        self.holes.into_iter().flatten()
    }
}

/// Goes through the unread sub-buffers of a ring whose guest stands still, the
/// complete ones too, and leaves the ring and its reader as they are: should
/// the guest go on, [`Reader::poll`] returns them all from their beginnings.
#[derive(Debug)]
pub struct Remains<'a, M> {
    reader: &'a mut Reader<M>,
    pos: u64,
    at: u64,
    open: Open,
    stamp: u64,
    lost_before: u64,
}

impl<M: HostMemory> Reader<M> {
    /// Everything that [`Reader::poll`] has not returned, copied. Works without
    /// a [`crate::Live`] permission, on a paused, stopped or dead guest.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    pub fn remains(&mut self, _stopped: &Stopped<'_>) -> Result<Remains<'_, M>, Fault> {
        let (pos, open) = self.guarded(|reader| {
            let pos = reader.load_pos()?;
            if reader.geometry.mode() == Mode::Overwrite {
                reader.pass_over(pos)?;
            }
            Ok((pos, reader.load_open(pos)?))
        })?;
        let (at, stamp, lost_before) = (self.next, self.stamp, self.lost_before());
        Ok(Remains {
            reader: self,
            pos,
            at,
            open,
            stamp,
            lost_before,
        })
    }
}

impl<M: HostMemory> Remains<'_, M> {
    /// The next unread sub-buffer, its pieces in `copy`; none behind the one
    /// that the guest was writing.
    ///
    /// # Errors
    /// The ring's [`Fault`].
    ///
    /// # Panics
    /// If `copy` is smaller than [`Reader::copy_bytes`].
    pub fn next(&mut self, copy: &mut [u8]) -> Result<Option<Remnant>, Fault> {
        assert!(
            copy.len() >= self.reader.copy_bytes(),
            "room for a sub-buffer"
        );
        if let Some(fault) = self.reader.fault {
            return Err(fault);
        }
        if self.at > self.pos {
            return Ok(None);
        }
        let remnant = self.remnant(copy);
        match remnant {
            Ok(_) => self.at += self.reader.geometry.sub_size(),
            Err(fault) => self.reader.fault = Some(fault),
        }
        remnant.map(Some)
    }

    fn remnant(&mut self, copy: &mut [u8]) -> Result<Remnant, Fault> {
        let (start, size) = (self.at, self.reader.geometry.sub_size());
        let following = start + size;
        let slot = self.reader.geometry.slot_of(start);
        let reserved = size.min(self.pos - start);
        let commit = self.reader.memory.load_acquire(Word::Commit(slot));
        let bytes = self.reader.bytes_in_lap(commit, start);
        let missing = reserved - at_most(Word::Commit(slot), bytes, reserved)?;
        // A record may outlive its commit by an instant: with nothing missing
        // there are no holes, whatever the records say.
        let open = if missing == 0 {
            Open::default()
        } else {
            self.open
        };
        let within = |hole: &&Hole| hole.begin >= start && hole.end() < following;

        let opener = open
            .iter()
            .flatten()
            .find(|hole| (hole.begin..hole.end()).contains(&start));
        let (mut at, mut stamp) = match opener {
            Some(hole) => (
                hole.end(),
                at_least(Word::OpenStamp(hole.level), hole.stamp, self.stamp)?,
            ),
            None => (start + PREAMBLE, self.preamble(slot)?),
        };
        let closer = open
            .iter()
            .flatten()
            .find(|hole| (start..following).contains(&hole.begin) && hole.end() > following);

        let mut remnant = Remnant {
            position: start,
            ..Remnant::default()
        };
        let mut writer = Pieces {
            remnant: &mut remnant,
            used: 0,
        };
        writer.remnant.lost_before = self.lost_before;
        for hole in open.iter().flatten().filter(within) {
            let end = at_least(Word::OpenStamp(hole.level), hole.stamp, stamp)?;
            writer.copy(&self.reader.memory, slot, at..hole.begin, stamp..end, copy);
            (at, stamp) = (hole.end(), end);
        }
        let (end, end_stamp) = self.end(closer, at, stamp)?;
        writer.copy(&self.reader.memory, slot, at..end, stamp..end_stamp, copy);
        self.stamp = end_stamp;

        let padding = closer.map_or(0, |hole| following - hole.begin);
        for hole in open.iter().flatten().filter(within).chain(opener) {
            let begin = hole.begin.max(start);
            let len = hole.end() - begin;
            remnant.holes[hole.level] = Some(Hole {
                begin,
                len,
                ..*hole
            });
        }
        let open_bytes = padding + remnant.holes().map(|hole| hole.len).sum::<u64>();
        at_least(
            Word::Commit(slot),
            bytes,
            reserved.saturating_sub(open_bytes),
        )?;

        let opened = self.reader.memory.load(Word::Opened(slot));
        if opener.is_none() || self.reader.bytes_in_lap(opened, start) == 0 {
            self.reader.count_opened(start, opened)?;
            if open_bytes == missing {
                let events = Reader::<M>::events_between(opened, commit, bytes);
                // The preamble is committed with the event that opened it.
                let preamble = opener.map_or(0, |_| PREAMBLE);
                let most = Reader::<M>::most_events(bytes + preamble);
                remnant.events = Some(at_most(Word::Commit(slot), events, most)?);
            }
        }
        remnant.overwritten_before = self.reader.overwritten();
        Ok(remnant)
    }

    /// Checks the preamble in this slot; returns its stamp.
    fn preamble(&mut self, slot: usize) -> Result<u64, Fault> {
        let memory = &self.reader.memory;
        let position = memory.load(Word::PreamblePosition(slot));
        let begin = memory.load(Word::PreambleBegin(slot));
        let lost = memory.load(Word::PreambleLost(slot));
        exactly(Word::PreamblePosition(slot), position, self.at)?;
        at_least(Word::PreambleLost(slot), lost, self.lost_before)?;
        self.lost_before = self.reader.check_lost_before(slot, lost)?;
        at_least(Word::PreambleBegin(slot), begin, self.stamp)
    }

    /// Where the content ends, not before `at`, and the stamp that bounds it,
    /// not before `stamp`.
    fn end(&self, closer: Option<&Hole>, at: u64, stamp: u64) -> Result<(u64, u64), Fault> {
        let memory = &self.reader.memory;
        let following = self.at + self.reader.geometry.sub_size();
        if let Some(hole) = closer {
            let end_stamp = at_least(Word::OpenStamp(hole.level), hole.stamp, stamp)?;
            return Ok((hole.begin, end_stamp));
        }
        if self.pos > following {
            let slot = self.reader.geometry.slot_of(self.at);
            let end = at_least(Word::End(slot), memory.load(Word::End(slot)), at)?;
            at_most(Word::End(slot), end, following - 1)?;
            let word = Word::EndStamp(slot);
            return Ok((end, at_least(word, memory.load(word), stamp)?));
        }
        if self.pos == at {
            // The last writer may not have come to store its stamp.
            return Ok((at, stamp));
        }
        Ok((
            self.pos,
            at_least(Word::Stamp, memory.load(Word::Stamp), stamp)?,
        ))
    }
}

/// Copies pieces one behind the other.
struct Pieces<'a> {
    remnant: &'a mut Remnant,
    used: usize,
}

impl Pieces<'_> {
    fn copy<M: HostMemory>(
        &mut self,
        memory: &M,
        slot: usize,
        from: Range<u64>,
        stamps: Range<u64>,
        copy: &mut [u8],
    ) {
        if from.is_empty() {
            return;
        }
        let start = self.remnant.position;
        let first = self.remnant.num_pieces == 0 && from.start == start + PREAMBLE;
        let position = if first { start } else { from.start };
        let lost = self.remnant.lost_before;
        let preamble = Preamble {
            begin: stamps.start,
            lost,
            position,
        }
        .to_bytes();
        let bytes = (from.end - from.start) as usize;
        let piece = Piece {
            position,
            begin: stamps.start,
            end: stamps.end,
            at: self.used,
            len: preamble.len() + bytes,
        };
        let (head, events) = copy[piece.range()].split_at_mut(preamble.len());
        head.copy_from_slice(&preamble);
        memory.copy(slot, (from.start - start) as usize, events);
        self.used += piece.len;
        self.remnant.pieces[self.remnant.num_pieces] = piece;
        self.remnant.num_pieces += 1;
    }
}
