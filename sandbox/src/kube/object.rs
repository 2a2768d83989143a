//! Reading and writing the parts every object has.

use serde_json::{Map, Value};

/// `metadata`, or nothing.
pub fn meta(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata").and_then(Value::as_object)
}

/// `metadata`, made when absent.
pub fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    child(fields(object), "metadata")
}

/// The object's own fields; anything else becomes an empty object.
pub fn fields(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    match object {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// The map under `name`, made when absent.
pub fn child<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    fields(map.entry(name).or_insert_with(|| Value::Object(Map::new())))
}

/// The string under `metadata.<field>`, empty when absent.
pub fn meta_text<'a>(object: &'a Value, field: &str) -> &'a str {
    meta(object)
        .and_then(|meta| meta.get(field))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    meta_text(object, "name")
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    meta_text(object, "namespace")
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    meta_text(object, "uid")
}

/// The string at a JSON pointer, empty when absent.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a JSON pointer.
pub fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer).and_then(Value::as_i64)
}

/// `metadata.labels` as pairs.
pub fn labels(object: &Value) -> Vec<(String, String)> {
    let labels = meta(object)
        .and_then(|meta| meta.get("labels"))
        .and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Whether a deletion has begun.
pub fn is_deleting(object: &Value) -> bool {
    meta(object).is_some_and(|meta| meta.contains_key("deletionTimestamp"))
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let listed = meta(object)
        .and_then(|meta| meta.get("finalizers"))
        .and_then(Value::as_array);
    listed
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Adds a finalizer once.
pub fn add_finalizer(object: &mut Value, finalizer: &str) {
    if finalizers(object).contains(&finalizer) {
        return;
    }
    let listed = meta_mut(object)
        .entry("finalizers")
        .or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(listed) = listed {
        listed.push(finalizer.into());
    }
}

/// Removes a finalizer, and the list with the last one.
pub fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let meta = meta_mut(object);
    if let Some(Value::Array(listed)) = meta.get_mut("finalizers") {
        listed.retain(|one| one.as_str() != Some(finalizer));
        if listed.is_empty() {
            meta.remove("finalizers");
        }
    }
}

/// Removes nulls from maps, as decoding into typed objects does.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Maps that built-in types leave away when they are empty.
const LEFT_AWAY: &[&str] = &[
    "labels",
    "annotations",
    "data",
    "binaryData",
    "limits",
    "requests",
    "nodeSelector",
    "matchLabels",
    "parameters",
    "hard",
];

/// Lists that built-in types write even when they are empty.
const KEPT: &[&str] = &["containers", "rules", "versions", "managedFields"];

/// Removes empty lists and maps, as encoding typed objects does.
pub fn drop_empties(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            drop_empties(value);
            match value {
                Value::Array(list) => !list.is_empty() || KEPT.contains(&name.as_str()),
                Value::Object(inner) => !inner.is_empty() || !LEFT_AWAY.contains(&name.as_str()),
                _ => true,
            }
        }),
        Value::Array(list) => list.iter_mut().for_each(drop_empties),
        _ => {}
    }
}

/// Now, as Kubernetes writes times.
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// A random UID.
pub fn new_uid() -> String {
    let bytes: [u8; 16] = rand::random();
    let n = (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{n:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Five characters of Kubernetes' name alphabet, from `seed`.
pub fn suffix(mut seed: u64, length: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        text.push(char::from(
            ALPHABET[(seed % ALPHABET.len() as u64) as usize],
        ));
        seed /= ALPHABET.len() as u64;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_new_uid_is_a_version_4_uuid() {
        let uid = new_uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
        assert!("89ab".contains(&uid[19..20]), "{uid}");
    }

    #[test]
    fn the_last_finalizer_takes_the_list_with_it() {
        let mut object = json!({"metadata": {"name": "a"}});
        add_finalizer(&mut object, "x");
        add_finalizer(&mut object, "x");
        assert_eq!(finalizers(&object), ["x"]);
        remove_finalizer(&mut object, "x");
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
