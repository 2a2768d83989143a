//! Watching a cluster (design §4): what its objects say of their readiness, folded into rows.
//!
//! One watcher per cluster, wherever Temporal puts it: a [`board`] that is told what the streams
//! see, one [`stream`] per kind that is used there, and the [`desk`] through which all watchers of
//! a process write. The store's epoch makes it one: a watcher that was replaced writes nothing.

pub mod board;
pub mod desk;
pub mod pulse;
pub mod stream;

use crate::shared::Shared;
use board::{Board, Kind};
use desk::Seat;
use model::ids::ClusterId;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use store::{StoreError, Watched as Context};
use stream::News;
use tokio::{sync::mpsc, task::AbortHandle, time::Instant};
use workflows::contract::Watched;

/// A watcher that nobody wants stays so long: contexts often come one after the other.
const LINGER: Duration = Duration::from_secs(3);
/// News that wait for the board.
const NEWS: usize = 1_024;

/// Ends a task when it is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A stream, and whether it knows everything of its kind.
struct Running {
    up: bool,
    _task: Task,
}

/// Watches a cluster until nobody wants it any more, for `round` at most.
///
/// # Errors
/// The store does not answer when it begins; later that is waited for.
pub async fn watch(
    shared: &Arc<Shared>,
    cluster: &ClusterId,
    round: Duration,
) -> Result<Watched, StoreError> {
    let installation = shared.installation().await?.to_owned();
    let mut seat = shared.desk.sit(cluster).await?;
    let lost = seat.lost();
    let ends = Instant::now() + round;
    let (pulse, mut beats) = pulse::start(shared, cluster);
    let _pulse = Task(pulse);
    let (tell, mut news) = mpsc::channel::<News>(NEWS);
    let mut board = Board::new(installation.clone());
    let mut contexts: BTreeMap<_, bool> = BTreeMap::new();
    let mut streams: HashMap<Kind, Running> = HashMap::new();
    let mut idle: Option<Instant> = None;
    let mut admitted = false;
    loop {
        let until = idle.map_or(ends, |since| ends.min(since + LINGER));
        tokio::select! {
            () = shared.stop.cancelled() => break,
            () = lost.cancelled() => {
                tracing::info!(%cluster, "somebody else watches it now");
                return Ok(Watched::Again);
            }
            () = tokio::time::sleep_until(until) => {
                if idle.is_some_and(|since| since.elapsed() >= LINGER) {
                    seat.leave().await?;
                    return Ok(Watched::Unwanted);
                }
                break;
            }
            wanted = seat.wanted() => {
                idle = wanted.is_empty().then(|| idle.unwrap_or_else(Instant::now));
                if let Err(error) = admit(shared, cluster, &wanted, &mut contexts, &mut board, &seat).await {
                    tracing::warn!(%cluster, %error, "the rows to be watched could not be read; trying again");
                    seat.look_again();
                } else {
                    admitted = true;
                }
                let kinds = board.kinds();
                streams.retain(|kind, _| kinds.contains_key(kind));
                for (kind, version) in kinds {
                    streams.entry(kind.clone()).or_insert_with(|| {
                        let stream = stream::Stream {
                            shared: shared.clone(),
                            cluster: cluster.clone(),
                            kind,
                            version,
                            installation: installation.clone(),
                            beats: beats.clone(),
                            tell: tell.clone(),
                        };
                        Running { up: false, _task: Task(tokio::spawn(stream.run()).abort_handle()) }
                    });
                }
            }
            Some(told) = news.recv() => {
                match told {
                    News::Up(kind) => up(&mut streams, &kind, true),
                    News::Down(kind) => up(&mut streams, &kind, false),
                    News::Listed(kind, objects) => seat.write(board.listed(&kind, objects)),
                    News::Seen(kind, object) => seat.write(board.seen(&kind, object)),
                    News::Gone(kind, name) => seat.write(board.gone(&kind, &name)),
                }
            }
            Ok(()) = beats.changed() => {}
        }
        let beat = beats.borrow().clone();
        let knows = admitted && streams.values().all(|stream| stream.up) && beat.reachable;
        seat.synced(knows.then_some(beat.answered).flatten());
    }
    Ok(Watched::Again)
}

fn up(streams: &mut HashMap<Kind, Running>, kind: &Kind, up: bool) {
    if let Some(stream) = streams.get_mut(kind) {
        stream.up = up;
    }
}

/// Contexts come, go, or are looked at as a whole.
async fn admit(
    shared: &Shared,
    cluster: &ClusterId,
    wanted: &[Context],
    known: &mut BTreeMap<model::ids::ContextId, bool>,
    board: &mut Board,
    seat: &Seat,
) -> Result<(), StoreError> {
    let names: HashSet<_> = wanted.iter().map(|one| &one.context).collect();
    known.retain(|context, _| {
        let stays = names.contains(context);
        if !stays {
            board.forget(context);
        }
        stays
    });
    for one in wanted {
        if known.get(&one.context) == Some(&one.all) {
            continue;
        }
        let rows = shared.store.watch_rows(&one.context, cluster).await?;
        seat.write(board.admit(&one.context, rows, one.all));
        known.insert(one.context.clone(), one.all);
    }
    Ok(())
}
