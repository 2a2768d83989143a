//! One text and one number for equal objects.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The JSON text with sorted keys and without spaces; sorted here, because a feature flag of
/// some other crate decides whether `serde_json` does.
pub fn canonical(value: &Value) -> String {
    sorted(value).to_string()
}

/// Inserted in order of the keys, which is the order in which either map writes them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            entries
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}

/// SHA-256 of canonical text, in hex.
pub fn digest(canonical: &str) -> String {
    use std::fmt::Write;
    Sha256::digest(canonical.as_bytes())
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
