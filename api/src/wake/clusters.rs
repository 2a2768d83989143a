//! What sends watchers and the collector to clusters.

use super::{AT_ONCE, POLL, Waker, timed};
use crate::shared::Core;
use futures_util::{StreamExt, stream};
use model::ids::ClusterId;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;

/// Watchers asked for in one go, and after how long once more.
const WATCHERS_AT_ONCE: u64 = 5_000;
const WATCH_AGAIN: Duration = Duration::from_secs(10);
/// Visits of the collector that are started at once.
const COLLECTS: u64 = 256;

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
