//! Lives of a DIG: accepted, woken, begun, proven, settled.

use super::Gvk;
use model::{
    document::Policy,
    ids::{ClusterId, ContextId, DigRef, Fence, ResourceKey, RowId},
    plan::PlanApp,
    state::{ContextState, DigState, Goal},
};
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
pub struct ContextRow {
    pub id: ContextId,
    pub dig: DigRef,
    pub revision: i32,
    pub state: ContextState,
    pub fence: Fence,
    pub started_ms: i64,
    pub policy: Policy,
    pub apps: Vec<PlanApp>,
    pub blocked_by: Option<String>,
    /// Why nothing more is sent under the present goal (stopped, FailFast).
    pub halted: Option<String>,
}

/// Generations of everything a plan was rendered from.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    pub dig: i64,
    pub app: i64,
    pub clusters: BTreeMap<ClusterId, i64>,
}

/// The stored answer of a verb.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Accepted {
    pub dig: DigRef,
    pub state: DigState,
    pub context: Option<ContextId>,
    pub fence: Option<Fence>,
    /** False when nothing had to be done (a second terminate). */
    pub changed: bool,
}

#[derive(Debug, Clone)]
pub struct WakeRow {
    pub context: ContextId,
    pub dig: DigRef,
    pub goal: Goal,
    pub fence: Fence,
}

#[derive(Debug, Clone)]
pub struct BeginRow {
    pub fence: Fence,
    pub state: ContextState,
    pub policy: Policy,
    pub apps: Vec<PlanApp>,
    /// All rows when small (≤ limits given by the caller's outline call), per-app lanes otherwise
    /// are made by `model::plan::lanes` from these counts: rows per (app, cluster, wave) with
    /// their first and last number.
    pub groups: Vec<GroupRow>,
    /// Nothing more is to be sent: settle once what is in flight was recorded (FailFast).
    pub halted: bool,
    /// Apps with a Failed row, or on a cluster with a Failed shared one.
    pub failed_apps: Vec<String>,
    pub clusters: usize,
}

/// Rows of one (app, cluster, wave) that wait (Pending or Retrying), with their first and last
/// number; input of [`model::plan::lanes`].
pub use model::plan::Group as GroupRow;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PermitRow {
    Granted,
    Wait { ms: u64 },
    Superseded,
}

#[derive(Debug, Clone)]
pub enum NoteTarget {
    App(String),
    Rows(Vec<RowId>),
}

#[derive(Debug, Clone, Default)]
pub struct ProofScope {
    pub superseded: bool,
    /// An attempt of the context is unexpired for so long yet.
    pub wait_ms: u64,
    /// Cluster → (group, version, kind) used.
    pub clusters: Vec<(ClusterId, Vec<Gvk>)>,
}

#[derive(Debug, Clone)]
pub struct FoundAgain {
    pub key: ResourceKey,
    pub uid: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleRow {
    Settled(ContextState),
    Moved,
    Unfinished,
}
