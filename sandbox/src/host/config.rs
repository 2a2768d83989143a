//! What a host is asked to serve.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::backend::Backend;
use crate::kube::ClusterConfig;

/// Everything a host needs to know.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Where keys, ports, kubeconfigs and objects are kept; nothing outlives the host without one.
    pub dir: Option<PathBuf>,
    /// The clusters to serve.
    pub clusters: Vec<ClusterSpec>,
    /// How many requests each cluster's log remembers.
    pub log_capacity: usize,
    /// Whether to serve the control API, see [`crate::control`].
    pub control: bool,
    /// How long to wait for a process that is about to let go of directory and ports.
    pub handover: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            dir: None,
            clusters: Vec::new(),
            log_capacity: 200_000,
            control: false,
            handover: Duration::from_secs(5),
        }
    }
}

impl HostConfig {
    /// A host of `count` simulated clusters called `c1`, `c2`, ….
    pub fn simulated(count: usize) -> Self {
        Self {
            clusters: (1..=count)
                .map(|number| ClusterSpec::simulated(format!("c{number}")))
                .collect(),
            ..Self::default()
        }
    }
}

/// One cluster to serve.
#[derive(Debug, Clone)]
pub struct ClusterSpec {
    /// Names the cluster, its kubeconfig and its folder.
    pub name: String,
    /// Who answers.
    pub backend: BackendSpec,
    /// The port to listen on if it is free and no other was promised before.
    pub port: Option<u16>,
    /// How far away the cluster is: added to every request, not a fault, not healed.
    pub distance: Duration,
}

impl ClusterSpec {
    /// A simulated cluster with default behaviour.
    pub fn simulated(name: impl Into<String>) -> Self {
        Self::new(name, BackendSpec::Simulated(ClusterConfig::default()))
    }

    /// The real cluster that the kubeconfig's current context names.
    pub fn proxy(name: impl Into<String>, kubeconfig: impl Into<PathBuf>) -> Self {
        Self::new(
            name,
            BackendSpec::Proxy {
                kubeconfig: kubeconfig.into(),
            },
        )
    }

    /// A cluster with the given backend.
    pub fn new(name: impl Into<String>, backend: BackendSpec) -> Self {
        Self {
            name: name.into(),
            backend,
            port: None,
            distance: Duration::ZERO,
        }
    }
}

/// Who answers the requests that get through.
#[derive(Clone)]
pub enum BackendSpec {
    /// A simulated cluster, its objects in `DIR/clusters/<name>`.
    Simulated(ClusterConfig),
    /// A real API server.
    Proxy {
        /// How to reach it; its current context counts.
        kubeconfig: PathBuf,
    },
    /// Anything else that answers requests.
    Other(Arc<dyn Backend>),
}

impl std::fmt::Debug for BackendSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simulated(config) => f.debug_tuple("Simulated").field(config).finish(),
            Self::Proxy { kubeconfig } => f
                .debug_struct("Proxy")
                .field("kubeconfig", kubeconfig)
                .finish(),
            Self::Other(_) => f.write_str("Other"),
        }
    }
}
