//! The task that does what a cluster's controllers have to do. It exists only while there is something.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Inner;
use super::control;

/// How many objects are looked at before others get the lock.
const BATCH: usize = 32;

/// Tells watches of changes, and sees to it that work that is noted gets done.
pub fn after(cluster: &Arc<Inner>) {
    let (version, next, spawn) = {
        let mut state = cluster.lock();
        let next = state.agenda.next();
        let spawn = next.is_some() && !state.working;
        state.working |= spawn;
        (state.store.version(), next, spawn)
    };
    tell(cluster, version);
    if spawn {
        tokio::spawn(work(Running {
            cluster: Arc::downgrade(cluster),
            ended: false,
        }));
    } else if next.is_some() {
        cluster.earlier.notify_one();
    }
}

fn tell(cluster: &Inner, version: u64) {
    cluster.changed.send_if_modified(|seen| {
        let newer = *seen < version;
        *seen = version.max(*seen);
        newer
    });
}

/// Says that no task works on a cluster any more, also when its runtime is shut down.
struct Running {
    cluster: Weak<Inner>,
    /// Whether the task has said so already.
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(cluster) = self.cluster.upgrade().filter(|_| !self.ended) {
            cluster.lock().working = false;
        }
    }
}

async fn work(mut running: Running) {
    while let Some(cluster) = running.cluster.upgrade() {
        let next = {
            let mut state = cluster.lock();
            for _ in 0..BATCH {
                let Some(key) = state.agenda.take(Instant::now()) else {
                    break;
                };
                if let Err(status) = control::look(&mut state, &key) {
                    tracing::warn!(cluster = cluster.name, object = %key.name, kind = %key.kind, why = status.message, "controller");
                }
            }
            let next = state.agenda.next();
            if next.is_none() {
                // Under the lock, so that nobody notes work between this look and the end of the task.
                state.working = false;
                running.ended = true;
                state.store.rest();
            }
            next
        };
        let version = cluster.lock().store.version();
        tell(&cluster, version);
        let Some(next) = next else { return };
        if next <= Instant::now() {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = cluster.earlier.notified() => {}
        }
    }
}
