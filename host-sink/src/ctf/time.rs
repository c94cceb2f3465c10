//! Wall-clock times in names and metadata: UTC, of the Gregorian calendar.

use std::time::{SystemTime, UNIX_EPOCH};

/// `20251121T013005+0000`, as LTTng writes it. Before 1970 counts as 1970.
pub(super) fn iso8601(time: SystemTime) -> String {
    let (date, clock) = parts(time);
    format!("{date}T{clock}+0000")
}

/// `20251121-013005`, for a directory's name.
pub(super) fn compact(time: SystemTime) -> String {
    let (date, clock) = parts(time);
    format!("{date}-{clock}")
}

fn parts(time: SystemTime) -> (String, String) {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (year, month, day) = date(seconds / 86_400);
    let of_day = seconds % 86_400;
    (
        format!("{year:04}{month:02}{day:02}"),
        format!(
            "{:02}{:02}{:02}",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        ),
    )
}

/// Year, month and day of the day that is `days` after 1970-01-01. Years are
/// counted from March, so that a leap day ends one (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn knows_the_calendar() {
        for (seconds, expected) in [
            (0, "19700101-000000"),
            (951_782_400, "20000229-000000"),
            (951_868_799, "20000229-235959"),
            (1_735_689_599, "20241231-235959"),
            (4_107_542_400, "21000301-000000"),
        ] {
            assert_eq!(compact(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        assert_eq!(iso8601(UNIX_EPOCH), "19700101T000000+0000");
    }
}
