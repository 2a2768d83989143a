//! Values that the schemas of built-in kinds allow: enumerations, and texts that must be there.

use serde_json::{Map, Value};

use super::{Form, fields};
use crate::kube::status::Cause;

/// Fields whose rules and words are not those of the others.
const OTHERWISE: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "status",
    "roleRef",
    "subjects",
    "strategy",
    "updateStrategy",
    "podManagementPolicy",
    // May be empty where it must be there.
    "value",
    "operator",
    "key",
];

/// Fields whose values the real server does not list by the alphabet.
const ORDERS: &[(&str, &[&str])] = &[
    ("restartPolicy", &["Always", "OnFailure", "Never"]),
    (
        "dnsPolicy",
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    ),
    (
        "terminationMessagePolicy",
        &["File", "FallbackToLogsOnError"],
    ),
    ("policyTypes", &["Ingress", "Egress"]),
];

/// Tells values that are not allowed and texts that are missing.
pub fn check(object: &Value, form: &Form, causes: &mut Vec<Cause>) {
    if let (Value::Object(map), Form::Object(name)) = (object, form) {
        walk(map, name, "", causes);
    }
}

fn walk(map: &Map<String, Value>, name: &str, path: &str, causes: &mut Vec<Cause>) {
    let Some(fields) = fields(name) else { return };
    let mut names: Vec<&&str> = fields.keys().collect();
    names.sort();
    for name in names {
        let field = &fields[*name];
        if OTHERWISE.contains(name) {
            continue;
        }
        let path = if path.is_empty() {
            (*name).to_owned()
        } else {
            format!("{path}.{name}")
        };
        let value = map.get(*name).unwrap_or(&Value::Null);
        let missing = value.is_null() || value == "";
        if field.required && missing && field.form == Form::Text {
            let why = if *name == "pathType" {
                "pathType must be specified"
            } else {
                ""
            };
            if causes.iter().all(|cause| cause.field != path) {
                causes.push(Cause::required(path, why));
            }
            continue;
        }
        let said = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let unknown = said.iter().find(|one| {
            one.as_str()
                .is_some_and(|one| !one.is_empty() && !field.allowed.contains(&one))
        });
        if let Some(unknown) = unknown.filter(|_| !field.allowed.is_empty()) {
            let otherwise = ORDERS.iter().find(|(one, _)| one == name);
            let allowed = otherwise.map_or(field.allowed.as_slice(), |(_, order)| order);
            causes.push(Cause::unsupported(&path, unknown, allowed));
        }
        below(value, &field.form, &path, causes);
    }
}

fn below(value: &Value, form: &Form, path: &str, causes: &mut Vec<Cause>) {
    match (value, form) {
        (Value::Object(map), Form::Object(name)) => walk(map, name, path, causes),
        (Value::Object(map), Form::Map(form)) => {
            for (key, value) in map {
                below(value, form, &format!("{path}[{key}]"), causes);
            }
        }
        (Value::Array(list), Form::List(form)) => {
            for (at, item) in list.iter().enumerate() {
                below(item, form, &format!("{path}[{at}]"), causes);
            }
        }
        _ => {}
    }
}
