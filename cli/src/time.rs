//! Durations as users write and read them, and times of the API.

use jiff::Timestamp;
use std::time::Duration;

/// Reads `30s`, `1m30s`, `2h`, `500ms`; a bare number counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration; write it like 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let milliseconds = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        total += Duration::from_millis(u64::from(number) * milliseconds);
        rest = &rest[unit..];
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

/// `0.4 s`, `12 s`, `3 m 20 s`, `2 h 5 m`, `4 d`: as exact as a reader wants it.
pub fn duration(value: Duration) -> String {
    let seconds = value.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", value.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment of the API, if it is one.
pub fn timestamp(value: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    value.and_then(|value| Timestamp::new(value.seconds, value.nanos).ok())
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(value: Option<&prost_types::Timestamp>) -> Option<String> {
    timestamp(value).map(|value| value.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())
}

/// How long ago; `-` if never. Clocks that differ never give a negative age.
pub fn age(value: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    timestamp(value).map_or_else(|| "-".to_owned(), |then| whole(now.duration_since(then)))
}

/// How long until; `now` if it is due.
pub fn until(value: Timestamp, now: Timestamp) -> String {
    let left = value.duration_since(now);
    if left.as_secs() < 1 {
        "now".to_owned()
    } else {
        format!("in {}", whole(left))
    }
}

/// In whole seconds, since a second's fraction of an age is noise.
fn whole(value: jiff::SignedDuration) -> String {
    let seconds = value.as_secs().max(0).unsigned_abs();
    if seconds < 10 {
        format!("{seconds} s")
    } else {
        duration(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("500ms", Some(500)),
            ("45", Some(45_000)),
            ("0", Some(0)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("s", None),
            ("5x", None),
            ("-1s", None),
            ("1.5s", None),
            ("1m30", None),
        ] {
            assert_eq!(
                parse_duration(text).ok().map(|d| d.as_millis()),
                milliseconds,
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_shown_as_exact_as_a_reader_wants_them() {
        for (milliseconds, text) in [
            (400, "0.4 s"),
            (4_230, "4.2 s"),
            (12_900, "12 s"),
            (200_000, "3 m 20 s"),
            (7_500_000, "2 h 5 m"),
            (400_000_000, "4 d"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), text);
        }
    }

    #[test]
    fn times_are_rfc_3339_with_milliseconds() {
        let time = prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 42_000_000,
        };
        assert_eq!(rfc3339(Some(&time)).unwrap(), "2023-11-14T22:13:20.042Z");
        assert_eq!(rfc3339(None), None);
    }
}
