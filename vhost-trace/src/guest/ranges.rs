//! Which guest addresses are spoken for. Nothing that a guest registers may
//! overlap anything else that it has registered: a ring within the root page
//! or within another ring would let one of them lie about the other.

use std::collections::BTreeMap;

/// Guest-physical ranges, none of which overlap.
#[derive(Debug, Default)]
pub struct Ranges {
    // start -> end
    taken: BTreeMap<u64, u64>,
}

/// Two ranges overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{gpa:#x} overlaps what is registered at {other:#x}")]
pub struct Overlap {
    /// The new range.
    pub gpa: u64,
    /// The old one.
    pub other: u64,
}

impl Ranges {
    /// Take all of `(start, len)`, or none of them.
    pub fn take(&mut self, wanted: &[(u64, u64)]) -> Result<(), Overlap> {
        for (done, &(gpa, len)) in wanted.iter().enumerate() {
            if let Err(overlap) = self.take_one(gpa, len) {
                self.give_back(&wanted[..done]);
                return Err(overlap);
            }
        }
        Ok(())
    }

    fn take_one(&mut self, gpa: u64, len: u64) -> Result<(), Overlap> {
        let end = gpa.saturating_add(len);
        if let Some((&other, _)) = self
            .taken
            .range(..end)
            .next_back()
            .filter(|&(_, &other_end)| other_end > gpa)
        {
            return Err(Overlap { gpa, other });
        }
        self.taken.insert(gpa, end);
        Ok(())
    }

    /// Give back what was taken.
    pub fn give_back(&mut self, ranges: &[(u64, u64)]) {
        for (gpa, _) in ranges {
            self.taken.remove(gpa);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_ranges_do_not_overlap() {
        let mut ranges = Ranges::default();
        ranges.take(&[(0x1000, 0x1000), (0x3000, 0x1000)]).unwrap();
        assert!(ranges.take(&[(0x2000, 0x1000)]).is_ok());
        for bad in [(0x1000, 1), (0xfff, 2), (0x3fff, 1), (0, 0x10000)] {
            assert!(ranges.take(&[bad]).is_err(), "{bad:x?}");
        }
        // Within one request too, and then nothing of it stays.
        assert_eq!(
            ranges.take(&[(0x8000, 0x1000), (0x8000, 0x1000)]),
            Err(Overlap {
                gpa: 0x8000,
                other: 0x8000
            })
        );
        assert!(ranges.take(&[(0x8000, 0x1000)]).is_ok());
        ranges.give_back(&[(0x1000, 0x1000)]);
        assert!(ranges.take(&[(0x1000, 0x1000)]).is_ok());
    }
}
