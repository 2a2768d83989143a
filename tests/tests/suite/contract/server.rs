//! The two servers, and how they are asked.

use std::time::Duration;

use kube::client::Body;
use sandbox::{
    Host,
    host::{BackendSpec, ClusterSpec, HostConfig},
    kube::ClusterConfig,
};
use serde_json::Value;
use tests::{
    clusters::client,
    control_plane::{ControlPlane, Profile},
};

/// Nothing is answered later, not by a machine that builds beside it either.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Real,
    Sandbox,
}

/// One server and its administrator.
pub struct Server {
    pub kind: Kind,
    client: kube::Client,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    /// JSON, or a text.
    pub body: Value,
}

/// A sandbox cluster behind its host, as everybody meets it.
pub async fn sandbox() -> (Server, Host) {
    // A short memory, so that a case can outlive it.
    let config = ClusterConfig {
        watch_window: 400,
        ..ClusterConfig::default()
    };
    let spec = ClusterSpec::new("contract", BackendSpec::Simulated(config));
    let host = Host::start(HostConfig {
        clusters: vec![spec],
        ..HostConfig::simulated(0)
    })
    .await
    .unwrap();
    let kubeconfig = &host.cluster("contract").unwrap().kubeconfig;
    let client = client(kubeconfig).await;
    let kind = Kind::Sandbox;
    (Server { kind, client }, host)
}

/// A whole control plane; `None` when its binaries are absent, which is said.
pub async fn real() -> Option<(Server, ControlPlane)> {
    let plane = ControlPlane::start("contract", Profile::Whole).await?;
    // As the sandbox's short memory.
    plane.forget().await;
    let client = plane.client().await;
    let kind = Kind::Real;
    Some((Server { kind, client }, plane))
}

impl Server {
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Real => "the real kube-apiserver",
            Kind::Sandbox => "the sandbox",
        }
    }

    /// Asks and reads the whole answer.
    pub async fn ask(&self, request: http::Request<Vec<u8>>) -> Answer {
        let whole = async {
            let response = self.client.send(request.map(Body::from)).await.unwrap();
            let (head, body) = response.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            Answer {
                code: head.status.as_u16(),
                body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
                headers: head.headers,
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.unwrap()
    }

    /// Opens a watch and reads its first events, fewer if it ends earlier.
    pub async fn watch(&self, request: http::Request<Vec<u8>>, events: usize) -> Answer {
        let mut response = self.client.send(request.map(Body::from)).await.unwrap();
        let code = response.status().as_u16();
        let mut read = vec![];
        let lines = |read: &[u8]| read.iter().filter(|byte| **byte == b'\n').count();
        let reading = async {
            while lines(&read) < events {
                let frame = http_body_util::BodyExt::frame(response.body_mut()).await;
                let Some(frame) = frame else { break };
                read.extend(frame.unwrap().into_data().unwrap_or_default());
            }
        };
        // What has come by then is told.
        let _ = tokio::time::timeout(PATIENCE, reading).await;
        let read = read.split(|byte| *byte == b'\n');
        let said = read.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        Answer {
            code,
            body: said.take(events.max(1)).collect(),
            ..Answer::default()
        }
    }
}
