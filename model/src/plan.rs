//! The plan of one revision: one row for every object on every cluster, in waves.

mod lanes;
mod order;
mod outline;
mod render;

pub use lanes::{Group, Limits, lanes};
pub use order::{
    ADMISSION_WAVE, CRD_WAVE, Cycle, NAMESPACE_WAVE, predecessors, tied, topological, wave,
};
pub use outline::{OpenRow, outline};
pub use render::{RenderError, check, render};

use crate::{
    document::Dependency,
    ids::{ClusterId, ResourceKey, RowId},
};
use serde::{Deserialize, Serialize};

/// What a row's kind means for its driving.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Class {
    /// Driven by its own (app, cluster) bundle.
    Own,
    /// A Namespace or CRD: shared by every bundle of the context on the cluster; applied before
    /// the first of them, deleted by the last (protocol §5.1, §6).
    Shared,
}

/// One object to be on one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanRow {
    pub id: RowId,
    pub app: String,
    pub key: ResourceKey,
    pub version: String,
    pub wave: i32,
    pub class: Class,
    /// SHA-256 (hex) of the manifest as it will be stored; equal content, equal digest.
    pub digest: String,
    /// Created because the DIG names the namespace; not counted.
    pub implicit: bool,
    /// A keep annotation stands on the object: never deleted.
    pub keep: bool,
}

/// One manifest to be stored once: the object as it will be sent, its namespace included; our
/// labels are added when it is sent ([`crate::manifest::stamp`]), so that equal objects are stored
/// once over apps, clusters and lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanManifest {
    pub digest: String,
    /// Kind Secret: sealed at rest, never logged.
    pub secret: bool,
    pub json: String,
}

/// The rendered plan. Rows are numbered from 0: first the shared ones by (cluster, wave,
/// document), then the others by (app, cluster, wave, document), so that every wave, bundle and app
/// is a contiguous range.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plan {
    pub apps: Vec<PlanApp>,
    pub rows: Vec<PlanRow>,
    pub manifests: Vec<PlanManifest>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanApp {
    pub name: String,
    pub depends_on: Vec<Dependency>,
    pub clusters: Vec<ClusterId>,
}

/// Rows of one wave of one bundle that are not in the target yet.
pub type Wave = Vec<RowId>;

/// The rows of one app on one cluster, in driving order (already reversed for delete).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    pub app: String,
    pub cluster: ClusterId,
    pub waves: Vec<Wave>,
    /// Shared rows of this context on this cluster: before the waves for Apply, after for Delete.
    pub shared: Vec<Wave>,
    /// A row of the bundle (or a shared row of its cluster) failed earlier: an apply drives no
    /// further waves.
    #[serde(default)]
    pub failed: bool,
}

/// What a driver has to do: bundles with their rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outline {
    pub bundles: Vec<Bundle>,
}

/// Ranges of row numbers, both ends included; no two slices of a drive share a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub from: RowId,
    pub to: RowId,
    /// More of them: the apps of a few clusters, to be deleted in their order on each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<(RowId, RowId)>,
}

impl Slice {
    pub fn range(from: RowId, to: RowId) -> Self {
        Self {
            from,
            to,
            more: Vec::new(),
        }
    }

    pub fn ranges(&self) -> impl Iterator<Item = (RowId, RowId)> + '_ {
        std::iter::once((self.from, self.to)).chain(self.more.iter().copied())
    }

    pub fn contains(&self, row: RowId) -> bool {
        self.ranges().any(|(from, to)| (from..=to).contains(&row))
    }
}

/// Slices of one app: lanes run in parallel, the stages of a lane one after the other, the slices
/// of a stage in parallel.
pub type Lane = Vec<Vec<Slice>>;

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
