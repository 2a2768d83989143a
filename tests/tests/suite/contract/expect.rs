//! Whether an answer is what was expected, and where it is not.

use serde_json::{Map, Value};

/// Compares `got` with what it must have and answers the first difference.
///
/// Maps may have more than is expected. `$any` is any value, `$absent` no value; `{$contains: […]}` are items
/// that a list must have in any order, `{$length: N}` its length, `{$not: …}` anything else. `…` in a text
/// stands for any text.
pub fn differs(want: &Value, got: Option<&Value>, at: &str) -> Option<String> {
    let tell = |why: &str| {
        let got = got.map_or("nothing".to_owned(), Value::to_string);
        Some(format!("{at}: expected {why}, got {got}"))
    };
    match (want, got) {
        (Value::String(word), None) if word == "$absent" => None,
        (Value::String(word), Some(_)) if word == "$any" => None,
        (Value::String(pattern), Some(Value::String(text))) if like(pattern, text) => None,
        (Value::Object(want), got) if is_rule(want) => rule(want, got, at),
        (Value::Object(want), Some(Value::Object(got))) => want
            .iter()
            .find_map(|(name, want)| differs(want, got.get(name), &format!("{at}.{name}"))),
        (Value::Array(want), Some(Value::Array(got))) if want.len() == got.len() => {
            let pairs = want.iter().zip(got).enumerate();
            pairs
                .map(|(i, (want, got))| differs(want, Some(got), &format!("{at}[{i}]")))
                .find_map(|found| found)
        }
        (want, Some(got)) if want == got => None,
        (want, _) => tell(&want.to_string()),
    }
}

fn is_rule(want: &Map<String, Value>) -> bool {
    ["$contains", "$length", "$not"]
        .iter()
        .any(|rule| want.contains_key(*rule))
}

fn rule(want: &Map<String, Value>, got: Option<&Value>, at: &str) -> Option<String> {
    let list = got.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(length) = want.get("$length")
        && *length != list.len()
    {
        return Some(format!("{at}: expected {length} items, got {}", list.len()));
    }
    if let Some(not) = want.get("$not")
        && differs(not, got, at).is_none()
    {
        return Some(format!("{at}: expected anything but {not}"));
    }
    let items = want.get("$contains").and_then(Value::as_array);
    let missing = items.into_iter().flatten().find(|want| {
        list.iter()
            .all(|got| differs(want, Some(got), at).is_some())
    })?;
    Some(format!(
        "{at}: expected an item {missing}, got {}",
        Value::from(list.to_vec())
    ))
}

/// Whether a text is as a pattern, in which `…` stands for any text.
pub fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn an_expectation_names_what_differs() {
    use serde_json::json;
    let got = json!({"a": {"b": "it is 17 here"}, "list": [{"n": 1}, {"n": 2}]});
    for (want, differs_at) in [
        (json!({"a": {"b": "it is … here"}}), None),
        (json!({"a": {"b": "it is …"}, "c": "$absent"}), None),
        (
            json!({"list": {"$contains": [{"n": 2}], "$length": 2}}),
            None,
        ),
        (json!({"list": [{"n": 1}, "$any"]}), None),
        (json!({"a": {"b": {"$not": "else"}}}), None),
        (json!({"a": {"b": "it is … there"}}), Some(".a.b")),
        (json!({"a": "$absent"}), Some(".a")),
        (json!({"list": [{"n": 1}]}), Some(".list")),
        (json!({"list": {"$contains": [{"n": 3}]}}), Some(".list")),
        (json!({"c": "$any"}), Some(".c")),
        (json!({"a": {"$not": "$any"}}), Some(".a")),
    ] {
        let found = differs(&want, Some(&got), "");
        let at = found.as_deref().and_then(|why| why.split(':').next());
        assert_eq!(at, differs_at, "{want}");
    }
}
