//! A cluster as one generation of its kubeconfig reaches it.

use super::{
    access::{self, Access},
    answer::{Answer, NetError, Stage},
    dial::Target,
    discovery::Discovery,
    gate::Window,
    pool::{Pool, Slot},
};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use model::failure::Certainty;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use store::Kubeconfig;
use tokio::time::Instant;
use workflows::limits::{
    CHUNKS_PER_CLUSTER, CONNECT_TIMEOUT, FEW_CLUSTERS, HELLO_TIMEOUT, REQUESTS_FEW, REQUESTS_MANY,
    ROUNDS, SEND_WINDOW, SLOW_ABOVE, SLOW_HELLO_TIMEOUT,
};

/// When a cluster answered last, and how many answer at all: shared by its links.
pub struct Pulse {
    answered: Mutex<Option<Instant>>,
    /// It takes so long to answer that the time-outs of local attempts are too short.
    slow: AtomicBool,
    /// Clusters of this process that were used lately.
    pub active: Arc<AtomicUsize>,
}

impl Pulse {
    pub fn new(active: Arc<AtomicUsize>) -> Self {
        Self {
            answered: Mutex::default(),
            slow: AtomicBool::new(false),
            active,
        }
    }

    pub fn beat(&self) {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    /// What a hello, or any answer, says about it: a request may be slow by itself, a quick answer
    /// is quick whatever was asked.
    fn took(&self, time: Duration, hello: bool) {
        if time <= SLOW_ABOVE {
            self.slow.store(false, Relaxed);
        } else if hello {
            self.slow.store(true, Relaxed);
        }
    }

    pub fn last(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections, credentials and discovery of one kubeconfig generation.
pub struct Link {
    pub generation: i64,
    pub discovery: Discovery,
    pool: Arc<Pool>,
    access: Access,
    pulse: Arc<Pulse>,
    /// How long a request takes lately, in microseconds; 0 = not known.
    pace: AtomicU64,
}

impl Link {
    pub async fn new(
        kubeconfig: &Kubeconfig,
        allowed_exec: &[String],
        pulse: Arc<Pulse>,
    ) -> Result<Self, NetError> {
        let (target, access) = access::read(
            &kubeconfig.text,
            kubeconfig.context.as_deref(),
            allowed_exec,
        )
        .await?;
        Ok(Self {
            generation: kubeconfig.generation,
            discovery: Discovery::default(),
            pool: Pool::new(target, REQUESTS_FEW),
            access,
            pulse,
            pace: AtomicU64::new(0),
        })
    }

    /// Permits a request takes: one while few clusters are active, more when many share the process.
    fn weight(&self) -> u32 {
        let per_cluster = if self.pulse.active.load(Relaxed) <= FEW_CLUSTERS {
            REQUESTS_FEW
        } else {
            REQUESTS_MANY
        };
        u32::try_from(REQUESTS_FEW / per_cluster)
            .unwrap_or(1)
            .max(1)
    }

    /// A slot whose connection is up.
    pub async fn slot(&self, within: Duration) -> Result<Slot, NetError> {
        self.pool
            .slot(self.weight(), within.min(CONNECT_TIMEOUT))
            .await
    }

    /// Waits for one slot, then takes what else is free: `wanted` or a batch's share at most.
    pub async fn slots(&self, wanted: usize, within: Duration) -> Result<Vec<Slot>, NetError> {
        let weight = self.weight();
        let per_cluster = REQUESTS_FEW / usize::try_from(weight).unwrap_or(1);
        let share = per_cluster.div_ceil(CHUNKS_PER_CLUSTER);
        self.pool
            .slots(wanted.min(share), weight, within.min(CONNECT_TIMEOUT))
            .await
    }

    /// A slot, if one is free with a connection that is up.
    pub fn spare(&self) -> Option<Slot> {
        self.pool.spare(self.weight())
    }

    /// How many requests one after the other a slot gets done well within the send window, as the
    /// cluster answers now: so many rows may be opened for each slot.
    pub fn rounds(&self) -> usize {
        match u128::from(self.pace.load(Relaxed)) {
            0 => 1,
            pace => usize::try_from(SEND_WINDOW.as_micros() / 4 / pace)
                .unwrap_or(ROUNDS)
                .clamp(1, ROUNDS),
        }
    }

    /// A moving average; what got no answer counts with the time it was waited for.
    fn paced(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let pace = match self.pace.load(Relaxed) {
            0 => took,
            pace => (pace * 7).saturating_add(took) / 8,
        };
        self.pace.store(pace.max(1), Relaxed);
    }

    /// Sends a request over a slot. `timeout` is also told to the server.
    pub async fn send(
        &self,
        slot: &mut Slot,
        request: Request<Vec<u8>>,
        window: Option<Window>,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let verb = request.method().as_str().to_owned();
        let path = request.uri().path().to_owned();
        let request = self.access.complete(with_timeout(request, within)?).await?;
        let in_flight = InFlight::new();
        let since = Instant::now();
        let result = slot.send(request, window, within).await;
        self.paced(since.elapsed());
        drop(in_flight);
        let code = match &result {
            Ok(answer) => {
                self.pulse.beat();
                self.pulse.took(since.elapsed(), false);
                answer.code.to_string()
            }
            Err(error) => {
                if error.certainty() == Certainty::Ambiguous {
                    self.pool.clear();
                }
                format!("{:?}", error.stage).to_lowercase()
            }
        };
        tracing::debug!(verb, path, code, "request");
        metrics::counter!("muster_cluster_requests_total", "verb" => verb, "code" => code)
            .increment(1);
        result
    }

    /// Sends a request that is no attempt: a read.
    pub async fn ask(
        &self,
        request: Request<Vec<u8>>,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let mut slot = self.slot(within).await?;
        self.send(&mut slot, request, None, within).await
    }

    /// GET of a path.
    pub async fn read(&self, path: &str, within: Duration) -> Result<Answer, NetError> {
        self.read_as(path, "application/json", within).await
    }

    /// GET of a path, in one of some media types.
    pub async fn read_as(
        &self,
        path: &str,
        accept: &str,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let request = Request::get(path)
            .header(http::header::ACCEPT, accept)
            .body(Vec::new())
            .map_err(|e| NetError::new(Stage::Write, e.to_string()))?;
        self.ask(request, within).await
    }

    /// Hello with little time, or with that of a cluster which is known to be slow.
    pub async fn say_hello(&self) -> Result<(), NetError> {
        let slow = self.pulse.is_slow();
        self.hello(if slow {
            SLOW_HELLO_TIMEOUT
        } else {
            HELLO_TIMEOUT
        })
        .await
    }

    /// Hello; a cluster that is only slow gets more time. Too long for a local activity.
    pub async fn greet(&self) -> Result<(), NetError> {
        if !self.pulse.is_slow() {
            let since = Instant::now();
            match self.hello(HELLO_TIMEOUT).await {
                // Given up for lack of time, wherever it was; a refusal comes at once.
                Err(_) if since.elapsed() >= HELLO_TIMEOUT => {}
                result => return result,
            }
        }
        self.hello(SLOW_HELLO_TIMEOUT).await
    }

    /// GET /version over a connection of its own. Any answer will do: what the cluster thinks of
    /// our credentials is each request's own matter.
    async fn hello(&self, within: Duration) -> Result<(), NetError> {
        let request = Request::get("/version")
            .body(Vec::new())
            .map_err(|e| NetError::new(Stage::Write, e.to_string()))?;
        let request = self.access.complete(request).await?;
        let since = Instant::now();
        match self.pool.fresh(request, within).await {
            Ok(_) => {
                self.pulse.beat();
                self.pulse.took(since.elapsed(), true);
                Ok(())
            }
            Err(error) => {
                self.pool.clear();
                Err(error)
            }
        }
    }

    /// The kubeconfig asks for no verification of the server.
    pub fn unverified(&self) -> bool {
        self.access.unverified
    }

    pub(super) fn target(&self) -> &Target {
        self.pool.target()
    }

    pub(super) async fn complete(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Request<Full<Bytes>>, NetError> {
        self.access.complete(request).await
    }

    pub(super) fn beat(&self) {
        self.pulse.beat();
    }

    pub fn reap(&self) {
        self.pool.reap();
    }
}

/// Adds `?timeout=`, so that a server gives up when we do.
fn with_timeout(request: Request<Vec<u8>>, within: Duration) -> Result<Request<Vec<u8>>, NetError> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.to_string();
    let joint = match path.find('?') {
        None => "?",
        Some(at) if at + 1 == path.len() => "",
        Some(_) => "&",
    };
    parts.uri = format!("{path}{joint}timeout={}ms", within.as_millis())
        .parse()
        .map_err(|e: http::uri::InvalidUri| NetError::new(Stage::Write, e.to_string()))?;
    Ok(Request::from_parts(parts, body))
}

struct InFlight;

impl InFlight {
    fn new() -> Self {
        metrics::gauge!("muster_cluster_requests_in_flight").increment(1.0);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("muster_cluster_requests_in_flight").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;

    #[test]
    fn the_time_out_is_told_to_the_server() {
        let cases = [
            ("/api/v1/pods", "/api/v1/pods?timeout=1000ms"),
            ("/api/v1/pods?", "/api/v1/pods?timeout=1000ms"),
            (
                "/api/v1/pods?limit=1",
                "/api/v1/pods?limit=1&timeout=1000ms",
            ),
        ];
        for (path, expected) in cases {
            let request = Request::get(path).body(Vec::new()).unwrap();
            let request = with_timeout(request, Duration::from_secs(1)).unwrap();
            assert_eq!(request.uri().to_string(), expected);
        }
    }
}
