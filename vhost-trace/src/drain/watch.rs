//! Passing copies of all rings on to those who watch, from time to time, and at
//! once when a ring's writer kicks for one of them.

use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::live::{Audience, Batch, Tap};
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

/// Who watches, and since when there was nothing new.
#[derive(Debug, Default)]
pub struct Watching {
    to: Option<(Tap, Audience)>,
    due: Option<Instant>,
    looked: Option<Instant>,
    kicked: bool,
    pause: Duration,
    missed: u64,
    lost: u64,
    // The last events of a batch are shown with the next one.
    unsettled: bool,
}

impl Watching {
    /// Whether anybody watches.
    pub fn is_wanted(&self) -> bool {
        self.to.is_some()
    }

    /// How long until the rings are to be looked at.
    pub fn pause(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// A ring's writer has kicked.
    pub fn kicked(&mut self) {
        let (Some((_, audience)), Some(due)) = (&self.to, self.due) else {
            return;
        };
        if audience.waits {
            let now = Instant::now();
            let soon = self.looked.map_or(now, |looked| now.max(looked + GAP));
            self.due = Some(due.min(soon));
            self.kicked = true;
        }
    }

    /// When to look again, after a look that was `blocked` by a writer or not.
    fn looked(&mut self, now: Instant, audience: Audience, blocked: bool) {
        let period = if audience.sees { PERIOD } else { KICK_LOST };
        self.pause = match (std::mem::take(&mut self.kicked), blocked) {
            (true, _) => AGAIN,
            (false, true) if audience.waits => (self.pause * 2).min(period),
            _ => period,
        };
        self.looked = Some(now);
        self.due = Some(now + self.pause);
    }
}

impl Worker {
    /// Begin or end to give copies away. What comes after this is shown.
    pub(super) fn watch(&mut self, to: Option<(Tap, Audience)>) {
        if self.watching.is_wanted() != to.is_some() {
            for ring in self.rings.values_mut() {
                ring.watch(to.is_some());
            }
            self.watching = Watching::default();
        }
        self.watching.due = to.is_some().then(Instant::now);
        // The first look says where the new begins: it is not to fail.
        self.watching.kicked = to.is_some();
        self.watching.to = to;
        // What is whole by now is not new.
        self.pump();
        self.show();
    }

    /// If it is time, give away what is new.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        if self.watching.due.is_none_or(|due| due > now) {
            return;
        }
        let Some((tap, audience)) = &self.watching.to else {
            return;
        };
        let (tap, audience) = (tap.clone(), *audience);
        let Some((trace, schema)) = &self.trace else {
            self.watching.looked(now, audience, false);
            return;
        };
        let mut batch = Batch::new(trace.clone(), schema.clone());
        let mut blocked = false;
        for ring in self.rings.values_mut() {
            blocked |= !ring.show(&mut batch);
        }
        self.watching.looked(now, audience, blocked);
        batch.missed += std::mem::take(&mut self.watching.missed);
        batch.lost += std::mem::take(&mut self.watching.lost);
        let has_news = !batch.is_empty();
        if !has_news && !self.watching.unsettled {
            return;
        }
        self.watching.unsettled = has_news;
        if let Err(batch) = tap.put(batch) {
            self.watching.missed += batch.missed + batch.events();
            self.watching.lost += batch.lost;
            self.watching.unsettled = true;
        }
    }
}
