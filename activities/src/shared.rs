//! What all activities of a process share.

use crate::{
    clusters::Clusters, config::ActivitiesConfig, delete::snapshot::Snapshots,
    manifests::Manifests, watch::desk::Desk,
};
use lru::LruCache;
use model::ids::{ContextId, Fence};
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use store::{ContextRow, Store, StoreError};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Attempts being opened at once, per process and per context, so that a large context cannot
/// starve small ones (protocol §8).
const OPENING: usize = 16;
const OPENING_PER_CONTEXT: usize = 12;

const CONTEXTS: NonZeroUsize = NonZeroUsize::new(512).expect("not zero");

/// Store, clusters, limits and caches.
pub struct Shared {
    pub store: Store,
    pub clusters: Clusters,
    pub config: ActivitiesConfig,
    /// Where the watchers of this process write.
    pub desk: Arc<Desk>,
    /// Cancelled when the process stops: new steps answer `drained`.
    pub stop: CancellationToken,
    opening: Semaphore,
    opening_per_context: Mutex<HashMap<ContextId, Weak<Semaphore>>>,
    contexts: Mutex<LruCache<(ContextId, Fence), Arc<ContextRow>>>,
    manifests: Mutex<Manifests>,
    /// What steps of large deletes saw.
    pub snapshots: Snapshots,
    installation: OnceCell<String>,
}

/// The right to open attempts now.
pub struct Opening<'a> {
    _process: SemaphorePermit<'a>,
    _context: tokio::sync::OwnedSemaphorePermit,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn new(store: Store, config: ActivitiesConfig) -> Self {
        Self {
            clusters: Clusters::new(store.clone(), config.allowed_exec.clone()),
            desk: Desk::new(store.clone()),
            store,
            config,
            stop: CancellationToken::new(),
            opening: Semaphore::new(OPENING),
            opening_per_context: Mutex::default(),
            contexts: Mutex::new(LruCache::new(CONTEXTS)),
            manifests: Mutex::default(),
            snapshots: Snapshots::default(),
            installation: OnceCell::new(),
        }
    }

    /// Waits until attempts of the context may be opened: its own limit first, so that waiting for
    /// it takes nothing from others.
    pub async fn opening(&self, context: &ContextId) -> Option<Opening<'_>> {
        let per_context = {
            let mut all = lock(&self.opening_per_context);
            match all.get(context).and_then(Weak::upgrade) {
                Some(semaphore) => semaphore,
                None => {
                    all.retain(|_, semaphore| semaphore.strong_count() > 0);
                    let semaphore = Arc::new(Semaphore::new(OPENING_PER_CONTEXT));
                    all.insert(context.clone(), Arc::downgrade(&semaphore));
                    semaphore
                }
            }
        };
        let context = per_context.acquire_owned().await.ok()?;
        let process = self.opening.acquire().await.ok()?;
        Some(Opening {
            _process: process,
            _context: context,
        })
    }

    /// The context as it was under a fence; its policy does not change within one. The fence itself
    /// is compared when an attempt is opened.
    pub async fn context(
        &self,
        id: &ContextId,
        fence: Fence,
    ) -> Result<Arc<ContextRow>, StoreError> {
        let key = (id.clone(), fence);
        if let Some(row) = lock(&self.contexts).get(&key) {
            return Ok(row.clone());
        }
        let row = Arc::new(self.store.context(id).await?);
        if row.fence == fence {
            lock(&self.contexts).put(key, row.clone());
        }
        Ok(row)
    }

    /// The installation's id.
    pub async fn installation(&self) -> Result<&str, StoreError> {
        self.installation
            .get_or_try_init(|| self.store.installation())
            .await
            .map(String::as_str)
    }

    /// Manifests by digest. Those of Secrets are in the cache too, for as long as they are in use.
    pub async fn manifests(
        &self,
        digests: &[String],
    ) -> Result<HashMap<String, Arc<str>>, StoreError> {
        let mut found = HashMap::with_capacity(digests.len());
        let mut missing = Vec::new();
        {
            let mut cache = lock(&self.manifests);
            for digest in digests {
                match cache.get(digest) {
                    Some(text) => {
                        found.insert(digest.clone(), text);
                    }
                    None => missing.push(digest.clone()),
                }
            }
        }
        if !missing.is_empty() {
            missing.sort();
            missing.dedup();
            for (digest, text) in self.store.manifests(&missing).await? {
                let text: Arc<str> = text.into();
                lock(&self.manifests).put(&digest, &text);
                found.insert(digest, text);
            }
        }
        Ok(found)
    }
}
