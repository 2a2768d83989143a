//! Whether something changed at the DIGs that are watched: asked once for all watchers of this
//! process.

use model::ids::DigRef;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use store::{Pulse, Store, StoreError};
use tokio::sync::{Notify, watch};

/// Between two looks: while a watched lifecycle is in flight, and when all are at rest …
const LOOK: Duration = Duration::from_millis(10);
const LOOK_AT_REST: Duration = Duration::from_millis(250);
/// … and at least so many times longer than a look takes, which on a busy machine is mostly waiting.
const SPARE: u32 = 5;

/// The pulses of the DIGs that somebody watches.
#[derive(Default)]
pub struct Pulses {
    watched: Mutex<HashMap<DigRef, watch::Sender<Pulse>>>,
    joined: Notify,
}

impl Pulses {
    /// The pulse of a DIG, from now on. Dropping it ends the asking.
    ///
    /// # Errors
    /// The store does not answer. Later it is asked again and again.
    pub async fn follow(
        self: &Arc<Self>,
        store: &Store,
        id: &DigRef,
    ) -> Result<watch::Receiver<Pulse>, StoreError> {
        let now = store.pulses(std::slice::from_ref(id)).await?;
        let mut watched = self.watched();
        if watched.is_empty() {
            tokio::spawn(Arc::clone(self).beat(store.clone()));
        }
        let sender = watched
            .entry(id.clone())
            .or_insert_with(|| watch::Sender::new(now.into_values().next().unwrap_or_default()));
        let receiver = sender.subscribe();
        self.joined.notify_one();
        Ok(receiver)
    }

    async fn beat(self: Arc<Self>, store: Store) {
        let mut took = Duration::ZERO;
        loop {
            let look = {
                let mut watched = self.watched();
                watched.retain(|_, pulse| pulse.receiver_count() > 0);
                if watched.is_empty() {
                    return;
                }
                let in_flight = |pulse: &watch::Sender<Pulse>| {
                    pulse.borrow().context.is_some_and(|c| !c.is_settled())
                };
                match watched.values().any(in_flight) {
                    true => LOOK,
                    false => LOOK_AT_REST,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(look.max(took * SPARE)) => {}
                () = self.joined.notified() => continue,
            }
            let ids: Vec<DigRef> = self.watched().keys().cloned().collect();
            let since = Instant::now();
            match store.pulses(&ids).await {
                Ok(mut pulses) => {
                    let watched = self.watched();
                    // One that is not there has no pulse.
                    for (id, sender) in ids.iter().filter_map(|id| Some((id, watched.get(id)?))) {
                        let now = pulses.remove(id).unwrap_or_default();
                        sender.send_if_modified(|known| {
                            let old = std::mem::replace(known, now);
                            old != *known
                        });
                    }
                }
                // Every watcher reads the store by itself now and then, and says what is wrong.
                Err(error) => tracing::debug!(%error, "ask for changes"),
            }
            took = since.elapsed();
        }
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<DigRef, watch::Sender<Pulse>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
