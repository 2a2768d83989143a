//! What all services share: the store once it is there, what is known of Temporal, the stop signal.

use crate::errors;
use model::ids::{ContextId, Fence};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub struct Core {
    store: OnceLock<Store>,
    /// Why the store is not there yet.
    waiting: Mutex<String>,
    /// A verb was accepted: there is something to wake.
    pub accepted: Notify,
    /// Somebody wants orphans collected.
    pub collect: Notify,
    /// Ends streams and loops.
    pub stop: CancellationToken,
    /// Bytes of one upload.
    pub max_upload: u64,
    temporal: Mutex<Option<Trouble>>,
    /// When Temporal took the latest fence of a context that no run has begun yet.
    woken: Mutex<HashMap<ContextId, (Fence, Instant)>>,
}

/// Something is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub since_ms: i64,
    pub attempts: i32,
    pub cause: String,
}

impl Core {
    pub fn new(max_upload: u64) -> Self {
        Self {
            store: OnceLock::new(),
            waiting: Mutex::new("it is being opened".to_owned()),
            accepted: Notify::new(),
            collect: Notify::new(),
            stop: CancellationToken::new(),
            max_upload,
            temporal: Mutex::new(None),
            woken: Mutex::new(HashMap::new()),
        }
    }

    /// The store, or UNAVAILABLE while it is waited for.
    pub fn store(&self) -> Result<&Store, Status> {
        self.store.get().ok_or_else(|| {
            errors::unavailable(
                "STORE_UNAVAILABLE",
                format!(
                    "the store is not there yet: {}; try again",
                    lock(&self.waiting)
                ),
            )
        })
    }

    pub fn ready(&self) -> bool {
        self.store.get().is_some()
    }

    pub fn opened(&self, store: Store) {
        // A second store cannot come: only one task opens it.
        let _ = self.store.set(store);
    }

    pub fn waits_for_store(&self, cause: String) {
        *lock(&self.waiting) = cause;
    }

    /// Why the store is not there yet.
    pub fn waiting(&self) -> String {
        lock(&self.waiting).clone()
    }

    pub fn temporal_trouble(&self) -> Option<Trouble> {
        lock(&self.temporal).clone()
    }

    /// Notes whether Temporal answered; logs the change, not every repetition.
    pub fn temporal_answered(&self, result: Result<(), &str>) {
        let mut trouble = lock(&self.temporal);
        match (result, trouble.as_mut()) {
            (Ok(()), None) => {}
            (Ok(()), Some(was)) => {
                tracing::info!(attempts = was.attempts, "Temporal answers again");
                *trouble = None;
            }
            (Err(cause), Some(was)) => {
                was.attempts = was.attempts.saturating_add(1);
                was.cause = cause.to_owned();
            }
            (Err(cause), None) => {
                tracing::warn!(
                    cause,
                    "Temporal does not answer; verbs are accepted and wait"
                );
                *trouble = Some(Trouble {
                    since_ms: now_ms(),
                    attempts: 1,
                    cause: cause.to_owned(),
                });
            }
        }
    }

    pub fn woken(&self, context: &ContextId, fence: Fence) {
        let mut woken = lock(&self.woken);
        let entry = woken
            .entry(context.clone())
            .or_insert((fence, Instant::now()));
        if entry.0 != fence {
            *entry = (fence, Instant::now());
        }
    }

    /// How long ago Temporal took this very fence, if it is the latest that this process knows.
    pub fn since_woken(&self, context: &ContextId, fence: Fence) -> Option<Duration> {
        lock(&self.woken)
            .get(context)
            .filter(|(latest, _)| *latest == fence)
            .map(|(_, at)| at.elapsed())
    }

    /// Forgets contexts that are not among those given: they are settled.
    pub fn forget_but(&self, unsettled: &std::collections::HashSet<ContextId>) {
        lock(&self.woken).retain(|context, (_, at)| {
            unsettled.contains(context) || at.elapsed() < Duration::from_secs(60)
        });
    }
}

/// The mutexes guard plain values, which a panic elsewhere cannot leave half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This machine's clock, ms since the epoch: for display and ids, never for a decision.
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
