//! Writing out what is old, though its sub-buffer is not complete: for those
//! who want a file to be behind by no more than so many seconds, and pay with
//! wake-ups.

use std::time::{Duration, Instant};

use ringbuf::Mode;

use super::ring::DrainRing;
use super::sinks::Sinks;
use super::worker::Worker;

/// When incomplete sub-buffers are written out, if ever.
#[derive(Debug, Default)]
pub struct Aging {
    period: Option<Duration>,
    due: Option<Instant>,
}

impl Aging {
    /// Nothing gets older than `period`.
    pub fn new(period: Option<Duration>) -> Aging {
        Aging { period, due: None }
    }

    /// How long until something is to be written, as long as there are rings.
    pub fn pause(&mut self, has_rings: bool) -> Option<Duration> {
        if !has_rings {
            self.due = None;
            return None;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + self.period?);
        Some(due.saturating_duration_since(now))
    }

    /// Whether it is time; then it is not for another period.
    fn is_due(&mut self) -> bool {
        let due = self.due.is_some_and(|due| due <= Instant::now());
        if due {
            self.due = None;
        }
        due
    }
}

impl Worker {
    /// Write out what is old, if it is time.
    pub(super) fn age(&mut self) {
        if !self.aging.is_due() {
            return;
        }
        for ring in self.rings.values_mut() {
            ring.age(&self.sinks);
        }
    }
}

impl DrainRing {
    fn age(&mut self, sinks: &Sinks) {
        if self.remains.is_some() || self.ring.geometry.mode() == Mode::Overwrite {
            return;
        }
        let pos = self.guarded(|ring| Ok(ring.reader.released() + ring.reader.fill()?));
        if pos.is_none() || pos == self.aged {
            return;
        }
        if let Some(packet) = self.guarded(Self::cut).flatten() {
            sinks.provisional(&packet);
            self.aged = pos;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_ages_only_with_rings() {
        let mut off = Aging::new(None);
        assert_eq!(off.pause(true), None);
        assert!(!off.is_due());

        let mut aging = Aging::new(Some(Duration::ZERO));
        assert_eq!(aging.pause(false), None);
        assert!(!aging.is_due());
        assert_eq!(aging.pause(true), Some(Duration::ZERO));
        assert!(aging.is_due());
        assert!(!aging.is_due());
    }
}
