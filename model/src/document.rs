//! The documents users write (contract.md "Documents"), parsed and checked.

mod convert;
mod duration;
mod error;
mod fields;
mod fill;
mod names;
mod show;

pub use convert::{Document, RawDocument, check_placement, convert, parse_documents};
pub use duration::{duration_text, parse_duration};
pub use error::DocumentError;
pub use fill::{ManifestEntry, ManifestFile, fill};
pub use show::{show_cluster, show_composite_app, show_dig};

use crate::{
    ids::{ClusterId, DigRef},
    manifest::Object,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `kind: Cluster`. The kubeconfig itself travels beside it and is sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    pub id: ClusterId,
    pub labels: BTreeMap<String, String>,
    /// The kubeconfig's context to use; `None` = its current one.
    pub context: Option<String>,
    /// The path as the user wrote it (shown by `get -o yaml`); the content is kept apart.
    #[serde(default)]
    pub kubeconfig: String,
}

/// `project`, `name`, `version` of a composite app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AppRef {
    pub project: String,
    pub name: String,
    pub version: String,
}

/// `kind: CompositeApp`, with the objects of its manifests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompositeApp {
    pub id: AppRef,
    pub apps: Vec<App>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub name: String,
    pub depends_on: Vec<Dependency>,
    /// The manifest paths as the user wrote them (shown by `get -o yaml`).
    pub manifests: Vec<String>,
    /// What the manifests contain, in order.
    pub objects: Vec<Object>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpStatus {
    Deployed,
    Ready,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    pub app: String,
    pub op_status: OpStatus,
    pub wait_ms: u64,
}

/// `kind: DeploymentIntentGroup`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dig {
    pub id: DigRef,
    /// Name and version of the composite app, in the DIG's project.
    pub app: AppRef,
    /// Default namespace of namespaced objects.
    pub namespace: String,
    pub placement: Vec<Placement>,
    pub policy: Policy,
}

/// One placement entry; `app` is `*` or an app's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub app: String,
    pub all_of: Vec<Selector>,
    pub any_of: Vec<Selector>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    Cluster(ClusterId),
    Label { key: String, value: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Existing {
    Refuse,
    Adopt,
}

/// What a final failure means to the rest of an instantiate (spec §2.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Other clusters and apps finish.
    #[default]
    Continue,
    /// Nothing more is sent.
    FailFast,
}

/// What Instantiated asks of every resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WaitFor {
    #[default]
    Applied,
    Ready,
}

/// `spec.policy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    #[serde(default)]
    pub on_failure: OnFailure,
    pub existing: Existing,
    pub force_conflicts: bool,
    pub retry: Retry,
    pub delete_timeout_ms: u64,
    #[serde(default)]
    pub wait_for: WaitFor,
    /// With `waitFor: Ready`: from the last resource's Applied until the instantiation has failed.
    #[serde(default = "ready_timeout_ms")]
    pub ready_timeout_ms: u64,
}

fn ready_timeout_ms() -> u64 {
    600_000
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    pub initial_interval_ms: u64,
    pub backoff: f64,
    pub max_interval_ms: u64,
    /// Since the first failure; `None` = unlimited.
    pub max_elapsed_ms: Option<u64>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_interval_ms: 1_000,
            backoff: 2.0,
            max_interval_ms: 30_000,
            max_elapsed_ms: None,
        }
    }
}

impl Retry {
    /// The delay before attempt `attempt + 1` (attempts count from 1), without jitter.
    pub fn delay_ms(&self, attempt: u32) -> u64 {
        let factor = self.backoff.powi(attempt.saturating_sub(1).min(64) as i32);
        ((self.initial_interval_ms as f64 * factor) as u64).min(self.max_interval_ms)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::Continue,
            existing: Existing::Refuse,
            force_conflicts: false,
            retry: Retry::default(),
            delete_timeout_ms: 600_000,
            wait_for: WaitFor::Applied,
            ready_timeout_ms: ready_timeout_ms(),
        }
    }
}

#[cfg(test)]
#[path = "document/tests.rs"]
mod tests;
