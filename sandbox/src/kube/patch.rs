//! Patches: JSON patch, merge patch, and strategic merge patch.

use serde_json::{Map, Value};

use super::ssa::{ListRule, Shape};

/// RFC 7386.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (name, value) in patch {
            if value.is_null() {
                target.remove(name);
            } else {
                merge(target.entry(name).or_insert(Value::Null), value);
            }
        }
    }
}

/// RFC 6902.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch
        .as_array()
        .ok_or("a JSON patch is a list of operations")?;
    for operation in operations {
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        let path = text("path").ok_or("an operation has no path")?;
        let value = || {
            operation
                .get("value")
                .cloned()
                .ok_or_else(|| format!("operation at {path} has no value"))
        };
        let from = || text("from").ok_or_else(|| format!("operation at {path} has no from"));
        match text("op").unwrap_or_default() {
            "add" => add(target, path, value()?)?,
            "remove" => drop(take(target, path)?),
            "replace" => {
                let value = value()?;
                *target
                    .pointer_mut(path)
                    .ok_or_else(|| missing("replace", path))? = value;
            }
            "move" => {
                let moved = take(target, from()?)?;
                add(target, path, moved)?;
            }
            "copy" => {
                let copied = target
                    .pointer(from()?)
                    .cloned()
                    .ok_or_else(|| missing("copy", path))?;
                add(target, path, copied)?;
            }
            "test" => {
                if target.pointer(path).unwrap_or(&Value::Null) != &value()? {
                    return Err(format!("testing value {path} failed: test failed"));
                }
            }
            other => return Err(format!("Unexpected kind: {other}")),
        }
    }
    Ok(())
}

fn missing(operation: &str, path: &str) -> String {
    format!("{operation} operation does not apply: doc is missing path: {path}: missing value")
}

fn parent<'a>(target: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((
        target.pointer_mut(parent)?,
        last.replace("~1", "/").replace("~0", "~"),
    ))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    let refuse = || missing("add", path);
    match parent(target, path).ok_or_else(refuse)? {
        (Value::Object(map), name) => {
            map.insert(name, value);
        }
        (Value::Array(list), at) if at == "-" => list.push(value),
        (Value::Array(list), at) => {
            let at: usize = at.parse().map_err(|_| refuse())?;
            if at > list.len() {
                return Err(refuse());
            }
            list.insert(at, value);
        }
        _ => return Err(refuse()),
    }
    Ok(())
}

fn take(target: &mut Value, path: &str) -> Result<Value, String> {
    let refuse = || missing("remove", path);
    match parent(target, path).ok_or_else(refuse)? {
        (Value::Object(map), name) => map.remove(&name).ok_or_else(refuse),
        (Value::Array(list), at) => {
            let at: usize = at.parse().map_err(|_| refuse())?;
            if at < list.len() {
                Ok(list.remove(at))
            } else {
                Err(refuse())
            }
        }
        _ => Err(refuse()),
    }
}

/// Kubernetes' own merge, which merges lists by the first of their keys.
pub fn strategic(target: &mut Value, patch: &Value, shape: Shape<'_>) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut fresh = patch.clone();
            fresh.remove("$patch");
            *target = Value::Object(fresh);
            return;
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return;
        }
        _ => {}
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        map.retain(|name, _| kept.iter().any(|one| one == name));
    }
    for (name, value) in patch {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let gone = value.as_array().cloned().unwrap_or_default();
            if let Some(Value::Array(list)) = map.get_mut(list) {
                list.retain(|one| !gone.contains(one));
            }
        } else if name.starts_with('$') {
            // Orders and directives are about how, not what.
        } else if value.is_null() {
            map.remove(name);
        } else if let Value::Array(items) = value {
            strategic_list(
                map.entry(name).or_insert_with(|| Value::Array(Vec::new())),
                items,
                shape.field(name),
            );
        } else {
            strategic(
                map.entry(name).or_insert(Value::Null),
                value,
                shape.field(name),
            );
        }
    }
}

fn strategic_list(target: &mut Value, items: &[Value], shape: Shape<'_>) {
    let replaces = items
        .iter()
        .any(|item| item.get("$patch").and_then(Value::as_str) == Some("replace"));
    let plain = || {
        items
            .iter()
            .filter(|item| item.get("$patch").is_none())
            .cloned()
            .collect()
    };
    let key = match shape.list() {
        ListRule::Keyed(keys) if !replaces => keys.first().copied(),
        ListRule::Set if !replaces => None,
        _ => {
            *target = Value::Array(plain());
            return;
        }
    };
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Value::Array(list) = target else { return };
    for item in items {
        let Some(key) = key else {
            if !list.contains(item) {
                list.push(item.clone());
            }
            continue;
        };
        let at = list
            .iter()
            .position(|one| one.get(key).is_some() && one.get(key) == item.get(key));
        match (item.get("$patch").and_then(Value::as_str), at) {
            (Some("delete"), Some(at)) => drop(list.remove(at)),
            (Some("delete"), None) => {}
            (_, Some(at)) => strategic(&mut list[at], item, shape.item()),
            (_, None) => {
                let mut fresh = Value::Null;
                strategic(&mut fresh, item, shape.item());
                list.push(fresh);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a patch that does not fit is a failed test"
    )]
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_removes_with_null() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "l": [1]});
        merge(&mut object, &json!({"a": {"b": null, "d": 3}, "l": [2]}));
        assert_eq!(object, json!({"a": {"c": 2, "d": 3}, "l": [2]}));
    }

    #[test]
    fn a_json_patch_does_its_operations_in_order() {
        let mut object = json!({"a": {"x/y": 1}, "l": [1, 3]});
        let patch = json!([
            {"op": "test", "path": "/a/x~1y", "value": 1},
            {"op": "add", "path": "/l/1", "value": 2},
            {"op": "add", "path": "/l/-", "value": 4},
            {"op": "move", "from": "/a/x~1y", "path": "/b"},
            {"op": "replace", "path": "/b", "value": 5},
            {"op": "remove", "path": "/l/0"}
        ]);
        json(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"a": {}, "b": 5, "l": [2, 3, 4]}));
        assert!(
            json(
                &mut object,
                &json!([{"op": "test", "path": "/b", "value": 6}])
            )
            .is_err()
        );
        assert!(json(&mut object, &json!([{"op": "remove", "path": "/zz"}])).is_err());
    }

    #[test]
    fn a_strategic_patch_merges_lists_by_their_keys() {
        let mut object = json!({"spec": {"containers": [{"name": "a", "image": "1", "tty": true}, {"name": "b"}]}});
        let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [
            {"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "3"}]}});
        strategic(&mut object, &patch, Shape::built_in("Pod"));
        assert_eq!(
            object,
            json!({"spec": {"containers": [{"name": "a", "image": "2", "tty": true}, {"name": "c", "image": "3"}]}})
        );
    }
}
