//! One served cluster per kind of backend, for tests that must hold in front of each of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use sandbox::Host;
use sandbox::host::{BackendSpec, ClusterAddress, ClusterSpec, Fault, HostConfig, LogEntry};
use serde_json::Value;
use tempfile::TempDir;

use super::host_peer::{Peer, Speaks, config_map};
use super::host_pocket::Pocket;

/// A host with the cluster `c1`.
pub struct World {
    pub label: &'static str,
    pub host: Host,
    /// The host of the cluster that `c1` is a proxy of, and the folder of its kubeconfig.
    behind: Option<(Host, TempDir)>,
}

/// A test's own backend, a simulated cluster, and proxies in front of both.
pub async fn worlds() -> Vec<World> {
    let simulated = || ClusterSpec::simulated("c1");
    vec![
        World::of("pocket", pocket()).await,
        World::of("simulated", simulated()).await,
        World::behind_proxy("proxied pocket", pocket()).await,
        World::behind_proxy("proxied simulated", simulated()).await,
    ]
}

pub fn pocket() -> ClusterSpec {
    ClusterSpec::new("c1", BackendSpec::Other(Arc::new(Pocket::default())))
}

pub fn config(spec: ClusterSpec) -> HostConfig {
    HostConfig {
        clusters: vec![spec],
        ..HostConfig::default()
    }
}

impl World {
    pub async fn of(label: &'static str, spec: ClusterSpec) -> Self {
        Self {
            label,
            host: Host::start(config(spec)).await.unwrap(),
            behind: None,
        }
    }

    async fn behind_proxy(label: &'static str, spec: ClusterSpec) -> Self {
        let folder = TempDir::new().unwrap();
        let real = Host::start(HostConfig {
            dir: Some(folder.path().to_owned()),
            ..config(spec)
        });
        let real = real.await.unwrap();
        let kubeconfig = real.cluster("c1").unwrap().kubeconfig_file.clone();
        Self {
            behind: Some((real, folder)),
            ..Self::of(label, ClusterSpec::proxy("c1", kubeconfig.unwrap())).await
        }
    }

    pub fn address(&self) -> &ClusterAddress {
        self.host.cluster("c1").unwrap()
    }

    pub async fn peer(&self, speaks: Speaks) -> Peer {
        Peer::connect(self.address(), speaks).await
    }

    pub fn fault(&self, fault: impl Into<Fault>) {
        self.host.fault("c1", fault).unwrap();
    }

    pub fn log(&self) -> Vec<LogEntry> {
        self.host.log("c1").unwrap()
    }

    /// The ConfigMap as the cluster has it, past all faults.
    pub async fn object(&self, name: &str) -> Option<Value> {
        let request = Request::get(config_map(name)).body(Bytes::new()).unwrap();
        let backend = self.host.backend("c1").unwrap();
        let answer = backend.call(request).await.unwrap();
        let found = answer.status().is_success();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        found.then(|| serde_json::from_slice(&body).unwrap())
    }

    /// Waits until the log has `count` requests.
    pub async fn received(&self, count: usize) {
        until(|| async { self.log().len() >= count }).await;
    }

    pub async fn end(self) {
        self.host.shutdown().await;
        if let Some((host, _folder)) = self.behind {
            host.shutdown().await;
        }
    }
}

/// Waits for a condition; the test runner's own limit is the only one.
pub async fn until<F, T>(condition: F)
where
    F: Fn() -> T,
    T: Future<Output = bool>,
{
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
