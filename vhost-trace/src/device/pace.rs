//! A bound on requests by time: a driver needs a few hundred when it starts
//! and a few when something changes; one that floods the queue must not take a
//! host processor with it.

use std::time::{Duration, Instant};

/// Requests that are done in one turn, before other events have theirs.
pub const PER_TURN: u32 = 64;
/// Requests in one [`WINDOW`].
const PER_WINDOW: u32 = 1000;
/// Over which requests are counted.
const WINDOW: Duration = Duration::from_millis(100);

/// Counts requests and says when it is enough.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    done: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            since: Instant::now(),
            done: 0,
        }
    }
}

impl Pace {
    /// Count a request; if there were too many, how long to rest.
    pub fn count(&mut self, now: Instant) -> Option<Duration> {
        let passed = now.duration_since(self.since);
        if passed >= WINDOW {
            self.since = now;
            self.done = 0;
        }
        self.done += 1;
        if self.done < PER_WINDOW {
            return None;
        }
        Some(WINDOW.saturating_sub(now.duration_since(self.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_floods_are_slowed_down() {
        let mut pace = Pace::default();
        let start = pace.since;
        for _ in 1..PER_WINDOW {
            assert_eq!(pace.count(start), None);
        }
        assert_eq!(pace.count(start), Some(WINDOW));
        assert_eq!(pace.count(start + WINDOW), None);
    }
}
