//! What wakes contexts: the dispatcher, and the sweep that goes after it.

use super::{AT_ONCE, POLL, WakeError, Waker, permit, timed};
use crate::shared::Core;
use futures_util::{StreamExt, stream, stream::FuturesUnordered};
use model::{ids::ContextId, state::Goal};
use std::{collections::HashSet, sync::Arc, time::Duration};
use store::{Store, WakeRow};

/// How often contexts without a running workflow are looked for.
const SWEEP: Duration = Duration::from_secs(30);

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
