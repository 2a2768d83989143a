//! What status and the operation log show.

use super::DigRow;
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, ResourceKey},
    readiness::Readiness,
    row::{Connectivity, Row},
    state::{ContextState, DigEvent, DigState, Goal},
};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct Summary {
    pub dig: DigRow,
    pub actions: Vec<Action>,
    /// When readiness was known of every cluster of the context at last, ms since the epoch.
    pub ready_as_of_ms: Option<i64>,
    /// Counts by state name (Pending, Applied, Retrying, Failed, Deleted), implicit rows left out;
    /// waiting rows on a parked cluster count as Retrying.
    pub counts: BTreeMap<String, i64>,
    pub by_bundle: Vec<BundleCounts>,
}

/// What tells that something of a DIG changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Greatest event number; 0 without any.
    pub seq: i64,
    /// State of the DIG, as it is stored.
    pub dig: String,
    pub context: Option<ContextState>,
}

#[derive(Debug, Clone)]
pub struct BundleCounts {
    pub app: String,
    pub cluster: ClusterId,
    pub connectivity: Connectivity,
    pub counts: BTreeMap<String, i64>,
    /// Of the same rows, by readiness.
    pub ready: BTreeMap<Readiness, i64>,
}

/// A row with the readiness of its object.
#[derive(Debug, Clone)]
pub struct StatusRow {
    pub row: Row,
    pub readiness: Readiness,
    /// Why it is not ready, while it is Applied.
    pub reason: Option<Failure>,
    pub readiness_since_ms: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Action {
    pub state: DigState,
    pub verb: DigEvent,
    pub context: Option<ContextId>,
    pub revision: i32,
    pub time_ms: i64,
    pub actor: String,
    pub request_id: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct RowFilter {
    pub app: Option<String>,
    pub cluster: Option<ClusterId>,
    pub resource: Option<String>,
    pub state: Option<String>,
    pub readiness: Option<Readiness>,
    /** Leave implicit rows out. */
    pub counted_only: bool,
}

/// Rows that wait or failed for one cause.
#[derive(Debug, Clone)]
pub struct Problem {
    pub cluster: Option<ClusterId>,
    pub app: Option<String>,
    /// Set when the group is a single resource.
    pub resource: Option<ResourceKey>,
    pub count: i64,
    pub goal: Goal,
    pub failure: Failure,
    pub attempts: i32,
    pub since_ms: i64,
    pub next_attempt_ms: Option<i64>,
    pub blocked_by: Option<String>,
}

/// One line of the operation log.
#[derive(Debug, Clone)]
pub struct EventRow {
    pub seq: i64,
    pub time_ms: i64,
    pub context: Option<ContextId>,
    pub revision: Option<i32>,
    /// `None` for the DIG and the context themselves.
    pub object: Option<ResourceKey>,
    pub app: Option<String>,
    pub from: Option<String>,
    pub to: String,
    pub event: String,
    pub attempt: Option<i32>,
    pub code: Option<String>,
    pub message: Option<String>,
    pub actor: Option<String>,
    pub request_id: Option<String>,
}
