//! Durations as users write them: `500ms`, `1s`, `10m`, `1h30m`.

/// Units, longest first, in ms.
const UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// A hundred years: more is a slip of the pen, and sums stay far from overflow.
const LONGEST_MS: u64 = 100 * 365 * 24 * 3_600_000;

/// The duration in ms. `0` needs no unit.
pub fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == &rest[..unit])?;
        total += number * *ms as f64;
        rest = &rest[unit..];
    }
    (total.is_finite() && total <= LONGEST_MS as f64).then_some(total.round() as u64)
}

/// The shortest text that reads back as the same duration.
pub fn duration_text(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms;
    let mut out = String::new();
    for (unit, size) in UNITS {
        if rest >= *size {
            out.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    out
}
