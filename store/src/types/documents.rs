//! Documents, and what was registered by them.

use super::ContextRow;
use model::{
    document::{Cluster, CompositeApp, Dig},
    failure::Failure,
    row::Connectivity,
    state::DigState,
};

pub struct DocumentSet {
    /// With the kubeconfig's text.
    pub clusters: Vec<(Cluster, String)>,
    pub apps: Vec<CompositeApp>,
    pub digs: Vec<Dig>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    Configured,
    Unchanged,
}

#[derive(Debug, Clone)]
pub struct DocumentResult {
    pub kind: &'static str,
    pub name: String,
    pub change: Change,
}

#[derive(Debug, Clone)]
pub struct Versioned<T> {
    pub generation: i64,
    pub created_ms: i64,
    pub doc: T,
}

#[derive(Debug, Clone)]
pub struct ClusterRow {
    pub generation: i64,
    pub doc: Cluster,
    pub connectivity: Connectivity,
    /// Uid of the `kube-system` namespace, once seen.
    pub uid: Option<String>,
    /// Probes since it stopped answering.
    pub attempts: i32,
    pub since_ms: i64,
    pub next_probe_ms: Option<i64>,
    pub error: Option<Failure>,
}

pub struct Kubeconfig {
    pub text: String,
    pub context: Option<String>,
    pub generation: i64,
}

#[derive(Debug, Clone)]
pub struct DigRow {
    pub generation: i64,
    pub doc: Dig,
    pub state: DigState,
    pub pending_changes: bool,
    /// Latest context, if any.
    pub context: Option<ContextRow>,
}
