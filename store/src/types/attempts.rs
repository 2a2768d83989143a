//! Looks, attempts and probes: what may be done, and what came of it.

use model::{
    failure::{Certainty, Failure},
    ids::RowId,
    row::Row,
    state::ResourceState,
};

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
