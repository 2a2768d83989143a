//! Whether a cluster answers: hello, identity, parking (protocol §8).

use super::{
    answer::Answer,
    link::{Link, Pulse},
};
use crate::object::Sight;
use model::{failure::Failure, ids::ClusterId, row::Connectivity};
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
    time::Duration,
};
use store::{Store, StoreError};
use tokio::time::{Instant, timeout};
use workflows::limits::{HELLO_AFTER, HELLO_TIMEOUT, PROBE_INITIAL, SLOW_HELLO_TIMEOUT};

/// A cluster that was silent this long does not count as active.
const ACTIVE: Duration = Duration::from_secs(30);

/// After trouble, an answer to somebody else counts if it came within this time.
const LATELY: Duration = Duration::from_millis(500);
/// A replaced kubeconfig is noticed within this time.
const NOTICE: Duration = Duration::from_secs(2);

/// One cluster.
pub struct Cluster {
    pub id: ClusterId,
    store: Store,
    allowed_exec: Vec<String>,
    pulse: Arc<Pulse>,
    link: Mutex<Option<Arc<Link>>>,
    /// When it was last found dead, and why: shared by all who ask within a probe's interval.
    dead: Mutex<Option<(Instant, Failure)>>,
    /// When the kubeconfig's generation was last compared.
    noticed: Mutex<Option<Instant>>,
    /// One hello at a time; when the last probe ended.
    hello: tokio::sync::Mutex<Option<Instant>>,
}

/// Why a cluster cannot be used now.
#[derive(Debug)]
pub enum NotReady {
    /// It does not answer (or may not be used); it is parked.
    Parked(Failure),
    Store(StoreError),
}

impl From<StoreError> for NotReady {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Cluster {
    pub fn new(
        id: ClusterId,
        store: Store,
        allowed_exec: Vec<String>,
        active: Arc<AtomicUsize>,
    ) -> Self {
        let pulse = Arc::new(Pulse::new(active));
        Self {
            id,
            store,
            allowed_exec,
            pulse,
            link: Mutex::default(),
            dead: Mutex::default(),
            noticed: Mutex::default(),
            hello: tokio::sync::Mutex::default(),
        }
    }

    /// A link to a cluster that answered within [`HELLO_AFTER`]; says hello first if it did not.
    pub async fn ready(&self) -> Result<Arc<Link>, NotReady> {
        self.notice_replacement().await?;
        self.answering_since(Instant::now().checked_sub(HELLO_AFTER))
            .await
    }

    /// A replaced kubeconfig counts from now on, however well the old one works.
    async fn notice_replacement(&self) -> Result<(), StoreError> {
        let Some(link) = self.current() else {
            return Ok(());
        };
        let due = {
            let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
            let due = noticed.is_none_or(|at| at.elapsed() >= NOTICE);
            if due {
                *noticed = Some(Instant::now());
            }
            due
        };
        if due && self.store.cluster(&self.id).await?.generation != link.generation {
            *self.link.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(())
    }

    /// After trouble with a request that began at `since`: hello decides, unless the cluster
    /// answered somebody else meanwhile.
    pub async fn still_answers(&self, since: Instant) -> Result<Arc<Link>, NotReady> {
        // A time-out is long: an answer at its beginning says nothing about its end.
        let lately = Instant::now().checked_sub(LATELY);
        self.answering_since(lately.map(|lately| since.max(lately)).or(Some(since)))
            .await
    }

    async fn answering_since(&self, since: Option<Instant>) -> Result<Arc<Link>, NotReady> {
        if let Some(link) = self.fresh(since) {
            return Ok(link);
        }
        let _one_at_a_time = self.hello.lock().await;
        if let Some(link) = self.fresh(since) {
            return Ok(link);
        }
        if let Some(failure) = self.found_dead() {
            return Err(NotReady::Parked(failure));
        }
        match self.say_hello().await {
            Ok(link) => Ok(link),
            Err(NotReady::Parked(failure)) => {
                *self.dead() = Some((Instant::now(), failure.clone()));
                tracing::warn!(cluster = %self.id, error = %failure.message, "cluster does not answer, parked");
                self.store.park(&self.id, &failure).await?;
                Err(NotReady::Parked(failure))
            }
            Err(error) => Err(error),
        }
    }

    /// A probe on behalf of everybody: hello and identity, whatever was seen before. Answers what
    /// the store makes of it. `None`: somebody else in this process probed while this one waited.
    pub async fn probe(&self) -> Result<Option<Connectivity>, StoreError> {
        let asked = Instant::now();
        let mut last = self.hello.lock().await;
        if last.is_some_and(|probed| probed >= asked) {
            return Ok(None);
        }
        let result = match self.connect().await {
            Err(NotReady::Store(error)) => return Err(error),
            Err(NotReady::Parked(failure)) => Err(failure),
            Ok(link) => match link.greet().await {
                Err(error) => Err(error.failure()),
                Ok(()) => match self.identity(&link).await {
                    Ok(uid) => {
                        self.known(link);
                        Ok(uid)
                    }
                    Err(failure) => Err(failure),
                },
            },
        };
        *self.dead() = result
            .as_ref()
            .err()
            .map(|failure| (Instant::now(), failure.clone()));
        // Recorded before others may look: they then find what came of it.
        let connectivity = self.store.probed(&self.id, result).await?;
        if connectivity != Connectivity::Available && self.dead().is_none() {
            // It answers and is not the cluster it is taken for.
            let failure = Failure::new("identity", format!("{} is parked", self.id));
            *self.dead() = Some((Instant::now(), failure));
        }
        *last = Some(Instant::now());
        Ok(Some(connectivity))
    }

    async fn say_hello(&self) -> Result<Arc<Link>, NotReady> {
        let row = self.store.cluster(&self.id).await?;
        if row.connectivity == Connectivity::Retrying {
            // Parked: over all workers, one probe at a time finds out when it is back.
            return Err(NotReady::Parked(row.error.unwrap_or_else(|| self.parked())));
        }
        let known = self
            .current()
            .is_some_and(|link| link.generation == row.generation);
        let link = self.connect().await?;
        link.say_hello()
            .await
            .map_err(|error| NotReady::Parked(error.failure()))?;
        // The identity is checked once per kubeconfig, and when the cluster was parked.
        if !known || row.connectivity != Connectivity::Available {
            let uid = self.identity(&link).await.map_err(NotReady::Parked)?;
            if self.store.probed(&self.id, Ok(uid)).await? != Connectivity::Available {
                let failure = self.store.cluster(&self.id).await?.error;
                return Err(NotReady::Parked(failure.unwrap_or_else(|| self.parked())));
            }
        }
        self.known(link.clone());
        *self.dead() = None;
        Ok(link)
    }

    fn parked(&self) -> Failure {
        Failure::new("unreachable", format!("{} is parked", self.id))
    }

    /// Its answers take so long that first attempts are regular ones.
    pub fn is_slow(&self) -> bool {
        self.pulse.is_slow()
    }

    /// Uid of the `kube-system` namespace; `None` if it may not be read. Any other missing answer
    /// leaves open which cluster this is.
    async fn identity(&self, link: &Link) -> Result<Option<String>, Failure> {
        let within = if self.is_slow() {
            SLOW_HELLO_TIMEOUT
        } else {
            HELLO_TIMEOUT
        };
        let read = link.read("/api/v1/namespaces/kube-system", within);
        match timeout(2 * within, read).await {
            Err(_) => Err(Failure::new(
                "timeout",
                "reading the kube-system namespace took too long",
            )),
            Ok(Err(error)) => Err(error.failure()),
            Ok(Ok(answer)) => uid(&answer),
        }
    }

    /// A link of the stored kubeconfig, made anew when that was replaced.
    async fn connect(&self) -> Result<Arc<Link>, NotReady> {
        let kubeconfig = self.store.kubeconfig(&self.id).await?;
        if let Some(link) = self
            .current()
            .filter(|link| link.generation == kubeconfig.generation)
        {
            return Ok(link);
        }
        let link = Link::new(&kubeconfig, &self.allowed_exec, self.pulse.clone())
            .await
            .map_err(|error| NotReady::Parked(error.failure()))?;
        Ok(Arc::new(link))
    }

    /// Others may use the link once it is known whose cluster answers there.
    fn known(&self, link: Arc<Link>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
    }

    fn fresh(&self, since: Option<Instant>) -> Option<Arc<Link>> {
        let last = self.pulse.last()?;
        let enough = since.is_none_or(|since| last >= since);
        if enough && self.dead().is_none() {
            self.current()
        } else {
            None
        }
    }

    fn found_dead(&self) -> Option<Failure> {
        self.dead()
            .as_ref()
            .filter(|(at, _)| at.elapsed() < PROBE_INITIAL)
            .map(|(_, failure)| failure.clone())
    }

    fn current(&self) -> Option<Arc<Link>> {
        self.link
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn dead(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Failure)>> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes idle connections; true if the cluster is active.
    pub fn keep_house(&self) -> bool {
        if let Some(link) = self.current() {
            link.reap();
        }
        self.pulse
            .last()
            .is_some_and(|last| last.elapsed() < ACTIVE)
    }
}

fn uid(answer: &Answer) -> Result<Option<String>, Failure> {
    match (answer.code, Sight::of(answer)) {
        (401 | 403, _) => Ok(None),
        (_, Sight::There(meta)) => Ok(Some(meta.uid)),
        (code, _) => Err(Failure::new(
            "identity",
            format!("reading the kube-system namespace was answered with {code}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cluster_is_taken_as_it_is_only_where_its_uid_may_not_be_read() {
        let namespace = json!({"metadata": {"name": "kube-system", "uid": "u"}}).to_string();
        let missing =
            json!({"kind": "Status", "reason": "NotFound", "details": {"name": "kube-system"}});
        let cases = [
            (200, namespace, Some(Some("u"))),
            (401, String::new(), Some(None)),
            (403, String::new(), Some(None)),
            (404, missing.to_string(), None),
            (200, String::new(), None),
            (503, String::new(), None),
            (429, String::new(), None),
        ];
        for (code, body, expected) in cases {
            let answer = Answer {
                code,
                retry_after: None,
                body: body.into(),
            };
            let expected = expected.map(|uid| uid.map(str::to_owned));
            assert_eq!(uid(&answer).ok(), expected, "{code}");
        }
    }
}
