//! Waking workflows (protocol §3): after an accept, while anything is not acknowledged, and again
//! for every context that is not settled and has no running workflow.

mod clusters;
mod contexts;
mod temporal;

pub use clusters::{collect, watchers};
pub use contexts::{dispatch, sweep};
pub use temporal::TemporalWaker;

use crate::shared::Core;
use ::temporal::Queue;
use futures_util::{FutureExt, future::BoxFuture};
use model::{
    ids::{ClusterId, ContextId, DigRef, Fence},
    state::ContextState,
};
use std::{sync::Arc, time::Duration};
use store::{PermitRow, Store, WakeRow};
use workflows::contract::Checked;

/// Wakes in flight at once.
const AT_ONCE: usize = 64;
/// How often the store is asked for what nobody nudged.
const POLL: Duration = Duration::from_secs(1);
/// A wake that hangs longer counts as failed; it may be repeated.
const WAKE_TIMEOUT: Duration = Duration::from_secs(10);

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
