//! Passing copies of all rings on to those who watch, from time to time, and at
//! once when a ring's writer kicks for one of them.

use std::time::{Duration, Instant};

use super::pace::Pace;
use super::worker::Worker;
use crate::live::{Audience, Batch, Tap};

/// Who watches, and since when there was nothing new.
#[derive(Debug, Default)]
pub struct Watching {
    to: Option<(Tap, Pace)>,
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
        let (_, pace) = self.to.as_ref()?;
        Some(pace.due().saturating_duration_since(Instant::now()))
    }

    /// A ring's writer has kicked.
    pub fn kicked(&mut self) {
        if let Some((_, pace)) = &mut self.to {
            pace.kicked(Instant::now());
        }
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
        let now = Instant::now();
        self.watching.to = to.map(|(tap, audience)| (tap, Pace::new(audience, now)));
        // What is whole by now is not new.
        self.pump();
        self.show();
    }

    /// If it is time, give away what is new.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        let due = |(_, pace): &&mut (Tap, Pace)| pace.due() <= now;
        let Some((tap, pace)) = self.watching.to.as_mut().filter(due) else {
            return;
        };
        let Some((trace, schema)) = &self.trace else {
            pace.looked(now, false);
            return;
        };
        let mut batch = Batch::new(trace.clone(), schema.clone());
        let mut blocked = false;
        for ring in self.rings.values_mut() {
            blocked |= !ring.show(&mut batch);
        }
        pace.looked(now, blocked);
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
