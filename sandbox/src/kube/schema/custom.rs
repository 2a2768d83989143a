//! The schemas of custom resources: defaults, and what they refuse.

use serde_json::{Value, json};

use super::place::flag;
use crate::kube::status::Cause;

/// Fills in the defaults.
pub fn defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (name, schema) in properties.into_iter().flatten() {
                if let Some(default) = schema.get("default")
                    && map.get(name).is_none_or(Value::is_null)
                {
                    map.insert(name.clone(), default.clone());
                }
            }
            let other = schema.get("additionalProperties");
            for (name, value) in map {
                let schema = properties.and_then(|all| all.get(name)).or(other);
                if let Some(schema) = schema {
                    defaults(value, schema);
                }
            }
        }
        Value::Array(list) => {
            if let Some(schema) = schema.get("items") {
                list.iter_mut().for_each(|item| defaults(item, schema));
            }
        }
        _ => {}
    }
}

/// What a schema refuses: types, missing fields, enumerations, bounds and lengths.
pub fn faults(object: &Value, schema: &Value, causes: &mut Vec<Cause>) {
    check(object, schema, "", true, causes);
}

fn check(value: &Value, schema: &Value, path: &str, root: bool, causes: &mut Vec<Cause>) {
    let is = kind_of(value);
    let wanted = schema.get("type").and_then(Value::as_str);
    let free = flag(schema, "x-kubernetes-int-or-string") && matches!(is, "integer" | "string");
    let fits = wanted.is_none_or(|wanted| {
        wanted == is
            || wanted == "number" && is == "integer"
            || value.is_null() && flag(schema, "nullable")
    });
    if !fits && !free {
        let why = format!(
            "{path} in body must be of type {}: \"{is}\"",
            wanted.unwrap_or_default()
        );
        causes.push(Cause::invalid(path, &json!(is), &why));
        return;
    }
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let exclusive = |name: &str| flag(schema, name);
    match value {
        Value::Object(map) => {
            for name in schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let name = name.as_str().unwrap_or_default();
                if !map.contains_key(name) {
                    causes.push(Cause::required(under(path, name), ""));
                }
            }
            let properties = schema.get("properties").and_then(Value::as_object);
            let other = schema
                .get("additionalProperties")
                .filter(|other| other.is_object());
            for (name, value) in map {
                if root && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                    continue;
                }
                if let Some(schema) = properties.and_then(|all| all.get(name)).or(other) {
                    check(value, schema, &under(path, name), false, causes);
                }
            }
        }
        Value::Array(list) => {
            if let Some(most) = bound("maxItems").filter(|most| list.len() as f64 > *most) {
                causes.push(Cause::too_many(path, list.len(), most));
            }
            if let Some(least) = bound("minItems").filter(|least| (list.len() as f64) < *least) {
                let why = format!("{path} in body should have at least {least} items");
                causes.push(Cause::invalid(path, &json!(list.len()), &why));
            }
            if let Some(schema) = schema.get("items") {
                for (at, item) in list.iter().enumerate() {
                    check(item, schema, &format!("{path}[{at}]"), false, causes);
                }
            }
        }
        Value::String(text) => {
            let length = text.chars().count();
            if let Some(most) = bound("maxLength").filter(|most| length as f64 > *most) {
                causes.push(Cause::too_long(path, most as usize));
            }
            if let Some(least) = bound("minLength").filter(|least| (length as f64) < *least) {
                let why = format!("{path} in body should be at least {least} chars long");
                causes.push(Cause::invalid(path, value, &why));
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            let high = bound("maximum")
                .filter(|most| number > *most || exclusive("exclusiveMaximum") && number >= *most);
            if let Some(most) = high {
                let or = if exclusive("exclusiveMaximum") {
                    ""
                } else {
                    " or equal to"
                };
                let why = format!("{path} in body should be less than{or} {most}");
                causes.push(Cause::invalid(path, value, &why));
            }
            let low = bound("minimum").filter(|least| {
                number < *least || exclusive("exclusiveMinimum") && number <= *least
            });
            if let Some(least) = low {
                let or = if exclusive("exclusiveMinimum") {
                    ""
                } else {
                    " or equal to"
                };
                let why = format!("{path} in body should be greater than{or} {least}");
                causes.push(Cause::invalid(path, value, &why));
            }
        }
        _ => {}
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
        && !(value.is_null() && flag(schema, "nullable"))
    {
        let shown: Vec<String> = allowed
            .iter()
            .map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned))
            .collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        causes.push(Cause::unsupported(path, value, &shown));
    }
}

fn under(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
