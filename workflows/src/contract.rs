//! The activities: names, inputs, outputs. Implemented by the crate `activities`.
//!
//! Every activity may run twice, or run and lose its answer; each compares the fence first and
//! answers `superseded` when it is not the store's any more. Inputs and outputs carry ids and
//! small outcomes only; manifests, properties and credentials stay in the store.

use model::{
    document::{Dependency, Retry},
    failure::Failure,
    ids::{ClusterId, ContextId, Fence, RowId},
    plan::{Lane, Outline, Slice},
    state::Goal,
};
use serde::{Deserialize, Serialize};
use temporalio_common::ActivityError;
use temporalio_macros::activity_definitions;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BeginInput {
    pub context: ContextId,
    /** Temporal's run id: a new one takes a new fence. */
    pub run_id: String,
}

/// What the store wants done now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Begin {
    /// Nothing: the context is settled (or gone).
    Settled,
    /// The context is in PreTerminate: ask [`permit`](Defs::permit) with this fence.
    PreTerminate {
        fence: Fence,
    },
    Drive(Work),
}

/// One drive of a context towards its goal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    pub fence: Fence,
    pub goal: Goal,
    pub retry: Retry,
    /// In plan order.
    pub apps: Vec<AppWork>,
    /// The rows themselves when the context is small enough to be driven inline; otherwise every
    /// app has lanes.
    pub inline: Option<Outline>,
    /// Number of clusters of the context, for the proof.
    pub clusters: usize,
    /// Instantiated asks for readiness: it is waited for once everything is Applied.
    #[serde(default)]
    pub wait_ready: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppWork {
    pub name: String,
    pub depends_on: Vec<Dependency>,
    pub lanes: Vec<Lane>,
    /// A row of the app is Failed already: an apply starts nothing that depends on it.
    #[serde(default)]
    pub failed: bool,
}

impl AppWork {
    /// The app without what it depends on.
    pub fn untied(&self) -> Self {
        Self {
            depends_on: Vec::new(),
            ..self.clone()
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fenced {
    pub context: ContextId,
    pub fence: Fence,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Permit {
    /// The context is Terminating (now or before).
    Granted,
    /// An older attempt may still leave; ask again after so long.
    Wait { ms: u64 },
    /// The fence moved.
    Superseded,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutlineInput {
    pub context: ContextId,
    pub fence: Fence,
    pub goal: Goal,
    pub slice: Slice,
}

/// Rows of one (app, cluster, wave), or of the cluster's shared ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    pub context: ContextId,
    pub fence: Fence,
    pub cluster: ClusterId,
    pub rows: Vec<RowId>,
    /// A regular activity made from a local one that came back as transient: its first Temporal
    /// attempt sends nothing and fails with the row's error and remaining delay; later attempts
    /// send, with [`crate::limits::REGULAR_REQUEST_TIMEOUT`], and fail when transient again.
    pub promoted: bool,
}

/// What became of a step's rows. A row that is in no list is done (Applied, Deleted, or was so).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The fence moved: nothing more is to be sent under it.
    pub superseded: bool,
    /// The worker is stopping: nothing was sent for `again`; end the task, repeat elsewhere.
    pub drained: bool,
    /// The cluster does not answer and is parked; `again` waits for it.
    pub unreachable: bool,
    /// Final failures, recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<RowId>,
    /// Transient, recorded as Retrying with the time of the next attempt: to be promoted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retry: Vec<RowId>,
    /// Not sent (window closed, another fence's attempt unexpired, drained, parked): repeat as is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<RowId>,
    /// … after so long.
    #[serde(default)]
    pub again_ms: u64,
    /// Delete accepted, object not gone yet: [`Defs::gone`] waits for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<RowId>,
    /// Shared rows whose other users on this cluster are not Deleted yet: left to the last of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<RowId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReachableInput {
    pub context: ContextId,
    pub fence: Fence,
    pub cluster: ClusterId,
    /// The bundle that waits: its rows fail when the retry policy's `maxElapsed` passes.
    pub app: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reachable {
    Yes,
    Superseded,
    /** `maxElapsed` passed: the bundle's rows are Failed. */
    Expired,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadyInput {
    pub context: ContextId,
    pub fence: Fence,
    /// The app that is waited for; `None` = the whole context, as its policy asks.
    pub app: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    Yes,
    Superseded,
    /** The policy's `readyTimeout` passed, or an object will never be ready: settle says so. */
    Expired,
}

/// Input of `Watch`, and payload of its signal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchInput {
    pub cluster: ClusterId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watched {
    /// No context is to be watched there any more.
    Unwanted,
    /// The round is over, or the worker stops: go on elsewhere.
    Again,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoteTarget {
    App(String),
    Rows(Vec<RowId>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NoteInput {
    pub context: ContextId,
    pub fence: Fence,
    pub target: NoteTarget,
    /// What it waits for; `None` clears.
    pub blocked_by: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProveInput {
    pub context: ContextId,
    pub fence: Fence,
    pub offset: usize,
    pub count: usize,
}

/// Absence of the context's objects on some clusters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Proof {
    pub superseded: bool,
    /// Objects found, their rows set back to Pending(Delete).
    pub found: usize,
    /// Clusters that did not answer (parked): repeat when reachable.
    pub unreachable: Vec<ClusterId>,
    /// An attempt is unexpired for so long yet: repeat after it.
    pub wait_ms: u64,
}

/// One visit of the collector to a cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CollectInput {
    pub cluster: ClusterId,
}

/// What a visit came to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Collected {
    /// There is more to be collected: visit again.
    pub more: bool,
    /// The cluster does not answer.
    pub unreachable: bool,
    /// Entries that left the ledger.
    pub over: usize,
    /// Late objects that were deleted.
    pub late: usize,
    /// Objects of lives that are not known, new in the ledger.
    pub reported: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    Settled,
    /// The fence moved: begin again.
    Moved,
    /// Rows are neither in the target nor Failed nor held back by a failure: drive again.
    Unfinished,
}

/// A part of a large context, driven by a child workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SliceInput {
    pub context: ContextId,
    pub fence: Fence,
    pub goal: Goal,
    pub slice: Slice,
    pub retry: Retry,
    /// The apps that the slice deletes in their order on each cluster; none when the parent keeps
    /// the order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AppWork>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SliceOutcome {
    pub superseded: bool,
    pub failed: bool,
}

/// Input of `CheckCluster`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckInput {
    pub cluster: ClusterId,
}

/// What a look at a cluster found; nothing is changed by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Why it cannot be used; `None` if it can.
    pub failure: Option<Failure>,
    /// `v1.36.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Uid of the `kube-system` namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Whom the cluster takes us for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From the request to its answer, over a connection that is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Permissions it lacks: `create deployments.apps in namespace shop`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// What is worth knowing and hinders nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Input of `Instantiate` and `Terminate`, and payload of the `goal` signal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wake {
    pub context: ContextId,
    pub fence: Fence,
}

pub const INSTANTIATE: &str = "Instantiate";
pub const TERMINATE: &str = "Terminate";
pub const SLICE: &str = "Slice";
pub const CHECK_CLUSTER: &str = "CheckCluster";
pub const WATCH: &str = "Watch";
/// The signal that says that a cluster is to be watched.
pub const WATCH_SIGNAL: &str = "wanted";
pub const COLLECT: &str = "Collect";
/// The signal that says that there is something to collect.
pub const COLLECT_SIGNAL: &str = "collect";
/// The signal that says that the goal moved.
pub const GOAL_SIGNAL: &str = "goal";

/// The one workflow that watches a cluster.
pub fn watch_id(cluster: &ClusterId) -> String {
    format!("watch/{cluster}")
}

pub struct Defs;

/// The definitions by type: `#[activity(definition = definitions::Apply)]` implements one.
pub mod definitions {
    pub use super::defs::*;
}

#[activity_definitions]
#[allow(
    clippy::unimplemented,
    reason = "definitions only; the bodies never run"
)]
impl Defs {
    /// Reads the goal; takes a new fence once per run id.
    #[activity(name = "begin")]
    pub fn begin(_: BeginInput) -> Result<Begin, ActivityError> {
        unimplemented!()
    }
    /// Fires PreTerminate → Terminating when no older attempt can still leave.
    #[activity(name = "permit")]
    pub fn permit(_: Fenced) -> Result<Permit, ActivityError> {
        unimplemented!()
    }
    /// The rows of a slice that are not in the target.
    #[activity(name = "outline")]
    pub fn outline(_: OutlineInput) -> Result<Outline, ActivityError> {
        unimplemented!()
    }
    /// Finds what exists before a wave is applied (protocol §5.1).
    #[activity(name = "look")]
    pub fn look(_: Step) -> Result<StepOutcome, ActivityError> {
        unimplemented!()
    }
    /// Server-side apply of the rows (protocol §5.2–5.5).
    #[activity(name = "apply")]
    pub fn apply(_: Step) -> Result<StepOutcome, ActivityError> {
        unimplemented!()
    }
    /// Delete of the rows (protocol §6).
    #[activity(name = "delete")]
    pub fn delete(_: Step) -> Result<StepOutcome, ActivityError> {
        unimplemented!()
    }
    /// Waits until accepted deletes are gone; fails with a delay until then.
    #[activity(name = "gone")]
    pub fn gone(_: Step) -> Result<StepOutcome, ActivityError> {
        unimplemented!()
    }
    /// Waits for a parked cluster; fails with a delay until then.
    #[activity(name = "reachable")]
    pub fn reachable(_: ReachableInput) -> Result<Reachable, ActivityError> {
        unimplemented!()
    }
    /// Waits for readiness; fails with a delay until then.
    #[activity(name = "ready")]
    pub fn ready(_: ReadyInput) -> Result<Ready, ActivityError> {
        unimplemented!()
    }
    /// Watches the objects of a cluster for as long as anybody wants to know.
    #[activity(name = "watch")]
    pub fn watch(_: WatchInput) -> Result<Watched, ActivityError> {
        unimplemented!()
    }
    /// Records what an app or rows wait for.
    #[activity(name = "note")]
    pub fn note(_: NoteInput) -> Result<(), ActivityError> {
        unimplemented!()
    }
    /// Lists the context's objects on some clusters: none may be left.
    #[activity(name = "prove")]
    pub fn prove(_: ProveInput) -> Result<Proof, ActivityError> {
        unimplemented!()
    }
    /// Looks whether a cluster can be used.
    #[activity(name = "check")]
    pub fn check(_: CheckInput) -> Result<Checked, ActivityError> {
        unimplemented!()
    }
    /// Collects what a cluster holds of lives that have ended (protocol §7).
    #[activity(name = "collect")]
    pub fn collect(_: CollectInput) -> Result<Collected, ActivityError> {
        unimplemented!()
    }
    /// Folds the rows into the context's state.
    #[activity(name = "settle")]
    pub fn settle(_: Fenced) -> Result<Settle, ActivityError> {
        unimplemented!()
    }
}
