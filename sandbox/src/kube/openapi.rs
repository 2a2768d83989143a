//! OpenAPI documents that are valid and say little: which paths there are, and that fields are checked here.
//!
//! kubectl looks up `fieldValidation` in the version 3 document of a kind and, finding it, leaves checking to
//! the server instead of asking for schemas.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::discovery;
use super::kinds::{Kind, Verbs};
use super::state::State;
use super::status::Status;

/// `/openapi/v2`, in protobuf for kubectl, which takes nothing else. It knows no kind, so that kubectl
/// checks none of what the version 3 documents do not name (lists such as `ConfigMapList`).
pub fn v2(protobuf: bool) -> Answer {
    if protobuf {
        let text = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).unwrap_or(0);
            [&[tag, length], text.as_bytes()].concat()
        };
        let info = [text(0x0a, "Kubernetes"), text(0x12, super::VERSION)].concat();
        let length = u8::try_from(info.len()).unwrap_or(0);
        // swagger, info, and empty paths and definitions.
        let document = [
            text(0x0a, "2.0"),
            vec![0x12, length],
            info,
            vec![0x42, 0, 0x4a, 0],
        ];
        let media_type = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
        return Answer::Text(200, media_type, Bytes::from(document.concat()));
    }
    let document = json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": super::VERSION},
        "paths": {}, "definitions": {},
    });
    Answer::value(200, &document)
}

/// `/openapi/v3`.
pub fn v3(state: &State) -> Answer {
    let mut paths = Map::new();
    for kind in state.served() {
        for version in &kind.versions {
            let path = match kind.group.as_str() {
                "" => format!("api/{}", version.name),
                group => format!("apis/{group}/{}", version.name),
            };
            let url = format!("/openapi/v3/{path}?hash={}", super::VERSION);
            paths
                .entry(path)
                .or_insert_with(|| json!({"serverRelativeURL": url}));
        }
    }
    Answer::value(200, &json!({"paths": paths}))
}

/// `/openapi/v3/apis/GROUP/VERSION`.
pub fn group(state: &State, group: &str, version: &str) -> Result<Answer, Status> {
    let kinds = state
        .served()
        .filter(|kind| kind.group == group && kind.version(version).is_some());
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for kind in kinds.filter(|kind| kind.verbs == Verbs::All) {
        let root = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let scope = if kind.namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let list = format!("{root}{scope}/{}", kind.plural);
        paths.insert(
            list.clone(),
            json!({"get": operation(kind, version, "list"), "post": operation(kind, version, "post")}),
        );
        paths.insert(
            format!("{list}/{{name}}"),
            json!({
                "get": operation(kind, version, "get"), "put": operation(kind, version, "put"),
                "patch": operation(kind, version, "patch"), "delete": operation(kind, version, "delete"),
            }),
        );
        let mut schema = kind
            .version(version)
            .and_then(|version| version.schema.as_deref())
            .cloned();
        let schema = schema.get_or_insert_with(|| json!({"type": "object"}));
        if schema.is_object() {
            schema["x-kubernetes-group-version-kind"] = json!([identity(kind, version)]);
        }
        schemas.insert(schema_name(kind, version), schema.clone());
    }
    if paths.is_empty() {
        return Err(discovery::nothing_served(state, group, version));
    }
    let document = json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": super::VERSION},
        "paths": paths, "components": {"schemas": schemas},
    });
    Ok(Answer::value(200, &document))
}

fn schema_name(kind: &Kind, version: &str) -> String {
    let group = if kind.group.is_empty() {
        "core"
    } else {
        &kind.group
    };
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{}", reversed.join("."), kind.kind)
}

fn identity(kind: &Kind, version: &str) -> Value {
    json!({"group": kind.group, "version": version, "kind": kind.kind})
}

fn operation(kind: &Kind, version: &str, action: &str) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let names: &[&str] = match action {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        "delete" => &["dryRun", "propagationPolicy"],
        _ => &[],
    };
    let parameters: Vec<Value> = names.iter().map(|name| parameter(name)).collect();
    let schema = format!("#/components/schemas/{}", schema_name(kind, version));
    json!({
        "operationId": format!("{action}{}{}", kind.kind, version),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": {"$ref": schema}}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": identity(kind, version),
    })
}
