//! The orphan ledger, and what the collector is told and finds.

use super::Gvk;
use model::{
    ids::{ClusterId, ContextId, DigRef, ResourceKey, RowId},
    plan::Class,
};

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
