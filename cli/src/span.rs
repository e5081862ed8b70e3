//! Spans of time as people write them: `500ms`, `2s`, `1m`.

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

#[cfg(test)]
mod tests {
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
}
