//! What goes in and out of the store, in model types.

mod attempts;
mod documents;
mod lives;
mod orphans;
mod status;

pub use attempts::*;
pub use documents::*;
pub use lives::*;
pub use orphans::*;
pub use status::*;

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

/// The key that seals Secrets and kubeconfigs: 32 bytes, AES-256-GCM.
#[derive(Clone)]
pub struct SealKey(pub [u8; 32]);

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
    /// So soon the collector comes back to what it has deleted and is not gone yet; then after
    /// twice as long each time.
    pub collect_again_ms: i64,
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
            collect_again_ms: 5_000,
        }
    }
}

/// Group, version, kind.
pub type Gvk = (String, String, String);
