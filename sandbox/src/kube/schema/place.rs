//! A walk over an object beside its schema, built in or of a definition: what does not fit, what is unknown.

use serde_json::{Map, Value};

use super::{Form, fields, metadata};
use crate::kube::ssa::{ListRule, Shape, element};

/// Where a walk over an object is.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// In a built-in kind or in `metadata`.
    Known(&'a Form),
    /// The root of a custom resource with that schema.
    Root(&'a Value),
    /// In a custom resource.
    Custom(&'a Value),
    /// Where anything goes.
    Open,
}

/// What can stand at a place, as far as a server-side apply looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Text,
    Number,
    Flag,
    Scalar,
    Map,
    List,
    Anything,
}

impl<'a> Place<'a> {
    fn what(self) -> What {
        match self {
            Place::Known(form) => match form {
                Form::Text | Form::Bytes | Form::Time => What::Text,
                Form::Flag => What::Flag,
                Form::Int | Form::Long | Form::Number => What::Number,
                Form::Quantity | Form::NumberOrText => What::Scalar,
                Form::Object(_) | Form::Map(_) => What::Map,
                Form::List(_) => What::List,
                Form::Anything => What::Anything,
            },
            Place::Root(_) => What::Map,
            Place::Custom(schema) if flag(schema, "x-kubernetes-int-or-string") => What::Scalar,
            Place::Custom(schema) => match schema.get("type").and_then(Value::as_str) {
                Some("string") => What::Text,
                Some("integer" | "number") => What::Number,
                Some("boolean") => What::Flag,
                Some("object") => What::Map,
                Some("array") => What::List,
                _ => What::Anything,
            },
            Place::Open => What::Anything,
        }
    }

    /// The place of a field, if the schema has one. `lenient`: a map that names no fields takes all.
    pub(super) fn field(self, name: &str, lenient: bool) -> Option<Place<'a>> {
        match self {
            Place::Known(Form::Object(of)) => Some(Place::Known(&fields(of)?.get(name)?.form)),
            Place::Known(Form::Map(value)) => Some(Place::Known(value)),
            Place::Known(_) | Place::Open => Some(Place::Open),
            Place::Root(_) if name == "metadata" => Some(Place::Known(metadata())),
            Place::Root(_) if matches!(name, "apiVersion" | "kind") => {
                Some(Place::Known(&Form::Text))
            }
            Place::Root(schema) | Place::Custom(schema) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                // Whole objects in objects bring these, whatever the schema says of them.
                if flag(schema, "x-kubernetes-embedded-resource")
                    && matches!(name, "apiVersion" | "kind" | "metadata")
                {
                    return Some(Place::Open);
                }
                if let Some(found) = properties.and_then(|all| all.get(name)) {
                    return Some(Place::Custom(found));
                }
                match schema.get("additionalProperties") {
                    Some(value @ Value::Object(_)) => return Some(Place::Custom(value)),
                    Some(Value::Bool(true)) => return Some(Place::Open),
                    _ => {}
                }
                let open = flag(schema, "x-kubernetes-preserve-unknown-fields")
                    || schema.get("type").is_none() && properties.is_none()
                    || lenient && properties.is_none_or(Map::is_empty);
                open.then_some(Place::Open)
            }
        }
    }

    /// The place of a list's items.
    pub(super) fn item(self) -> Place<'a> {
        match self {
            Place::Known(Form::List(item)) => Place::Known(item),
            Place::Custom(schema) => schema.get("items").map_or(Place::Open, Place::Custom),
            _ => Place::Open,
        }
    }
}

pub(super) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name) == Some(&Value::Bool(true))
}

/// What of an applied configuration its schema does not declare, with paths, in the words of a real server.
pub fn misfits(value: &Value, place: Place<'_>, shape: Shape<'_>) -> Vec<String> {
    let mut found = Vec::new();
    walk(value, place, shape, "", &mut found);
    found
}

fn walk(value: &Value, place: Place<'_>, shape: Shape<'_>, path: &str, found: &mut Vec<String>) {
    let mut tell = |why: String| found.push(format!("{path}: {why}"));
    match (place.what(), value) {
        (_, Value::Null) | (What::Anything, _) => {}
        (What::Text, Value::String(_))
        | (What::Number, Value::Number(_))
        | (What::Flag, Value::Bool(_))
        | (What::Scalar, Value::String(_) | Value::Number(_) | Value::Bool(_)) => {}
        (What::Text, other) => tell(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            as_go_syntax(other)
        )),
        (What::Number, other) => {
            let is = match other {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            tell(format!("expected numeric (int or float), got {is}"));
        }
        (What::Flag, other) => tell(format!("expected boolean, got &{{{}}}", as_go(other))),
        (What::Scalar, other) => tell(format!("expected any scalar, got &{{{}}}", as_go(other))),
        (What::Map, Value::Object(map)) => {
            for (name, value) in map {
                let path = format!("{path}.{name}");
                let Some(place) = place.field(name, true) else {
                    found.push(format!("{path}: field not declared in schema"));
                    // The real server stops at the first one of a map too.
                    return;
                };
                walk(value, place, shape.field(name), &path, found);
            }
        }
        (What::Map, other) => tell(format!("expected map, got &{{{}}}", as_go(other))),
        (What::List, Value::Array(list)) => {
            let rule = shape.list();
            for (at, item) in list.iter().enumerate() {
                if matches!(rule, ListRule::Keyed(_)) && !item.is_object() {
                    let why = "associative list with keys may not have non-map elements";
                    found.push(format!("{path}: element {at}: {why}"));
                    continue;
                }
                let name = element(item, at, &rule);
                walk(
                    item,
                    place.item(),
                    shape.item(),
                    &format!("{path}{name}"),
                    found,
                );
            }
        }
        (What::List, other) => tell(format!("expected list, got &{{{}}}", as_go(other))),
    }
}

/// A value as Go prints it.
fn as_go(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(as_go).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name}:{}", as_go(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

/// A value as Go would write it in a program.
fn as_go_syntax(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(as_go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", as_go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// Drops what no schema knows and tells the paths.
pub fn prune(value: &mut Value, place: Place<'_>) -> Vec<String> {
    let mut unknown = Vec::new();
    drop_unknown(value, place, "", &mut unknown);
    unknown
}

fn drop_unknown(value: &mut Value, place: Place<'_>, path: &str, unknown: &mut Vec<String>) {
    if matches!(place, Place::Open | Place::Known(Form::Anything)) {
        return;
    }
    match value {
        Value::Object(map) => {
            let takes_fields = place.what() == What::Map || place.what() == What::Anything;
            map.retain(|name, value| {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                match place.field(name, false) {
                    Some(place) => drop_unknown(value, place, &path, unknown),
                    None if takes_fields => {
                        unknown.push(path);
                        return false;
                    }
                    None => {}
                }
                true
            });
        }
        Value::Array(list) => {
            for (at, item) in list.iter_mut().enumerate() {
                drop_unknown(item, place.item(), &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Gives items of keyed lists of built-in kinds the keys they lack, which are then empty.
pub fn complete_keys(value: &mut Value, place: Place<'_>, shape: Shape<'_>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Some(place) = place.field(name, true) {
                    complete_keys(value, place, shape.field(name));
                }
            }
        }
        Value::Array(list) => {
            let keys = match shape.list() {
                ListRule::Keyed(keys) => keys,
                _ => Vec::new(),
            };
            for item in list {
                if let (Value::Object(item), Place::Known(_)) = (&mut *item, place) {
                    for key in keys.iter().filter(|key| **key != "protocol") {
                        let empty = match place.item().field(key, true).map(Place::what) {
                            Some(What::Number) => Value::from(0),
                            _ => Value::from(""),
                        };
                        item.entry(*key).or_insert(empty);
                    }
                }
                complete_keys(item, place.item(), shape.item());
            }
        }
        _ => {}
    }
}
