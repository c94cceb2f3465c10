//! Passing copies of all rings on to those who watch, from time to time.

use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::live::{Batch, Tap};

/// How old an event gets before it is shown, about.
const PERIOD: Duration = Duration::from_millis(50);

/// Who watches, and since when there was nothing new.
#[derive(Debug, Default)]
pub struct Watching {
    tap: Option<Tap>,
    due: Option<Instant>,
    missed: u64,
    lost: u64,
    // The last events of a batch are shown with the next one.
    unsettled: bool,
}

impl Watching {
    /// Whether anybody watches.
    pub fn is_wanted(&self) -> bool {
        self.tap.is_some()
    }

    /// How long until the rings are to be looked at.
    pub fn pause(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }
}

impl Worker {
    /// Begin or end to give copies away.
    pub(super) fn watch(&mut self, tap: Option<Tap>) {
        for ring in self.rings.values_mut() {
            ring.watch(tap.is_some());
        }
        self.watching = Watching {
            due: tap.is_some().then(Instant::now),
            tap,
            ..Default::default()
        };
    }

    /// If it is time, give away what is new.
    pub(super) fn show(&mut self) {
        let now = Instant::now();
        let Some(due) = self.watching.due.filter(|due| *due <= now) else {
            return;
        };
        // Behind time, one pass is enough.
        self.watching.due = Some((due + PERIOD).max(now));
        let (Some(tap), Some((trace, schema))) = (&self.watching.tap, &self.trace) else {
            return;
        };
        let mut batch = Batch::new(trace.clone(), schema.clone());
        for ring in self.rings.values_mut() {
            ring.show(&mut batch);
        }
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
