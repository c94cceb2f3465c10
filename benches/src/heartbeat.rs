//! What is usual: a service that is asked again and again whether it is there.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lab::Guest;

use crate::stamp;

/// Polls a service's process with a period, from now on, until it is gone.
/// Returns when that was known.
pub fn poll(guest: &Guest, pid: u32, period: Duration) -> Result<Duration> {
    let mut next = Instant::now();
    loop {
        let answer = guest.run(&format!("kill -0 {pid}"))?;
        if answer.status != 0 {
            return stamp::now();
        }
        next += period;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}
