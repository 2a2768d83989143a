//! Whether a watched cluster answers: streams alone are silent when the network is.

use crate::{clusters::hello::NotReady, reachable, shared::Shared};
use model::ids::ClusterId;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep},
};
use workflows::limits::HELLO_TIMEOUT;

/// A cluster is asked so often while it is watched.
const ASK: Duration = Duration::from_secs(4);
/// … and so soon again when the store did not answer.
const AGAIN: Duration = Duration::from_secs(1);

/// What is known of the connection.
#[derive(Debug, Clone, Default)]
pub struct Beat {
    pub reachable: bool,
    /// When it answered last.
    pub answered: Option<Instant>,
}

/// Asks until it is aborted.
pub fn start(shared: &Arc<Shared>, cluster: &ClusterId) -> (AbortHandle, watch::Receiver<Beat>) {
    let (tell, beats) = watch::channel(Beat::default());
    let (shared, cluster) = (shared.clone(), cluster.clone());
    let task = tokio::spawn(async move {
        loop {
            match ask(&shared, &cluster).await {
                Ok(()) => {
                    tell.send_replace(Beat {
                        reachable: true,
                        answered: Some(Instant::now()),
                    });
                    sleep(ASK).await;
                }
                Err(NotReady::Parked(_)) => {
                    tell.send_modify(|beat| beat.reachable = false);
                    wait(&shared, &cluster).await;
                }
                Err(NotReady::Store(error)) => {
                    tracing::warn!(%cluster, %error, "the store did not answer a watcher");
                    sleep(AGAIN).await;
                }
            }
        }
    });
    (task.abort_handle(), beats)
}

/// One small request; without an answer, hello decides and parks.
async fn ask(shared: &Shared, cluster: &ClusterId) -> Result<(), NotReady> {
    let cluster = shared.clusters.of(cluster);
    let link = cluster.ready().await?;
    let began = Instant::now();
    if link.read("/version", HELLO_TIMEOUT).await.is_err() {
        cluster.still_answers(began).await?;
    }
    Ok(())
}

/// Until a parked cluster answers: one probe at a time over all workers, by its lease.
async fn wait(shared: &Shared, cluster: &ClusterId) {
    loop {
        match reachable::probe_if_due(shared, cluster).await {
            Ok(None) => return,
            Ok(Some(delay)) => sleep(delay.max(Duration::from_millis(50))).await,
            Err(error) => {
                tracing::warn!(%cluster, %error, "the store did not answer a watcher");
                sleep(AGAIN).await;
            }
        }
    }
}
