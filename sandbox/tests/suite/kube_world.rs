//! A cluster to ask, and the shortest way to ask it.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use sandbox::kube::{Cluster, ClusterConfig};
use serde_json::{Value, json};

pub struct World {
    pub cluster: Cluster,
}

/// An answer: its code and its JSON, or its text as a JSON string.
pub struct Answer {
    pub code: u16,
    pub body: Value,
}

pub fn quick() -> ClusterConfig {
    ClusterConfig {
        ready_after: Duration::from_millis(10),
        established_after: Duration::from_millis(5),
        collect_after: Duration::from_millis(5),
        ..ClusterConfig::default()
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(quick())
    }

    pub fn with(config: ClusterConfig) -> Self {
        Self {
            cluster: Cluster::open("c1", None, config).unwrap(),
        }
    }

    pub async fn raw(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> http::Response<Body> {
        self.cluster
            .handle(request.body(body.into()).unwrap())
            .await
    }

    /// Asks and reads the whole answer.
    pub async fn answer(&self, request: http::request::Builder, body: impl Into<Bytes>) -> Answer {
        let response = self.raw(request, body).await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Answer {
            code,
            body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        }
    }

    pub async fn send(&self, method: &str, path: &str, media_type: &str, body: Value) -> Answer {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("user-agent", "tester/1.0");
        self.answer(request.header("content-type", media_type), text)
            .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", Value::Null).await
    }

    /// GET with an `Accept` header.
    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        let response = self
            .raw(Request::get(path).header("accept", accept), "")
            .await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            code,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        }
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, "application/json", body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send("PUT", path, "application/json", body).await
    }

    pub async fn delete(&self, path: &str, options: Value) -> Answer {
        self.send("DELETE", path, "application/json", options).await
    }

    pub async fn merge(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, "application/merge-patch+json", body)
            .await
    }

    /// Server-side apply by `manager`; `path` may carry more parameters.
    pub async fn apply(&self, path: &str, manager: &str, body: Value) -> Answer {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}fieldManager={manager}");
        self.send("PATCH", &path, "application/apply-patch+yaml", body)
            .await
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, is: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.get(path).await;
            if is(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < deadline,
                "{path} stays {}: {}",
                answer.code,
                answer.body
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn gone(&self, path: &str) {
        self.until(path, |answer| answer.code == 404).await;
    }

    /// Opens a watch.
    pub async fn watch(&self, path: &str) -> Watch {
        let response = self.raw(Request::get(path), "").await;
        assert_eq!(response.status(), 200);
        Watch {
            body: response.into_body(),
            read: Vec::new(),
        }
    }
}

pub struct Watch {
    body: Body,
    read: Vec<u8>,
}

impl Watch {
    /// The next event: its type and its object.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(at) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=at).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                return Some((
                    event["type"].as_str().unwrap().to_owned(),
                    event["object"].clone(),
                ));
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame())
                .await
                .unwrap()?;
            self.read
                .extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
        }
    }

    /// The next event as `TYPE name`.
    pub async fn short(&mut self) -> String {
        let (what, object) = self.next().await.unwrap();
        format!(
            "{what} {}",
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    }
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

pub fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}},
    })
}

pub fn definition(plural: &str, kind: &str, scope: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": [
            {"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
             "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    })
}
