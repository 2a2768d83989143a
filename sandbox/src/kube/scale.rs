//! The `scale` subresource: replicas of any workload in one shape.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::answer::Answer;
use super::body;
use super::object::{self, number};
use super::patch;
use super::request::Call;
use super::state::State;
use super::status::Status;
use super::write::Write;

/// GET, PUT and PATCH of `scale`.
pub fn serve(
    state: &mut State,
    call: &Call,
    write: &Write<'_>,
    name: &str,
) -> Result<Answer, Status> {
    let kind = Arc::clone(write.kind);
    let stored = state.store.get(&kind.id, write.namespace, name).cloned();
    let mut object = stored
        .ok_or_else(|| Status::not_found(&kind, name))?
        .object();
    if call.method == Method::GET {
        return Ok(Answer::value(200, &scale_of(&object)));
    }
    let mut scale = scale_of(&object);
    match call.media_type.as_str() {
        _ if call.method == Method::PUT => scale = body::object(call)?,
        "application/json-patch+json" => {
            patch::json(&mut scale, &body::json(&call.body)?)
                .map_err(|_| Status::unprocessable())?;
        }
        _ => patch::merge(&mut scale, &body::yaml(&call.body)?),
    }
    let replicas = number(&scale, "/spec/replicas").unwrap_or(0);
    object::meta_mut(&mut object).remove("resourceVersion");
    object["apiVersion"] = kind.api_version(write.version).into();
    object["spec"]["replicas"] = replicas.into();
    let said = object::meta_text(&scale, "resourceVersion").to_owned();
    if !said.is_empty() {
        object::meta_mut(&mut object).insert("resourceVersion".into(), said.into());
    }
    let written = Write {
        subresource: "scale",
        ..write.clone()
    }
    .update(state, name, object)?;
    Ok(Answer::value(200, &scale_of(&written.stored.object())))
}

fn scale_of(object: &Value) -> Value {
    let selector = object
        .pointer("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let selector: Vec<String> = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let text = |field: &str| object::meta_text(object, field);
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": text("name"), "namespace": text("namespace"), "uid": text("uid"),
            "resourceVersion": text("resourceVersion"), "creationTimestamp": text("creationTimestamp")},
        "spec": {"replicas": number(object, "/spec/replicas").unwrap_or(0)},
        "status": {"replicas": number(object, "/status/replicas").unwrap_or(0), "selector": selector.join(",")},
    })
}
