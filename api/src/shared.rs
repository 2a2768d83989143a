//! What all services share: the store once it is there, what is known of Temporal, the stop signal.

use crate::{errors, pulse::Pulses, wake::Waker};
use model::failure::Guide;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use store::Store;
use temporal::Queue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// For so long it is not asked again who takes work, or whether the store can be written.
const KNOWN: Duration = Duration::from_secs(1);
/// Temporal answers this question sooner, or something is wrong with it.
const ANSWERS: Duration = Duration::from_secs(2);

pub struct Core {
    store: OnceLock<Store>,
    /// Why the store is not there yet.
    waiting: Mutex<Waiting>,
    /// A verb was accepted: there is something to wake.
    pub accepted: Notify,
    /// Somebody wants orphans collected.
    pub collect: Notify,
    /// What changes at the DIGs that are watched.
    pub pulses: Arc<Pulses>,
    /// Ends streams and loops.
    pub stop: CancellationToken,
    /// Bytes of one upload.
    pub max_upload: u64,
    pub waker: Arc<dyn Waker>,
    temporal: Mutex<Option<Trouble>>,
    /// When the queue was last asked for, and what was heard.
    asked: tokio::sync::Mutex<Option<Instant>>,
    queue: Mutex<Option<Queue>>,
    /// When it was last asked whether the store can be written.
    probed: tokio::sync::Mutex<Option<Instant>>,
    locked: AtomicBool,
}

/// Why there is no store yet, and what is known of that.
struct Waiting {
    trouble: Option<&'static Guide>,
    cause: String,
}

/// Something is out of reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    pub since_ms: i64,
    pub attempts: i32,
    pub cause: String,
}

impl Core {
    pub fn new(max_upload: u64, waker: Arc<dyn Waker>) -> Self {
        Self {
            store: OnceLock::new(),
            waiting: Mutex::new(Waiting {
                trouble: None,
                cause: "it is being opened".to_owned(),
            }),
            accepted: Notify::new(),
            collect: Notify::new(),
            pulses: Arc::default(),
            stop: CancellationToken::new(),
            max_upload,
            waker,
            temporal: Mutex::new(None),
            asked: tokio::sync::Mutex::new(None),
            queue: Mutex::new(None),
            probed: tokio::sync::Mutex::new(None),
            locked: AtomicBool::new(false),
        }
    }

    /// The store, or UNAVAILABLE while it is waited for.
    pub fn store(&self) -> Result<&Store, Status> {
        self.store.get().ok_or_else(|| {
            let Waiting { trouble, cause } = &*lock(&self.waiting);
            let otherwise = format!("the store is not there yet: {cause}; try again");
            errors::no_store(*trouble, &otherwise)
        })
    }

    pub fn ready(&self) -> bool {
        self.store.get().is_some()
    }

    pub fn opened(&self, store: Store) {
        // A second store cannot come: only one task opens it.
        let _ = self.store.set(store);
    }

    pub fn waits_for_store(&self, trouble: Option<&'static Guide>, cause: String) {
        *lock(&self.waiting) = Waiting { trouble, cause };
    }

    /// Why the store is not there yet.
    pub fn waiting(&self) -> String {
        lock(&self.waiting).cause.clone()
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

    /// Whether another process keeps the store from being written: asked at most once a second, and
    /// by one caller at a time, since the question itself may have to wait; the others get what was
    /// known before.
    pub async fn is_locked(&self, store: &Store) -> bool {
        if let Ok(mut probed) = self.probed.try_lock()
            && probed.is_none_or(|at| at.elapsed() >= KNOWN)
        {
            let locked = !store.is_writable().await;
            self.locked.store(locked, Ordering::Relaxed);
            *probed = Some(Instant::now());
        }
        self.locked.load(Ordering::Relaxed)
    }

    /// The queue that workers take lifecycles from, asked at most once a second, by one caller at a
    /// time; the others get what was known before. `None` if Temporal does not answer, which is
    /// noted.
    pub async fn queue(&self) -> Option<Queue> {
        if let Ok(mut asked) = self.asked.try_lock()
            && asked.is_none_or(|at| at.elapsed() >= KNOWN)
        {
            let answer = match tokio::time::timeout(ANSWERS, self.waker.queue()).await {
                Ok(answer) => answer.map_err(|error| error.0),
                Err(_) => Err(format!("no answer within {} s", ANSWERS.as_secs())),
            };
            self.temporal_answered(answer.as_ref().map(|_| ()).map_err(String::as_str));
            *lock(&self.queue) = answer.ok();
            *asked = Some(Instant::now());
        }
        lock(&self.queue).clone()
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
