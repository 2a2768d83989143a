//! One simulated cluster: objects, and the Kubernetes API over them.
//!
//! A request goes `request` → `serve` → `read`, `watch`, `write` or `remove`; those work on `state` under the
//! cluster's lock, and `control` does afterwards what controllers do on a real cluster. Objects are kept as
//! the JSON they are answered in (`store`), and on disk as a journal of it (`journal`).

mod address;
pub mod kinds;
mod request;
mod serve;

mod discovery;
mod openapi;
mod questions;

mod answer;
mod read;
mod selector;
mod table;
mod watch;

mod admission;
mod body;
mod defaults;
mod immutable;
mod names;
mod patch;
mod protobuf;
mod remove;
mod scale;
mod schema;
mod sent;
mod settle;
mod ssa;
mod validate;
mod write;

mod journal;
mod object;
mod state;
mod status;
mod store;
mod stored;

mod control;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};

use state::State;

/// The Kubernetes version that is simulated.
pub const VERSION: &str = "v1.36.3";

/// How one simulated cluster behaves.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// From a Pod's creation until it is Running and Ready; also until a claim is bound.
    pub ready_after: Duration,
    /// From a CustomResourceDefinition's creation until it is Established and served.
    pub established_after: Duration,
    /// How long the garbage collector and the namespace controller take to come by.
    pub collect_after: Duration,
    /// How many past changes a watch can start from; older ones answer 410.
    pub watch_window: usize,
    /// Whether admission webhooks and aggregated APIs, which nothing here answers, fail the way they
    /// do on a cluster whose backends are down.
    pub backends_down: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            ready_after: Duration::from_millis(300),
            established_after: Duration::from_millis(50),
            collect_after: Duration::from_millis(20),
            watch_window: 2_000,
            backends_down: true,
        }
    }
}

/// Why a cluster could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal could not be read or written.
    #[error("{operation} {path}")]
    Journal {
        /// What was being done, e.g. `read journal`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The objects every cluster has could not be made.
    #[error("found cluster {name}: {why}")]
    Found {
        /// The cluster.
        name: String,
        /// What the store said.
        why: String,
    },
}

/// One simulated cluster. Clones are cheap and name the same cluster.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    name: String,
    state: Mutex<State>,
    changed: tokio::sync::watch::Sender<u64>,
    earlier: tokio::sync::Notify,
}

impl Inner {
    /// The state; a panic in another request leaves it usable, since every write is one step.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Opens the cluster `name`, with its objects in `dir` (made when absent) or, without one, in memory only.
    ///
    /// Guarantees: what was answered before the process was killed is there again, with its uids and versions.
    ///
    /// # Errors
    /// When the journal in `dir` cannot be read or written.
    pub fn open(name: &str, dir: Option<&Path>, config: ClusterConfig) -> Result<Cluster, Error> {
        let mut state = State::new(config);
        let is_new = match dir {
            Some(dir) => state.store.load(dir)?,
            None => true,
        };
        if is_new {
            let failed = |status: status::Status| Error::Found {
                name: name.to_owned(),
                why: status.message,
            };
            control::found(&mut state).map_err(failed)?;
            state.agenda = state::Agenda::default();
        } else {
            state.look_at_everything();
        }
        state.store.rest();
        let changed = tokio::sync::watch::Sender::new(state.store.version());
        let inner = Inner {
            name: name.to_owned(),
            state: Mutex::new(state),
            changed,
            earlier: tokio::sync::Notify::new(),
        };
        Ok(Cluster(Arc::new(inner)))
    }

    /// The name it was opened with.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How many objects it holds.
    pub fn len(&self) -> usize {
        self.0.lock().store.len()
    }

    /// Whether it holds no objects at all, which no opened cluster does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers one request. A watch's answer has a body that streams.
    ///
    /// Must be called inside a tokio runtime, which also runs what the cluster's controllers have to do.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Body> {
        let answer = serve::answer(&self.0, request);
        worker::after(&self.0);
        answer.into_response()
    }
}
