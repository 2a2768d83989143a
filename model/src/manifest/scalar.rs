//! What a YAML scalar means, as kubectl reads it (go-yaml v2, YAML 1.1): `0644` is 420 and an
//! unquoted `yes` is true.

use serde_json::{Number, Value};

/// The value of an unquoted, untagged scalar.
pub fn resolve(text: &str) -> Value {
    let Some(first) = text.bytes().next() else {
        return Value::Null;
    };
    match first {
        b'0'..=b'9' | b'+' | b'-' => number(text).map_or_else(|| text.into(), Value::Number),
        b'.' if text.len() > 1 && is_float(text) => text
            .parse()
            .ok()
            .and_then(float)
            .map_or_else(|| text.into(), Value::Number),
        _ => match text {
            "~" | "null" | "Null" | "NULL" => Value::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                Value::Bool(true)
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off"
            | "OFF" => Value::Bool(false),
            _ => text.into(),
        },
    }
}

/// A word that means true or false in YAML 1.1 only.
pub fn is_boolean_word(text: &str) -> bool {
    !text.eq_ignore_ascii_case("true")
        && !text.eq_ignore_ascii_case("false")
        && resolve(text).is_boolean()
}

/// A number that JSON cannot hold: kubectl refuses the whole file for it.
pub fn is_not_finite(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

fn number(text: &str) -> Option<Number> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    integer(&plain).or_else(|| {
        // A float out of range stays text, like everything that is no number.
        is_float(&plain)
            .then(|| plain.parse().ok().and_then(float))
            .flatten()
    })
}

/// Go's `ParseInt(…, 0, 64)`: a prefix or a leading zero gives the base.
fn integer(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (base, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        // Only binary numbers may carry the sign inside ("0b-1").
        Some("0b") if digits[2..].starts_with('-') && !negative => {
            let value = i64::from_str_radix(&digits[2..], 2).ok()?;
            return Some(value.into());
        }
        Some("0b") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if !negative {
        return Some(magnitude.into());
    }
    i64::try_from(-i128::from(magnitude)).ok().map(Number::from)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// A whole float is written as an integer, as Go's JSON does.
fn float(value: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        return Some((value as i64).into());
    }
    Number::from_f64(value)
}
