//! Rules of Pods that no schema says: volumes, ports, variables, probes, resources.

use serde_json::{Map, Value};

use crate::kube::names;
use crate::kube::object::text;
use crate::kube::schema::amount;
use crate::kube::status::Cause;

/// Why a number is too small.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// The items of a list, none when it is absent.
pub fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    let found = value.get(field).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

const RANGE: &str = "must be between 1 and 65535, inclusive";
const PORT_NAME: &str = "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";

fn is_port(value: &Value) -> bool {
    value
        .as_i64()
        .is_some_and(|port| (1..=65_535).contains(&port))
}

/// A port by number or by name.
pub fn port(value: &Value, field: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Number(_) if !is_port(value) => causes.push(Cause::invalid(field, value, RANGE)),
        Value::String(name) => port_name(name, field, causes),
        _ => {}
    }
}

fn port_name(name: &str, field: &str, causes: &mut Vec<Cause>) {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    if name.len() > 15 {
        let why = "must be no more than 15 characters";
        causes.push(Cause::invalid(field, &name.into(), why));
    } else if !name.bytes().all(inner) {
        causes.push(Cause::invalid(field, &name.into(), PORT_NAME));
    }
}

/// The rules of a Pod's spec that stand besides its containers' names and images.
pub fn pod(spec: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    let Some(spec) = spec else { return };
    for (at, volume) in list(spec, "volumes").iter().enumerate() {
        let field = format!("{path}.volumes[{at}]");
        let name = text(volume, "/name");
        if !name.is_empty() && !names::is_label(name) {
            causes.push(Cause::invalid(
                format!("{field}.name"),
                &name.into(),
                names::LABEL,
            ));
        }
        let kinds = volume.as_object().into_iter().flat_map(Map::keys);
        let mut kinds: Vec<&String> = kinds.filter(|kind| *kind != "name").collect();
        // The order in which the real server looks at them.
        kinds.sort_by_key(|kind| (*kind != "emptyDir", *kind != "hostPath", kind.as_str()));
        for kind in kinds.iter().skip(1) {
            let why = "may not specify more than 1 volume type";
            causes.push(Cause::forbidden(format!("{field}.{kind}"), why));
        }
        for (kind, inner) in [("secret", "secretName"), ("configMap", "name")] {
            let source = volume.get(kind);
            if source.is_some_and(|source| text(source, &format!("/{inner}")).is_empty()) {
                causes.push(Cause::required(format!("{field}.{kind}.{inner}"), ""));
            }
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for containers in ["containers", "initContainers"] {
        for (at, container) in list(spec, containers).iter().enumerate() {
            let field = format!("{path}.{containers}[{at}]");
            let name = text(container, "/name");
            if seen.contains(&name) && !name.is_empty() {
                causes.push(Cause::duplicate(format!("{field}.name"), &name.into()));
            }
            seen.push(name);
            if containers == "initContainers" && text(container, "/image").is_empty() {
                causes.push(Cause::required(format!("{field}.image"), ""));
            }
            inside(container, &field, causes);
        }
    }
}

fn inside(container: &Value, field: &str, causes: &mut Vec<Cause>) {
    let image = text(container, "/image");
    if image != image.trim() {
        let why = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(format!("{field}.image"), &image.into(), why));
    }
    for (at, one) in list(container, "ports").iter().enumerate() {
        let field = format!("{field}.ports[{at}]");
        match one.get("containerPort").unwrap_or(&Value::Null) {
            none if none.is_null() || *none == 0 => {
                causes.push(Cause::required(format!("{field}.containerPort"), ""));
            }
            number => port(number, &format!("{field}.containerPort"), causes),
        }
        if let Some(name) = one.get("name").and_then(Value::as_str) {
            port_name(name, &format!("{field}.name"), causes);
        }
    }
    for (at, variable) in list(container, "env").iter().enumerate() {
        let field = format!("{field}.env[{at}]");
        let name = text(variable, "/name");
        let plain = |c: u8| (b' '..=b'~').contains(&c) && c != b'=';
        if !name.bytes().all(plain) {
            let why = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            causes.push(Cause::invalid(format!("{field}.name"), &name.into(), why));
        }
        let field = format!("{field}.valueFrom");
        match variable.get("valueFrom").and_then(Value::as_object) {
            Some(_) if !text(variable, "/value").is_empty() => {
                let why = "may not be specified when `value` is not empty";
                causes.push(Cause::invalid(field, &"".into(), why));
            }
            Some(from) if from.is_empty() => {
                let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or \
                           `fileKeyRef`";
                causes.push(Cause::invalid(field, &"".into(), why));
            }
            Some(from) => {
                for source in ["configMapKeyRef", "secretKeyRef"] {
                    let key = from.get(source);
                    if key.is_some_and(|key| text(key, "/key").is_empty()) {
                        causes.push(Cause::required(format!("{field}.{source}.key"), ""));
                    }
                }
            }
            None => {}
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(said) = container.get(probe) {
            handler(said, &format!("{field}.{probe}"), causes);
        }
    }
    let limit = |name: &str| container.pointer(&format!("/resources/limits/{name}"));
    let requests = container.pointer("/resources/requests");
    for (name, request) in requests.and_then(Value::as_object).into_iter().flatten() {
        let much = |value: &Value| match value {
            Value::String(text) => amount(text),
            other => other.as_f64(),
        };
        let Some(asked) = much(request) else { continue };
        if asked < 0.0 {
            let field = format!("{field}.resources.requests[{name}]");
            causes.push(Cause::invalid(field, request, NOT_NEGATIVE));
        }
        if let Some(limit) = limit(name).filter(|limit| much(limit).is_some_and(|l| asked > l)) {
            let shown = limit
                .as_str()
                .map_or_else(|| limit.to_string(), str::to_owned);
            let why = format!("must be less than or equal to {name} limit of {shown}");
            let field = format!("{field}.resources.requests");
            causes.push(Cause::invalid(field, request, &why));
        }
    }
}

/// A probe has exactly one way to look.
fn handler(probe: &Value, field: &str, causes: &mut Vec<Cause>) {
    let ways = ["exec", "httpGet", "tcpSocket", "grpc"];
    let said: Vec<&&str> = ways
        .iter()
        .filter(|way| probe.get(**way).is_some())
        .collect();
    if said.is_empty() {
        causes.push(Cause::required(field, "must specify a handler type"));
    }
    for way in said.iter().skip(1) {
        let why = "may not specify more than 1 handler type";
        causes.push(Cause::forbidden(format!("{field}.{way}"), why));
    }
    for way in ["httpGet", "tcpSocket"] {
        if let Some(number) = probe.pointer(&format!("/{way}/port")) {
            port(number, &format!("{field}.{way}.port"), causes);
        }
    }
}
