//! What writer and host share, in every order that two processors may see it.
//! Run with `RUSTFLAGS="--cfg loom"`, in release mode.
#![cfg(loom)]

mod clock;
mod discard;
mod overwrite;
mod ring;
mod wake;

/// Explores every execution with so many preemptions; prints how many there were.
fn explore(name: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    let runs = Arc::new(AtomicU64::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    let count = runs.clone();
    let begun = std::time::Instant::now();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!(
        "{name}: {} executions, {:?}",
        runs.load(Ordering::Relaxed),
        begun.elapsed()
    );
}
