//! What all watchers of a process share: one question to the store about what is to be watched, one
//! transaction with what was seen.

use super::board::Change;
use model::ids::ClusterId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::{Beat, Seen, Store, StoreError, Watched};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// What was seen waits so long for company.
const GATHER: Duration = Duration::from_millis(120);
/// How often the store is asked what is to be watched.
const LOOK: Duration = Duration::from_millis(500);
/// How often watchers say that they live.
const BEAT: Duration = Duration::from_secs(2);
/// Facts of one transaction.
const BATCH: usize = 1_000;
/// Facts that wait for the store; beyond, they are dropped and the watchers begin anew.
const WAITING: usize = 200_000;

/// The desk of a process.
pub struct Desk {
    store: Store,
    state: Mutex<State>,
    nudge: Notify,
}

#[derive(Default)]
struct State {
    seats: HashMap<ClusterId, Place>,
    written: Vec<Seen>,
    /// The task runs; it ends with the last seat.
    busy: bool,
    look: bool,
}

struct Place {
    epoch: i64,
    wanted: watch::Sender<Option<Vec<Watched>>>,
    lost: CancellationToken,
    synced: Option<Instant>,
}

/// A watcher's place at the desk; given up when dropped.
pub struct Seat {
    desk: Arc<Desk>,
    cluster: ClusterId,
    epoch: i64,
    wanted: watch::Receiver<Option<Vec<Watched>>>,
    lost: CancellationToken,
}

impl Desk {
    pub fn new(store: Store) -> Arc<Self> {
        Arc::new(Self {
            store,
            state: Mutex::default(),
            nudge: Notify::new(),
        })
    }

    /// Becomes the cluster's one watcher, in this process and over all others.
    pub async fn sit(self: &Arc<Self>, cluster: &ClusterId) -> Result<Seat, StoreError> {
        let epoch = self.store.take_watch(cluster).await?;
        let (wanted, wants) = watch::channel(None);
        let lost = CancellationToken::new();
        let place = Place {
            epoch,
            wanted,
            lost: lost.clone(),
            synced: None,
        };
        let start = {
            let mut state = self.state();
            if let Some(before) = state.seats.insert(cluster.clone(), place) {
                before.lost.cancel();
            }
            state.look = true;
            !std::mem::replace(&mut state.busy, true)
        };
        if start {
            tokio::spawn(self.clone().work());
        }
        self.nudge.notify_one();
        Ok(Seat {
            desk: self.clone(),
            cluster: cluster.clone(),
            epoch,
            wanted: wants,
            lost,
        })
    }

    /// Something is watched that need not be any more, or the other way round: asks soon.
    pub fn look(&self) {
        self.state().look = true;
        self.nudge.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn work(self: Arc<Self>) {
        let mut looked: Option<Instant> = None;
        let mut beaten: Option<Instant> = None;
        let due = |at: Option<Instant>, every| at.is_none_or(|at| at.elapsed() >= every);
        loop {
            let _ = timeout(LOOK, self.nudge.notified()).await;
            sleep(GATHER).await;
            let (seats, again) = {
                let mut state = self.state();
                if state.seats.is_empty() && state.written.is_empty() {
                    state.busy = false;
                    return;
                }
                let seats: Vec<ClusterId> = state.seats.keys().cloned().collect();
                (seats, std::mem::take(&mut state.look))
            };
            let beat = due(beaten, BEAT);
            if let Err(error) = self.write(beat).await {
                tracing::warn!(%error, "what watchers saw could not be written; trying again");
                continue;
            }
            if beat {
                beaten = Some(Instant::now());
            }
            if again || due(looked, LOOK) {
                match self.store.watched(&seats).await {
                    Ok(mut found) => {
                        looked = Some(Instant::now());
                        let state = self.state();
                        for cluster in &seats {
                            let now = found.remove(cluster).unwrap_or_default();
                            if let Some(place) = state.seats.get(cluster) {
                                place.wanted.send_if_modified(|before| {
                                    let new = before.as_ref() != Some(&now);
                                    *before = Some(now);
                                    new
                                });
                            }
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "what is to be watched could not be read; trying again")
                    }
                }
            }
        }
    }

    /// Writes a batch after the other, signs of life with the first.
    async fn write(&self, beat: bool) -> Result<(), StoreError> {
        let mut beat = beat;
        loop {
            let (batch, beats) = {
                let state = self.state();
                let n = state.written.len().min(BATCH);
                let beats: Vec<Beat> = match beat {
                    true => state.seats.iter().map(of_place).collect(),
                    false => Vec::new(),
                };
                (state.written[..n].to_vec(), beats)
            };
            if batch.is_empty() && beats.is_empty() {
                return Ok(());
            }
            let lost = self.store.record_readiness(&batch, &beats).await?;
            beat = false;
            let mut state = self.state();
            state.written.drain(..batch.len());
            for cluster in lost {
                let sent = beats.iter().find(|beat| beat.cluster == cluster);
                if let (Some(sent), Some(place)) = (sent, state.seats.get(&cluster))
                    && sent.epoch == place.epoch
                {
                    place.lost.cancel();
                }
            }
        }
    }
}

fn of_place((cluster, place): (&ClusterId, &Place)) -> Beat {
    Beat {
        cluster: cluster.clone(),
        epoch: place.epoch,
        synced_ago_ms: place
            .synced
            .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
    }
}

impl Seat {
    /// What is to be watched, once it is known and whenever it changes.
    pub async fn wanted(&mut self) -> Vec<Watched> {
        loop {
            // The sender lives as long as the seat, unless another took the place: see `lost`.
            if self.wanted.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(wanted) = self.wanted.borrow_and_update().clone() {
                return wanted;
            }
        }
    }

    /// Asks for [`wanted`](Self::wanted) once more, changed or not.
    pub fn look_again(&self) {
        let mut state = self.desk.state();
        state.look = true;
        if let Some(place) = state
            .seats
            .get(&self.cluster)
            .filter(|p| p.epoch == self.epoch)
        {
            place.wanted.send_replace(None);
        }
    }

    /// Cancelled when somebody else watches the cluster.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Writes soon; the order is kept.
    pub fn write(&self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.desk.state();
        if state.written.len() + changes.len() > WAITING {
            // The store has not answered for long. A new watcher says everything anew.
            self.lost.cancel();
            return;
        }
        state.written.extend(changes.into_iter().map(|change| Seen {
            cluster: self.cluster.clone(),
            epoch: self.epoch,
            context: change.context,
            row: change.row,
            by_presence: change.by_presence,
            sight: change.sight,
        }));
        drop(state);
        self.desk.nudge.notify_one();
    }

    /// When everything was known last; `None` while it is not.
    pub fn synced(&self, at: Option<Instant>) {
        let mut state = self.desk.state();
        if let Some(place) = state.seats.get_mut(&self.cluster)
            && place.epoch == self.epoch
        {
            place.synced = at;
        }
    }

    /// Nobody wants it: whoever does again need not wait until this one counts as dead.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.desk.store.leave_watch(&self.cluster, self.epoch).await
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        if state
            .seats
            .get(&self.cluster)
            .is_some_and(|place| place.epoch == self.epoch)
        {
            state.seats.remove(&self.cluster);
        }
    }
}
