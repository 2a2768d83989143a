//! From a file's text to its Kubernetes objects.

use super::{
    Object,
    yaml::{self, Dialect},
};
use crate::{document::DocumentError, text::clipped};
use serde_json::Value;

/// No API server reads a larger request (apiserver's `MaxRequestBodyBytes`), whatever the object.
const LARGEST: usize = 3 << 20;

/// An object and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadObject {
    pub file: String,
    /// The document's number in the file, from 1.
    pub document: usize,
    pub object: Object,
}

/// Reads every object of a YAML or JSON text; lists are unfolded, documents of comments only
/// skipped.
///
/// # Errors
/// What contract "Documents" refuses, naming file, document number and field.
pub fn read(file: &str, text: &str) -> Result<Vec<ReadObject>, DocumentError> {
    let documents = yaml::parse(text, Dialect::Kubectl)
        .map_err(|error| DocumentError::unreadable(file, &error))?;
    let mut out = Vec::new();
    for document in documents {
        unfold(file, document.number, "", document.value, None, &mut out)?;
    }
    Ok(out)
}

/// Reads one object that is no list.
///
/// # Errors
/// As [`read`].
pub fn parse_object(file: &str, document: usize, value: Value) -> Result<Object, DocumentError> {
    object(file, document, "", value, None)
}

/// The `apiVersion` and `kind` of a typed list's items, which may leave them out.
type ItemType = Option<(String, String)>;

fn unfold(
    file: &str,
    document: usize,
    path: &str,
    value: Value,
    item_type: ItemType,
    out: &mut Vec<ReadObject>,
) -> Result<(), DocumentError> {
    let list_kind = value["kind"].as_str().filter(|kind| kind.ends_with("List"));
    let Some(list_kind) = list_kind.filter(|_| value["items"].is_array()) else {
        let object = object(file, document, path, value, item_type)?;
        out.push(ReadObject {
            file: file.to_owned(),
            document,
            object,
        });
        return Ok(());
    };
    let item_kind = list_kind.trim_end_matches("List");
    let item_type = (!item_kind.is_empty()).then(|| {
        (
            value["apiVersion"].as_str().unwrap_or_default().to_owned(),
            item_kind.to_owned(),
        )
    });
    let mut value = value;
    let Value::Array(items) = value["items"].take() else {
        return Ok(());
    };
    for (i, item) in items.into_iter().enumerate() {
        let path = format!("{path}items[{i}].");
        unfold(file, document, &path, item, item_type.clone(), out)?;
    }
    Ok(())
}

fn object(
    file: &str,
    document: usize,
    path: &str,
    mut value: Value,
    item_type: ItemType,
) -> Result<Object, DocumentError> {
    let refuse = |field: &str, cause: &str, next: &str| DocumentError {
        file: file.to_owned(),
        document,
        field: format!("{path}{field}"),
        cause: cause.to_owned(),
        next_step: next.to_owned(),
    };
    let Some(map) = value.as_object_mut() else {
        return Err(refuse(
            "",
            "no Kubernetes object",
            "write a mapping with apiVersion and kind",
        ));
    };
    if let Some((api_version, kind)) = item_type {
        map.entry("apiVersion")
            .or_insert_with(|| api_version.into());
        map.entry("kind").or_insert_with(|| kind.into());
    }
    let text = |pointer: &str, field: &str| match value.pointer(pointer) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(refuse(field, "must be text", "put it in quotes")),
    };
    let required = |pointer: &str, field: &str| {
        text(pointer, field)?.ok_or_else(|| refuse(field, "is missing", &format!("add {field}")))
    };
    let api_version = required("/apiVersion", "apiVersion")?;
    let kind = required("/kind", "kind")?;
    if !kind.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(refuse(
            "kind",
            "has characters that no kind has",
            "correct the kind",
        ));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if version.is_empty() || !plain(version) || !plain(group) {
        let cause = "is no group/version";
        return Err(refuse("apiVersion", cause, "write it as in apps/v1, or v1"));
    }
    if group == "muster.dev" {
        let cause = "a Muster document is no Kubernetes object";
        return Err(refuse(
            "apiVersion",
            cause,
            "apply it by itself, outside of the manifests",
        ));
    }
    for field in ["metadata", "metadata.labels", "metadata.annotations"] {
        let at = value.pointer(&format!("/{}", field.replace('.', "/")));
        if at.is_some_and(|at| !at.is_object() && !at.is_null()) {
            return Err(refuse(
                field,
                "must be a mapping",
                "correct the indentation",
            ));
        }
    }
    for list in ["labels", "annotations"] {
        let texts = value.pointer(&format!("/metadata/{list}"));
        let wrong = texts.and_then(Value::as_object).and_then(|texts| {
            let mut entries = texts.iter();
            entries.find(|(_, value)| !(value.is_string() || value.is_null()))
        });
        if let Some((key, found)) = wrong {
            let field = format!("metadata.{list}.{}", clipped(key, 80));
            let next = match found {
                Value::Bool(_) | Value::Number(_) => "put it in quotes",
                _ => "write text",
            };
            return Err(refuse(&field, "must be text", next));
        }
    }
    let Some(name) = text("/metadata/name", "metadata.name")? else {
        if text("/metadata/generateName", "metadata.generateName")?.is_some() {
            let cause = "makes a new object each time it is applied";
            let next = "give the object a metadata.name";
            return Err(refuse("metadata.generateName", cause, next));
        }
        return Err(refuse(
            "metadata.name",
            "is missing",
            "give the object a name",
        ));
    };
    check_name(&name).map_err(|cause| refuse("metadata.name", cause, "rename the object"))?;
    let namespace = text("/metadata/namespace", "metadata.namespace")?;
    if let Some(namespace) = &namespace {
        check_name(namespace)
            .map_err(|cause| refuse("metadata.namespace", cause, "rename the namespace"))?;
    }
    if value
        .pointer("/metadata/annotations")
        .is_some_and(|a| a.get("helm.sh/hook").is_some())
    {
        return Err(refuse(
            "metadata.annotations.helm.sh/hook",
            "helm hooks are not run",
            "render the chart with `helm template --no-hooks`",
        ));
    }
    if least_size(&value) > LARGEST {
        return Err(refuse(
            "",
            "is larger than 3 MiB, and no API server takes that",
            "split the object",
        ));
    }
    let (group, version) = (group.to_owned(), version.to_owned());
    Ok(Object {
        group,
        version,
        kind,
        namespace,
        name,
        json: value,
    })
}

/// Bytes that the value takes at least as JSON.
fn least_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| 1 + least_size(item)).sum::<usize>(),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| key.len() + 4 + least_size(value);
            2 + map.iter().map(entry).sum::<usize>()
        }
        _ => 1,
    }
}

/// What Kubernetes refuses as a name of anything: it could not stand in a URL's path.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.contains(['/', '%']) {
        return Err("must not contain '/' or '%'");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    if matches!(name, "." | "..") {
        return Err("must not be '.' or '..'");
    }
    if name.len() > 253 {
        return Err("is longer than 253 characters");
    }
    Ok(())
}
