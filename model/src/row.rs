//! A resource's row as the store keeps it and status shows it.

use crate::{
    failure::Failure,
    ids::{ContextId, ResourceKey, RowId},
    plan::Class,
    state::{Goal, ResourceState},
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub context: ContextId,
    pub id: RowId,
    pub app: String,
    pub key: ResourceKey,
    pub version: String,
    pub wave: i32,
    pub class: Class,
    pub implicit: bool,
    pub keep: bool,
    pub goal: Goal,
    pub digest: String,
    pub state: ResourceState,
    /// Applies that ever left, as far as is known: 0 means never sent.
    pub sent: i32,
    /// Sends (apply or delete) towards the present goal.
    pub attempts: i32,
    /// When the present state was entered, ms since the epoch (database time).
    pub since_ms: i64,
    /// When the present trouble began (first failure), if in trouble.
    pub failing_since_ms: Option<i64>,
    pub next_attempt_ms: Option<i64>,
    pub error: Option<Failure>,
    pub blocked_by: Option<String>,
    pub kept: Option<String>,
    /// Uid of an object that was there before and is not ours; write-once.
    pub preexisting_uid: Option<String>,
    /// Uid of our object, once known.
    pub uid: Option<String>,
}

/// Whether a cluster answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connectivity {
    Unknown,
    Available,
    Retrying,
}
