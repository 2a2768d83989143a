//! Whether an object can be decoded into a built-in kind, and what Go says when it cannot.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Form, fields};

/// Why an object cannot be decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// As the decoder of a create or an update says it.
    pub sent: String,
    /// As the converter of an apply says it.
    pub applied: String,
}

impl Fault {
    fn plain(why: impl Into<String>) -> Option<Self> {
        let why: String = why.into();
        Some(Self {
            applied: why.clone(),
            sent: why,
        })
    }
}

const QUANTITY: &str = "quantities must match the regular expression \
    '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The first thing that keeps `value` from being decoded.
pub fn fault(value: &Value, form: &Form) -> Option<Fault> {
    decode(value, form, "", "")
}

/// `owner` is the type around the field at `path`; items and values of maps have no path of their own.
fn decode(value: &Value, form: &Form, owner: &str, path: &str) -> Option<Fault> {
    let wrong = |found: &str| {
        let go = go(form);
        Some(Fault {
            sent: format!(
                "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {go}"
            ),
            applied: format!("json: cannot unmarshal {found} into Go value of type {go}"),
        })
    };
    match (form, value) {
        (_, Value::Null) | (Form::Anything, _) => None,
        (Form::Text, Value::String(_))
        | (Form::Flag, Value::Bool(_))
        | (Form::Number, Value::Number(_)) => None,
        (Form::Int | Form::NumberOrText, Value::Number(number)) => {
            let fits = number.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
            if fits {
                None
            } else if number.is_f64() {
                let mut fault = wrong(&format!("number {number}"))?;
                "cannot convert float64 to int32".clone_into(&mut fault.applied);
                Some(fault)
            } else {
                wrong(&format!("number {number}"))
            }
        }
        (Form::Long, Value::Number(number)) if number.is_i64() => None,
        (Form::Long, Value::Number(number)) => wrong(&format!("number {number}")),
        (Form::NumberOrText, Value::String(_)) => None,
        (Form::Quantity, Value::String(text)) if is_quantity(text) => None,
        (Form::Quantity, Value::Number(_)) => None,
        (Form::Quantity, _) => Fault::plain(QUANTITY),
        (Form::Bytes, Value::String(text)) => {
            let at = match STANDARD.decode(text) {
                Ok(_) => return None,
                Err(base64::DecodeError::InvalidByte(at, _)) => at,
                Err(_) => text.len() / 4 * 4,
            };
            let why = format!("illegal base64 data at input byte {at}");
            Some(Fault {
                applied: format!("error decoding from json: {why}"),
                sent: why,
            })
        }
        (Form::Time, Value::String(text)) => {
            if text.is_empty() || text.parse::<jiff::Timestamp>().is_ok() {
                return None;
            }
            Fault::plain(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            ))
        }
        (Form::Object(name), Value::Object(map)) => {
            let fields = fields(name)?;
            let owner = name.rsplit('.').next().unwrap_or_default();
            map.iter().find_map(|(field, value)| {
                let form = &fields.get(field.as_str())?.form;
                let path = if path.is_empty() {
                    field.clone()
                } else {
                    format!("{path}.{field}")
                };
                decode(value, form, owner, &path)
            })
        }
        (Form::Map(form), Value::Object(map)) => map
            .values()
            .find_map(|value| decode(value, form, owner, path)),
        (Form::List(form), Value::Array(list)) => list
            .iter()
            .find_map(|value| decode(value, form, owner, path)),
        (_, Value::Bool(_)) => wrong("bool"),
        (_, Value::Number(_)) => wrong("number"),
        (_, Value::String(_)) => wrong("string"),
        (_, Value::Array(_)) => wrong("array"),
        (_, Value::Object(_)) => wrong("object"),
    }
}

/// What Go calls a form.
fn go(form: &Form) -> String {
    match form {
        Form::Text => "string".into(),
        Form::Flag => "bool".into(),
        Form::Int | Form::NumberOrText => "int32".into(),
        Form::Long => "int64".into(),
        Form::Number => "float64".into(),
        Form::Bytes => "[]uint8".into(),
        Form::Time => "time.Time".into(),
        Form::Quantity => "resource.Quantity".into(),
        Form::Anything => "interface {}".into(),
        Form::Object(name) => {
            let mut words = name.rsplit('.');
            let (name, package) = (words.next(), words.next());
            format!(
                "{}.{}",
                package.unwrap_or_default(),
                name.unwrap_or_default()
            )
        }
        Form::List(item) => format!("[]{}", go(item)),
        Form::Map(value) if **value == Form::Quantity => "v1.ResourceList".into(),
        Form::Map(value) => format!("map[string]{}", go(value)),
    }
}

/// Whether a text is a quantity such as `100Mi`, `0.5` or `2e3`.
pub fn is_quantity(text: &str) -> bool {
    amount(text).is_some()
}

/// How much a quantity is.
pub fn amount(text: &str) -> Option<f64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let scale = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        power => 10f64.powi(power.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    Some(number * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_what_kubernetes_takes_for_them() {
        for (text, good) in [
            ("1", true),
            ("-1", true),
            ("0.5", true),
            ("100m", true),
            ("1Gi", true),
            ("2e3", true),
            ("", false),
            ("fast", false),
            ("1 Gi", false),
            ("1gi", false),
        ] {
            assert_eq!(is_quantity(text), good, "{text:?}");
        }
        assert!(amount("1500m") > amount("1"));
    }
}
