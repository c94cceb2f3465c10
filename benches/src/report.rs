//! What came of it.

use std::time::Duration;

/// Times of one kind.
#[derive(Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let at = self.0.partition_point(|other| *other < time);
        self.0.insert(at, time);
    }

    /// A row of a table: `| what | runs | median | maximum |`, in ms.
    pub fn row(&self, what: &str) -> String {
        let middle = self.0.len() / 2;
        let median = match self.0.len() {
            0 => Duration::ZERO,
            odd if odd % 2 == 1 => self.0[middle],
            _ => (self.0[middle - 1] + self.0[middle]) / 2,
        };
        let most = self.0.last().copied().unwrap_or_default();
        let ms = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
        format!(
            "| {what} | {} | {} | {} |",
            self.0.len(),
            ms(median),
            ms(most)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bench_rows_have_median_and_maximum() {
        let mut times = Times::default();
        for ms in [30, 10, 20, 40] {
            times.add(Duration::from_millis(ms));
        }
        assert_eq!(times.row("x"), "| x | 4 | 25.00 | 40.00 |");
        times.add(Duration::from_millis(1));
        assert_eq!(times.row("x"), "| x | 5 | 20.00 | 40.00 |");
    }
}
