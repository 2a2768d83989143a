//! The store: documents, goals with their fences, plans, resource rows, attempts, claims, logs.
//!
//! Every method that writes is one transaction unless it says otherwise, and safe to repeat. The
//! methods of [`Store`] stand in one file per noun; states are never assigned, they are fired at
//! `model`'s machines ([`sheet`]) on rows that the transaction has locked.
//!
//! Order of locks, everywhere: documents, DIG, contexts by id, resource rows by number, claims by
//! key, last the operation log.

pub mod types;

mod abandon;
mod address;
mod attempts;
mod bulk;
mod chunks;
mod claims;
mod clusters;
mod collector;
mod dialect;
mod documents;
mod halt;
mod heads;
mod key;
mod log;
mod look;
mod manifests;
mod open;
mod opens;
mod orphans;
mod outline;
mod problems;
mod proof;
mod readiness;
mod ready;
mod removal;
mod requests;
mod resources;
mod run;
mod seal;
mod settle;
mod sheet;
mod sql;
mod staging;
mod status;
mod trouble;
mod verbs;
mod wake;
mod watched;
mod writer;

pub use address::{usual_key_file, without_password};
pub use key::KeyError;
pub use readiness::{Beat, Seen};
pub use ready::ReadyRow;
pub use types::*;
pub use watched::{WatchRow, Watched};

use sea_orm::DatabaseConnection;
use std::sync::Arc;
use tokio::sync::mpsc;

type Result<T> = std::result::Result<T, StoreError>;

/// A handle on the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    /// SQLite: the one connection that writes. PostgreSQL: the same pool as `read`.
    write: sql::WriteDb,
    read: DatabaseConnection,
    /// SQLite: never waits for the write lock for long. Writes nothing.
    probe: Option<sql::WriteDb>,
    key: SealKey,
    config: StoreConfig,
    installation: String,
    /// Opens and closes of this process, on their way into grouped transactions.
    writer: mpsc::Sender<writer::Op>,
}
