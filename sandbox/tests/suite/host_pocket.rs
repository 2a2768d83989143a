//! A backend just good enough to stand for a cluster: objects by path, finalizers, no more.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use sandbox::host::{Backend, Gone};
use serde_json::{Value, json};

#[derive(Default)]
pub struct Pocket(Mutex<BTreeMap<String, Value>>);

impl Backend for Pocket {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, Gone>> {
        let (code, body) = self.answer(&request);
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = code.try_into().unwrap();
        Box::pin(async move { Ok(response) })
    }
}

impl Pocket {
    fn answer(&self, request: &Request<Bytes>) -> (u16, Value) {
        let path = request.uri().path().to_owned();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let mut objects = self.0.lock().unwrap();
        let missing = (404, json!({"kind": "Status", "code": 404}));
        match *request.method() {
            Method::GET if path == "/version" => (200, json!({"gitVersion": "v1.36.3"})),
            Method::GET if path == "/apis/example.test/v1" => (
                200,
                json!({"resources": [
                    {"name": "widgets", "kind": "Widget"},
                    {"name": "widgets/status", "kind": "Widget"},
                ]}),
            ),
            Method::GET => match objects.get(&path) {
                Some(object) => (200, object.clone()),
                None => missing,
            },
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                objects.insert(format!("{path}/{name}"), body.clone());
                (201, body)
            }
            Method::PATCH => {
                let known = objects.get(&path).cloned();
                let apply = request.headers()["content-type"] == "application/apply-patch+yaml";
                if known.is_none() && !apply {
                    return missing;
                }
                let code = if known.is_some() { 200 } else { 201 };
                let mut object = known.unwrap_or_default();
                merge(&mut object, &body);
                if is_done(&object) {
                    objects.remove(&path);
                } else {
                    objects.insert(path, object.clone());
                }
                (code, object)
            }
            Method::DELETE => {
                let Some(object) = objects.get_mut(&path) else {
                    return missing;
                };
                object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                let object = object.clone();
                if is_done(&object) {
                    objects.remove(&path);
                }
                (200, object)
            }
            _ => (405, Value::Null),
        }
    }
}

fn is_done(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let held = metadata["finalizers"].as_array();
    metadata["deletionTimestamp"].is_string() && held.is_none_or(Vec::is_empty)
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key], value);
        }
    }
}
