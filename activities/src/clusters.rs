//! Clusters as this process sees them: connections, whether they answer, parking (protocol §8).

pub mod access;
pub mod answer;
pub mod clock;
pub mod dial;
pub mod discovery;
pub mod gate;
pub mod hello;
pub mod link;
pub mod listable;
pub mod pool;
pub mod stream;

use hello::Cluster;
use model::ids::ClusterId;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use store::Store;

/// How often idle connections are looked through and active clusters counted.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

/// All clusters this process talks to.
#[derive(Clone)]
pub struct Clusters {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    allowed_exec: Vec<String>,
    active: Arc<AtomicUsize>,
    clusters: Mutex<HashMap<ClusterId, Arc<Cluster>>>,
}

impl Clusters {
    /// Must be called within a tokio runtime: it keeps a small task for idle connections.
    pub fn new(store: Store, allowed_exec: Vec<String>) -> Self {
        // kube and tokio-rustls take the process-wide provider; another one may be set already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let shared = Arc::new(Shared {
            store,
            allowed_exec,
            active: Arc::new(AtomicUsize::new(0)),
            clusters: Mutex::new(HashMap::new()),
        });
        tokio::spawn(keep_house(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// The cluster of an id; nothing is sent.
    pub fn of(&self, id: &ClusterId) -> Arc<Cluster> {
        let mut clusters = self
            .shared
            .clusters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let active = clusters.len() + 1;
        clusters
            .entry(id.clone())
            .or_insert_with(|| {
                self.shared.active.store(active, Relaxed);
                let allowed = self.shared.allowed_exec.clone();
                Arc::new(Cluster::new(
                    id.clone(),
                    self.shared.store.clone(),
                    allowed,
                    self.shared.active.clone(),
                ))
            })
            .clone()
    }
}

async fn keep_house(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let clusters: Vec<_> = shared
            .clusters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect();
        let active = clusters
            .iter()
            .filter(|cluster| cluster.keep_house())
            .count();
        shared.active.store(active, Relaxed);
    }
}
