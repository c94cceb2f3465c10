//! When the rings are looked at for those who watch.

use std::time::{Duration, Instant};

use crate::live::Audience;
use crate::wire::NOTIFY_GAP;

/// How old an event gets before it is shown, about.
const PERIOD: Duration = Duration::from_millis(50);
/// How long the rings go unseen where a kick is waited for: one may get lost,
/// in a guest that dies.
const KICK_LOST: Duration = Duration::from_secs(1);
/// How far apart two looks are at least, however often the guest kicks.
const GAP: Duration = Duration::from_nanos(NOTIFY_GAP);
/// Watched events that come within the guest's gap after a kick do not kick:
/// how long after the first look a second one finds them.
const AGAIN: Duration = Duration::from_nanos(2 * NOTIFY_GAP);

/// The looks of an audience.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    audience: Audience,
    due: Instant,
    looked: Option<Instant>,
    kicked: bool,
    pause: Duration,
}

impl Pace {
    /// Somebody watches from now on. The first look says where the new begins:
    /// as one after a kick, it is followed by another, should it fail.
    pub fn new(audience: Audience, now: Instant) -> Pace {
        Pace {
            audience,
            due: now,
            looked: None,
            kicked: true,
            pause: Duration::ZERO,
        }
    }

    /// When to look.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// A ring's writer has kicked.
    pub fn kicked(&mut self, now: Instant) {
        if self.audience.waits {
            let soon = self.looked.map_or(now, |looked| now.max(looked + GAP));
            self.due = self.due.min(soon);
            self.kicked = true;
        }
    }

    /// The rings were looked at; a writer was in the way, or none was.
    pub fn looked(&mut self, now: Instant, blocked: bool) {
        let period = if self.audience.sees {
            PERIOD
        } else {
            KICK_LOST
        };
        self.pause = match (std::mem::take(&mut self.kicked), blocked) {
            (true, _) => AGAIN,
            (false, true) if self.audience.waits => (self.pause * 2).min(period),
            _ => period,
        };
        self.looked = Some(now);
        self.due = now + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Audience = Audience {
        sees: false,
        waits: true,
    };
    const US: Duration = Duration::from_micros(1);

    /// When it looks until `end`, in us, if the guest kicks at these times.
    fn looks(pace: &mut Pace, start: Instant, kicks: &[u32], end: u32, blocked: bool) -> Vec<u128> {
        let mut looks = Vec::new();
        let mut look_until = |pace: &mut Pace, now: Instant| {
            while pace.due() <= now {
                let at = pace.due();
                pace.looked(at, blocked);
                looks.push((at - start).as_micros());
            }
        };
        for kick in kicks {
            look_until(pace, start + *kick * US);
            pace.kicked(start + *kick * US);
        }
        look_until(pace, start + end * US);
        looks
    }

    #[test]
    fn probe_watch_looks_at_a_kick_and_after_the_gap() {
        let start = Instant::now();
        let mut pace = Pace::new(WAITS, start);
        let seen = looks(&mut pace, start, &[500_000], 1_000_000, false);
        assert_eq!(seen, [0, 2_000, 500_000, 502_000]);
        let mut pace = Pace::new(WAITS, start);
        let seen = looks(&mut pace, start, &[], 100_000, true);
        assert_eq!(seen, [0, 2_000, 6_000, 14_000, 30_000, 62_000]);
    }

    #[test]
    fn probe_watch_looks_are_bounded() {
        let start = Instant::now();
        let mut pace = Pace::new(WAITS, start);
        let storm: Vec<u32> = (0..100_000).step_by(7).collect();
        let seen = looks(&mut pace, start, &storm, 100_000, false);
        assert!((100..=101).contains(&seen.len()), "{}", seen.len());
        // Whoever sees all has no use for kicks.
        let sees = Audience {
            sees: true,
            waits: false,
        };
        let mut pace = Pace::new(sees, start);
        let seen = looks(&mut pace, start, &storm, 100_000, false);
        assert_eq!(seen, [0, 2_000, 52_000]);
    }
}
