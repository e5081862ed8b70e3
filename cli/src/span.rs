//! Spans of time as people write them, `500ms`, `2s`, `1m`, and moments as they read them.

use std::time::{Duration, SystemTime};

/// Reads a span: a number with `ms`, `s`, `m` or `h`; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad(text)),
    };
    let number: f64 = number.parse().map_err(|_| bad(text))?;
    let span = Duration::try_from_secs_f64(number * seconds).map_err(|_| bad(text))?;
    if span.is_zero() { Err(bad(text)) } else { Ok(span) }
}

fn bad(text: &str) -> String {
    format!("`{text}` is not a span of time: write for example 500ms, 2s or 1m")
}

/// Whole days from now until then, a begun one counted.
pub(crate) fn days_until(then: SystemTime) -> u64 {
    then.duration_since(SystemTime::now()).unwrap_or_default().as_secs().div_ceil(86_400)
}

/// Writes a span for people, as short as it is exact to about three digits.
pub(crate) fn show(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    let (value, unit) = match seconds {
        s if s < 0.001 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s if s < 120.0 => (s, "s"),
        s if s < 7200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "days"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

/// Whole seconds since 1970.
pub(crate) fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Writes a moment for people: the date and the time of day, to the minute, in UTC.
///
/// Days are counted in years that begin in March, so that a leap day is the last of its year, and
/// in eras of 400 years, which are all alike.
pub(crate) fn moment(unix_s: u64) -> String {
    const DAYS_BEFORE_1970: u64 = 719_468; // since 1 March of the year 0
    const DAYS_OF_ERA: u64 = 146_097;
    let days = unix_s / 86_400 + DAYS_BEFORE_1970;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / (DAYS_OF_ERA - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // March is 0
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (hour, minute) = (unix_s / 3600 % 24, unix_s / 60 % 60);
    format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02}", era * 400 + year)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, millis) in [("500ms", 500), ("2s", 2000), ("2", 2000), ("1.5s", 1500), ("1m", 60_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "0s", "-1s", "2 parsecs", "1e300h", "..s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_shown_short() {
        for (millis, text) in
            [(100, "100 ms"), (1_234, "1.23 s"), (2_000, "2 s"), (60_000, "60 s"), (600_000, "10 min")]
        {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn moments_are_shown_as_dates() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00"),
            (951_782_399, "2000-02-28 23:59"),
            (951_782_400, "2000-02-29 00:00"),
            (951_868_800, "2000-03-01 00:00"),
            (1_709_208_000, "2024-02-29 12:00"),
            (4_107_542_400, "2100-03-01 00:00"),
            (253_402_300_799, "9999-12-31 23:59"),
        ] {
            assert_eq!(moment(unix_s), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_span_or_is_refused(text in "[0-9.]{0,12} ?(ms|s|m|h|x)?", other: String) {
            for text in [text, other] {
                match parse(&text) {
                    Ok(span) => prop_assert!(!span.is_zero(), "{}", show(span)),
                    Err(why) => prop_assert!(why.contains("write for example 500ms"), "{why}"),
                }
            }
        }

        #[test]
        fn what_is_shown_is_right_to_a_hundredth(nanos: u64) {
            let span = Duration::from_nanos(nanos);
            let text = show(span);
            let (number, unit) = text.split_once(' ').unwrap();
            let units = [("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0), ("days", 86_400.0)];
            let (_, seconds) = units.into_iter().find(|(name, _)| *name == unit).unwrap();
            let shown = number.parse::<f64>().unwrap() * seconds;
            prop_assert!((shown - span.as_secs_f64()).abs() <= 0.01 * shown + 1e-8, "{text} for {span:?}");
        }

        #[test]
        fn moments_grow_as_their_text(unix_s in 0..253_402_300_000_u64, later in 60..1_000_000_000_u64) {
            prop_assert!(moment(unix_s) < moment((unix_s + later).min(253_402_300_799)));
        }
    }
}
