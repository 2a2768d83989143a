//! What goes in and out of the store, in model types.

use model::{
    document::{Cluster, CompositeApp, Dig, Policy},
    failure::{Certainty, Failure},
    ids::{ClusterId, ContextId, DigRef, Fence, ResourceKey, RowId},
    plan::{Class, PlanApp},
    readiness::Readiness,
    row::{Connectivity, Row},
    state::{ContextState, DigEvent, DigState, Goal, ResourceState},
};
use std::collections::BTreeMap;

/// The key that seals Secrets and kubeconfigs: 32 bytes, AES-256-GCM.
#[derive(Clone)]
pub struct SealKey(pub [u8; 32]);

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{kind} {name} not found")]
    NotFound { kind: &'static str, name: String },
    /// A machine refuses the verb in this state.
    #[error("{object} is {state}: {verb} is not possible; possible: {allowed}")]
    WrongState {
        object: String,
        state: String,
        verb: String,
        allowed: String,
    },
    /// Refused for another reason that the caller can mend.
    #[error("{object}: {cause}")]
    Refused {
        object: String,
        cause: String,
        reason: &'static str,
    },
    #[error("request id {0} was used before with another body")]
    RequestIdReused(String),
    /// The plan was rendered from documents that have changed since: render again.
    #[error("the documents of {0} changed while its plan was rendered")]
    Stale(String),
    #[error("the database is of a later version of Muster: {0}")]
    Newer(String),
    #[error("{0} cannot be read with this key")]
    WrongKey(String),
    #[error("database: {0}")]
    Db(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Another process holds SQLite's only write lock: nothing was changed, and nothing is lost.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Db(source) if crate::sql::is_locked(source.as_ref()))
    }
}

/// Who asks, and the idempotency key with a hash of the body.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    pub request_id: Option<String>,
    pub body_hash: String,
    pub actor: String,
}

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleRow {
    Settled(ContextState),
    Moved,
    Unfinished,
}

#[derive(Debug, Clone)]
pub enum NoteTarget {
    App(String),
    Rows(Vec<RowId>),
}

/// What `open_attempts` says of one row.
#[derive(Debug, Clone)]
pub enum Opened {
    /// Send now: not later than [`workflows` SEND_WINDOW] after the open began.
    Go {
        attempt: i64,
        row: Box<Row>,
        /// For a delete: an apply on the key that is neither closed nor expired may still take
        /// effect for so long, so that an absence seen now proves nothing (protocol §6). 0 = none.
        late_ms: u64,
    },
    /// Already Applied (or Deleted), or Failed: nothing to do.
    Done(ResourceState),
    /// Another fence's attempt on the key may still take effect.
    Busy {
        ms: u64,
    },
    Superseded,
}

/// How one attempt ended.
#[derive(Debug, Clone)]
pub struct Close {
    pub attempt: i64,
    pub row: RowId,
    pub certainty: Certainty,
    pub result: Closed,
    /// Uid seen in the answer: a fact, recorded whatever else.
    pub uid: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Closed {
    Applied,
    /// Nothing left (window, refused connection …): no state change, `sent` taken back.
    NotSent,
    /// Transient: Retrying, next attempt after so long.
    Transient {
        failure: Failure,
        delay_ms: u64,
    },
    Refused(Failure),
    /// Delete accepted, not gone yet: stays Pending(Delete) with this `blocked_by`.
    Deleting {
        blocked_by: String,
    },
    Gone,
    Kept(String),
    /// An existing Namespace or CRD is used as it is.
    Used,
}

/// What a look found for a row.
#[derive(Debug, Clone)]
pub struct Found {
    pub row: RowId,
    pub uid: String,
    /// It carries our context label (or, for shared kinds, our installation's).
    pub ours: bool,
    /// Field managers, for the message "exists, managed by X".
    pub managers: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// Last claim and created by Muster: delete it (the claim is `deleting` now).
    Delete,
    /// Other contexts hold it: the row is done, the claim given up.
    StillUsed {
        by: String,
    },
    /// It was there before Muster: kept.
    NotOurs,
    Superseded,
}

#[derive(Debug, Clone)]
pub enum ProbeLease {
    /// The cluster answers (somebody's probe succeeded).
    Available,
    /// The lease is the caller's: probe now.
    Yours,
    /// Somebody probes, or the next probe is not due: look again after so long.
    Wait { ms: u64, since_ms: i64 },
}

/// Group, version, kind.
pub type Gvk = (String, String, String);

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

/// An entry of the orphan ledger: an object that may be there and that no context drives.
#[derive(Debug, Clone)]
pub struct Orphan {
    pub id: i64,
    /// The life that the object's label names.
    pub context: ContextId,
    pub dig: DigRef,
    /// The DIG's number in the log, if it was known.
    pub dig_id: Option<i64>,
    pub app: String,
    pub row: Option<RowId>,
    pub key: ResourceKey,
    pub version: String,
    pub wave: i32,
    pub class: Class,
    pub uid: Option<String>,
    pub reason: String,
    pub actor: String,
    pub since_ms: i64,
    /// Somebody asked for the collection then, and it is still to be done.
    pub wanted_ms: Option<i64>,
    /// The last try since it was asked for, and what came of it.
    pub tried_ms: Option<i64>,
    pub outcome: Option<String>,
    /// It left the ledger.
    pub ended_ms: Option<i64>,
}

/// Which open entries; everything empty means all.
#[derive(Debug, Clone, Default)]
pub struct OrphanChoice {
    pub cluster: Option<ClusterId>,
    pub ids: Vec<i64>,
}

/// What a try to collect an entry came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tried {
    /// Nothing of it is there any more, or it is nobody's orphan: the entry ends.
    Over(String),
    /// Goes on by itself.
    Waits(String),
    /// Did not work; whoever asked has to ask again.
    Still(String),
}

/// What the collector has to do on a cluster.
#[derive(Debug, Clone, Default)]
pub struct CollectScope {
    pub wanted: Vec<Orphan>,
    /// Kinds that terminated lives had there.
    pub kinds: Vec<Gvk>,
}

/// An object that carries the label of a life.
#[derive(Debug, Clone)]
pub struct LateObject {
    pub context: ContextId,
    pub app: String,
    pub key: ResourceKey,
    pub version: String,
    pub uid: String,
}

/// What became of a life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Going,
    Terminated,
    /// This store never heard of it.
    Unknown,
}

/// The times of the protocol (§9).
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// W: nothing opened is sent later than this.
    pub send_window_ms: i64,
    /// Network delay allowed for in `effect_until`.
    pub slack_ms: i64,
    /// First and longest interval between probes of a parked cluster.
    pub probe_initial_ms: i64,
    pub probe_max_ms: i64,
    /// A staged plan that nobody accepted for so long is swept.
    pub staging_ms: i64,
    /// A cluster with tombstones is visited by the collector this often (protocol §7) …
    pub collect_every_ms: i64,
    /// … for so long after a life there ended.
    pub tombstone_ms: i64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            send_window_ms: 500,
            slack_ms: 10_000,
            probe_initial_ms: 1_000,
            probe_max_ms: 10_000,
            staging_ms: 3_600_000,
            collect_every_ms: 600_000,
            tombstone_ms: 7 * 86_400_000,
        }
    }
}
