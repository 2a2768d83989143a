//! Waking workflows (protocol §3): after an accept, while anything is not acknowledged, and again
//! for every context that is not settled and has no running workflow.

use crate::shared::Core;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream, stream::FuturesUnordered};
use model::{
    ids::{ClusterId, ContextId, DigRef, Fence},
    state::{ContextState, Goal},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use store::{PermitRow, Store, WakeRow};
use temporal::{Client, Queue, Run, Server, SignalWithStart, TemporalError};
use tokio::sync::Mutex;
use workflows::{
    contract::{
        CHECK_CLUSTER, COLLECT, COLLECT_SIGNAL, CheckInput, Checked, CollectInput, GOAL_SIGNAL,
        INSTANTIATE, TERMINATE, WATCH, WATCH_SIGNAL, Wake, WatchInput, watch_id,
    },
    limits::{CHECK_TIMEOUT, QUEUE},
};

/// Wakes in flight at once.
const AT_ONCE: usize = 64;
/// How often the store is asked for what nobody nudged.
const POLL: Duration = Duration::from_secs(1);
/// How often contexts without a running workflow are looked for.
const SWEEP: Duration = Duration::from_secs(30);
/// Watchers asked for in one go, and after how long once more.
const WATCHERS_AT_ONCE: u64 = 5_000;
const WATCH_AGAIN: Duration = Duration::from_secs(10);
/// Visits of the collector that are started at once.
const COLLECTS: u64 = 256;
/// A wake that hangs longer counts as failed; it may be repeated.
const WAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a worker has for a look at a cluster, the way there and back included.
const CHECK_WAIT: Duration = CHECK_TIMEOUT.saturating_add(Duration::from_secs(5));

/// What wakes a context's workflow. Repeating or reordering wakes changes nothing.
pub trait Waker: Send + Sync + 'static {
    /// Returns once the wake is durable at the other side.
    fn wake<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<(), WakeError>>;
    /// Sees to it that a cluster's watcher runs; a waker that starts none leaves readiness unseen.
    fn watch<'a>(&'a self, _: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        async { Ok(()) }.boxed()
    }
    /// Whether the context's workflow is open.
    fn is_running<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<bool, WakeError>>;
    /// The queue that workers take lifecycles from.
    fn queue(&self) -> BoxFuture<'_, Result<Queue, WakeError>>;
    /// Has a worker look at a cluster; `None` if none answered in time.
    fn check<'a>(
        &'a self,
        cluster: &'a ClusterId,
    ) -> BoxFuture<'a, Result<Option<Checked>, WakeError>>;
    /// Sends the collector to a cluster; who has none sends nobody.
    fn collect<'a>(&'a self, _: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        async { Ok(()) }.boxed()
    }
}

/// A wake did not get through; it will be repeated.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WakeError(pub String);

impl From<TemporalError> for WakeError {
    fn from(error: TemporalError) -> Self {
        Self(format!("{}: {}", error.operation, innermost(&error.cause)))
    }
}

/// What gRPC libraries say last is what a reader can act on.
fn innermost(cause: &str) -> &str {
    cause
        .rsplit_once("transport error: ")
        .map_or(cause, |(_, last)| last)
}

/// Wakes through Temporal; connects when first needed, and again after a failure.
pub struct TemporalWaker {
    server: Server,
    client: Mutex<Option<Client>>,
}

impl TemporalWaker {
    pub fn new(server: Server) -> Self {
        Self {
            server,
            client: Mutex::new(None),
        }
    }

    async fn client(&self) -> Result<Client, TemporalError> {
        let mut client = self.client.lock().await;
        match client.as_ref() {
            Some(connected) => Ok(connected.clone()),
            None => Ok(client
                .insert(Client::connect(self.server.clone()).await?)
                .clone()),
        }
    }

    /// Signals a workflow that looks after a cluster, and starts it where it is not running.
    fn send(
        &self,
        workflow_type: &'static str,
        workflow_id: String,
        signal: &'static str,
        input: impl serde::Serialize,
    ) -> BoxFuture<'_, Result<(), WakeError>> {
        let payload = serde_json::to_value(input).map_err(|e| WakeError(e.to_string()));
        async move {
            let payload = payload?;
            let request = SignalWithStart {
                workflow_type: workflow_type.to_owned(),
                workflow_id,
                queue: QUEUE.to_owned(),
                input: payload.clone(),
                signal: signal.to_owned(),
                signal_input: payload,
                task_timeout: workflows::limits::WORKFLOW_TASK_TIMEOUT,
            };
            Ok(self.client().await?.signal_with_start(request).await?)
        }
        .boxed()
    }
}

impl Waker for TemporalWaker {
    fn wake<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<(), WakeError>> {
        async move {
            let payload = serde_json::to_value(Wake {
                context: row.context.clone(),
                fence: row.fence,
            })
            .map_err(|e| WakeError(e.to_string()))?;
            let request = SignalWithStart {
                workflow_type: match row.goal {
                    Goal::Apply => INSTANTIATE,
                    Goal::Delete => TERMINATE,
                }
                .to_owned(),
                workflow_id: row.dig.workflow_id(&row.context),
                queue: QUEUE.to_owned(),
                input: payload.clone(),
                signal: GOAL_SIGNAL.to_owned(),
                signal_input: payload,
                task_timeout: workflows::limits::WORKFLOW_TASK_TIMEOUT,
            };
            Ok(self.client().await?.signal_with_start(request).await?)
        }
        .boxed()
    }

    fn watch<'a>(&'a self, cluster: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        let input = WatchInput {
            cluster: cluster.clone(),
        };
        self.send(WATCH, watch_id(cluster), WATCH_SIGNAL, input)
    }

    fn collect<'a>(&'a self, cluster: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        let input = CollectInput {
            cluster: cluster.clone(),
        };
        self.send(COLLECT, format!("collect/{cluster}"), COLLECT_SIGNAL, input)
    }

    fn is_running<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<bool, WakeError>> {
        async move {
            Ok(self
                .client()
                .await?
                .is_running(&row.dig.workflow_id(&row.context))
                .await?)
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Result<Queue, WakeError>> {
        async move { Ok(self.client().await?.queue(QUEUE).await?) }.boxed()
    }

    fn check<'a>(
        &'a self,
        cluster: &'a ClusterId,
    ) -> BoxFuture<'a, Result<Option<Checked>, WakeError>> {
        async move {
            let input = CheckInput {
                cluster: cluster.clone(),
            };
            let run = Run {
                workflow_type: CHECK_CLUSTER.to_owned(),
                prefix: format!("check/{cluster}"),
                queue: QUEUE.to_owned(),
                input: serde_json::to_value(input).map_err(|e| WakeError(e.to_string()))?,
                run_timeout: CHECK_WAIT + WAKE_TIMEOUT,
            };
            let answer = self.client().await?.run(run, CHECK_WAIT).await?;
            answer
                .map(serde_json::from_value)
                .transpose()
                .map_err(|e| WakeError(e.to_string()))
        }
        .boxed()
    }
}

/// Sends the collector to clusters that are due (protocol §7): those with tombstones or wanted
/// orphans, and no others. Any number of processes may run this.
pub async fn collect(core: Arc<Core>, store: Store, waker: Arc<dyn Waker>, every: Duration) {
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = core.collect.notified() => {}
            _ = interval.tick() => {}
        }
        let due = match store.collect_due(COLLECTS).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "what is to be collected could not be read; trying again");
                continue;
            }
        };
        let (store, waker) = (&store, waker.as_ref());
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |cluster| async move {
                let sent = timed(waker.collect(&cluster)).await;
                let noted = match &sent {
                    Ok(()) => store
                        .collect_started(&cluster)
                        .await
                        .map_err(|e| e.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = noted {
                    tracing::debug!(%cluster, error, "the collector was not sent; trying again");
                }
            })
            .await;
    }
}

/// Wakes what is not acknowledged until told to stop. Any number of processes may run this.
pub async fn dispatch(core: Arc<Core>, store: Store, waker: Arc<dyn Waker>) {
    let mut flying = FuturesUnordered::new();
    let mut contexts: HashSet<ContextId> = HashSet::new();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        // After a failure only the poll fetches again, so that a dead server is not hammered.
        let fetch = tokio::select! {
            () = core.stop.cancelled() => return,
            () = core.accepted.notified() => true,
            _ = poll.tick() => true,
            Some((context, woken)) = flying.next() => {
                contexts.remove(&context);
                woken && contexts.len() <= AT_ONCE / 2
            }
        };
        let free = AT_ONCE.saturating_sub(contexts.len());
        if !fetch || free == 0 {
            continue;
        }
        match store.unacked((free + contexts.len()) as u64).await {
            Ok(rows) => {
                for row in rows {
                    if contexts.len() < AT_ONCE && contexts.insert(row.context.clone()) {
                        flying.push(wake_one(&core, &store, waker.as_ref(), row));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "what waits for a wake could not be read; trying again")
            }
        }
    }
}

/// One wake and its acknowledgement; whether both worked.
async fn wake_one(
    core: &Core,
    store: &Store,
    waker: &dyn Waker,
    row: WakeRow,
) -> (ContextId, bool) {
    let woken = match wake(core, waker, &row).await {
        Ok(()) => match store.ack(&row.context, row.fence).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(context = %row.context, %error, "a wake could not be noted and will be repeated");
                false
            }
        },
        Err(_) => false,
    };
    (row.context, woken)
}

async fn wake(core: &Core, waker: &dyn Waker, row: &WakeRow) -> Result<(), WakeError> {
    let result = timed(waker.wake(row)).await;
    core.temporal_answered(result.as_ref().copied().map_err(|error| error.0.as_str()));
    match &result {
        Ok(()) => {
            metrics::counter!("muster_wakes_total", "result" => "ok").increment(1);
            tracing::debug!(dig = %row.dig, context = %row.context, fence = row.fence.0, goal = ?row.goal, "woken");
        }
        Err(error) => {
            metrics::counter!("muster_wakes_total", "result" => "error").increment(1);
            tracing::debug!(dig = %row.dig, context = %row.context, %error, "not woken; trying again");
        }
    }
    result
}

async fn timed<T>(future: impl Future<Output = Result<T, WakeError>>) -> Result<T, WakeError> {
    tokio::time::timeout(WAKE_TIMEOUT, future)
        .await
        .unwrap_or_else(|_| {
            Err(WakeError(format!(
                "no answer within {} s",
                WAKE_TIMEOUT.as_secs()
            )))
        })
}

/// At start and every 30 s: starts again what is not settled and has no running workflow, whatever
/// was acknowledged (a Temporal database may be lost).
pub async fn sweep(core: Arc<Core>, store: Store, waker: Arc<dyn Waker>) {
    let mut interval = tokio::time::interval(SWEEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = sweep_once(&core, &store, waker.as_ref()) => {}
        }
    }
}

async fn sweep_once(core: &Arc<Core>, store: &Store, waker: &dyn Waker) {
    let rows = match store.unsettled().await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::warn!(%error, "unsettled contexts could not be read; trying again");
            return;
        }
    };
    metrics::gauge!("muster_contexts_unsettled").set(rows.len() as f64);
    stream::iter(rows)
        .for_each_concurrent(AT_ONCE, |row| async move {
            if row.goal == Goal::Delete {
                permit(Arc::clone(core), store.clone(), row.context.clone()).await;
            }
            let running = timed(waker.is_running(&row)).await;
            core.temporal_answered(running.as_ref().map(|_| ()).map_err(|error| error.0.as_str()));
            match running {
                Ok(true) => {}
                Ok(false) => {
                    tracing::info!(dig = %row.dig, context = %row.context, "is not settled and has no running workflow: started again");
                    let _ = wake(core, waker, &row).await;
                }
                Err(error) => tracing::debug!(context = %row.context, %error, "whether a workflow runs is not known; trying again"),
            }
        })
        .await;
}

/// Starts a watcher on every cluster that is to be watched and has none that lives. Any number of
/// processes may run this: a watcher is one by its id.
pub async fn watchers(core: Arc<Core>, store: Store, waker: Arc<dyn Waker>) {
    let stale = workflows::limits::WATCH_STALE;
    let stale_ms = i64::try_from(stale.as_millis()).unwrap_or(i64::MAX);
    // A watcher that was asked for needs a moment to show.
    let mut asked: HashMap<ClusterId, Instant> = HashMap::new();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = core.stop.cancelled() => return,
            _ = poll.tick() => {}
        }
        let clusters = match store.unwatched(stale_ms, WATCHERS_AT_ONCE).await {
            Ok(clusters) => clusters,
            Err(error) => {
                tracing::warn!(%error, "clusters to be watched could not be read; trying again");
                continue;
            }
        };
        asked.retain(|_, at| at.elapsed() < WATCH_AGAIN);
        for cluster in clusters {
            if core.stop.is_cancelled() || asked.contains_key(&cluster) {
                continue;
            }
            match timed(waker.watch(&cluster)).await {
                Ok(()) => {
                    tracing::debug!(%cluster, "watcher asked for");
                    asked.insert(cluster, Instant::now());
                }
                Err(error) => {
                    tracing::debug!(%cluster, %error, "watcher not started; trying again");
                    break;
                }
            }
        }
    }
}

/// Fires PreTerminate → Terminating as soon as no older attempt can still leave, so that it needs
/// no worker (protocol §6). Does nothing for a context in another state.
pub async fn permit(core: Arc<Core>, store: Store, context: ContextId) {
    let row = match store.context(&context).await {
        Ok(row) if row.state == ContextState::PreTerminate => row,
        Ok(_) => return,
        Err(error) => {
            tracing::warn!(%context, %error, "a context could not be read; its workflow or the next sweep goes on");
            return;
        }
    };
    loop {
        match store.permit(&context, row.fence).await {
            Ok(PermitRow::Wait { ms }) => tokio::select! {
                () = core.stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(ms.clamp(1, 1_000))) => {}
            },
            // Superseded: a workflow has begun and asks itself.
            Ok(PermitRow::Granted | PermitRow::Superseded) => return,
            Err(error) => {
                tracing::warn!(%context, %error, "a terminate could not go on; its workflow or the next sweep will");
                return;
            }
        }
    }
}

/// After an accepted verb: nudges the dispatcher, and sees PreTerminate through.
pub fn accepted(
    core: &Arc<Core>,
    store: &Store,
    dig: &DigRef,
    context: Option<&ContextId>,
    fence: Option<Fence>,
    terminate: bool,
) {
    let (Some(context), Some(fence)) = (context, fence) else {
        return;
    };
    tracing::info!(%dig, %context, fence = fence.0, terminate, "accepted");
    core.accepted.notify_one();
    if terminate {
        tokio::spawn(permit(Arc::clone(core), store.clone(), context.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_said_in_one_line() {
        let error = TemporalError {
            operation: "connect",
            cause: "http://127.0.0.1:1/: Server connection error: tonic::transport::Error(Transport, …): transport error: Connection refused (os error 111)".to_owned(),
            transient: true,
        };
        assert_eq!(
            WakeError::from(error).0,
            "connect: Connection refused (os error 111)"
        );
    }
}
