//! Reading a status: the head with its problems, resources in chunks, the operation log.

use crate::{
    convert::{self, status as shape},
    errors,
    shared::{Core, now_ms},
};
use model::{
    ids::{ClusterId, ContextId, DigRef, RowId},
    state::{ContextState, Goal},
};
use proto::v1;
use std::time::Duration;
use store::{Problem, RowFilter, StatusRow, Store, Summary};
use temporal::Queue;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Resources or events in one message.
pub const CHUNK: u64 = 500;
/// A worker that is there has asked for work within this time, however little there is.
const SILENT: Duration = Duration::from_secs(75);
/// Work that waits for so long, and for which nobody has asked since, is taken by nobody.
const UNTAKEN: Duration = Duration::from_secs(5);
/// After so long without a line in the log it is asked whether lines can be written at all.
const QUIET_MS: i64 = 3_000;
/// The two times are measured one after the other.
const SLACK: Duration = Duration::from_secs(1);

/// A filter, read from a request.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    rows: RowFilter,
}

impl Filter {
    pub fn read(filter: Option<v1::StatusFilter>) -> Result<Self, Status> {
        let filter = filter.unwrap_or_default();
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let cluster: Option<ClusterId> = some(&filter.cluster)
            .map(|text| convert::cluster_id(&text))
            .transpose()?;
        let state = v1::ResourceState::try_from(filter.state).map_err(|_| {
            errors::invalid_field(
                "the request",
                "filter.state",
                format!("{} is not known; leave it out for all states", filter.state),
            )
        })?;
        let state = convert::state_filter(state).map(str::to_owned);
        let readiness = some(&filter.ready_status)
            .map(|text| convert::readiness(&text))
            .transpose()?;
        Ok(Self {
            rows: RowFilter {
                app: some(&filter.app),
                cluster,
                resource: some(&filter.resource),
                state,
                readiness,
                counted_only: true,
            },
        })
    }

    pub fn by_state(&self) -> bool {
        self.rows.state.is_some() || self.rows.readiness.is_some()
    }

    fn keeps(&self, app: &str, cluster: &ClusterId) -> bool {
        self.rows.app.as_deref().is_none_or(|wanted| wanted == app)
            && self
                .rows
                .cluster
                .as_ref()
                .is_none_or(|wanted| wanted == cluster)
    }

    fn keeps_problem(&self, problem: &Problem) -> bool {
        let app = self.rows.app.is_none() || problem.app.is_none() || self.rows.app == problem.app;
        app && (self.rows.cluster.is_none()
            || problem.cluster.is_none()
            || self.rows.cluster == problem.cluster)
    }
}

/// The head, and the context whose rows belong to it.
pub async fn head(
    core: &Core,
    store: &Store,
    id: &DigRef,
    filter: &Filter,
) -> Result<(v1::StatusHead, Option<ContextId>), Status> {
    let summary = store.summary(id).await.map_err(errors::store)?;
    let context = summary
        .dig
        .context
        .as_ref()
        .map(|context| context.id.clone());
    let found = match &context {
        Some(context) => store.problems(context).await.map_err(errors::store)?,
        None => Vec::new(),
    };
    let mut problems = engine_problems(core, store, &summary).await;
    problems.extend(
        found
            .iter()
            .filter(|problem| filter.keeps_problem(problem))
            .map(shape::problem),
    );
    Ok((
        shape::head(&summary, problems, |bundle| {
            filter.keeps(&bundle.app, &bundle.cluster)
        }),
        context,
    ))
}

/// What keeps everything from moving: Temporal, or a missing worker.
async fn engine_problems(core: &Core, store: &Store, summary: &Summary) -> Vec<v1::Problem> {
    let Some(context) = &summary.dig.context else {
        return Vec::new();
    };
    let goal = match context.state {
        ContextState::Instantiating | ContextState::Updating => Goal::Apply,
        ContextState::PreTerminate | ContextState::Terminating => Goal::Delete,
        _ => return Vec::new(),
    };
    // Asking the queue also finds out whether Temporal is there.
    let queue = core.queue().await;
    if let Some(trouble) = core.temporal_trouble() {
        return vec![shape::temporal_unreachable(&trouble, goal)];
    }
    if let Some(untaken) = queue.as_ref().and_then(untaken) {
        return vec![shape::no_worker(&untaken, now_ms(), goal)];
    }
    // What is still recorded is not locked out.
    let quiet = match store.last_event_ms(&summary.dig.doc.id).await {
        Ok(Some(last)) => now_ms() - last > QUIET_MS,
        _ => false,
    };
    if quiet && core.is_locked(store).await {
        return vec![shape::store_locked(goal)];
    }
    Vec::new()
}

/// Nobody takes work: why that is known, and since when.
#[derive(Debug, PartialEq, Eq)]
pub struct Untaken {
    pub cause: String,
    pub since: Option<Duration>,
}

/// Whether nobody takes work from the queue. A worker that has nothing to do asks about once a
/// minute; one that is there is given a task at once.
pub fn untaken(queue: &Queue) -> Option<Untaken> {
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    match (queue.asked, queue.oldest) {
        (None, oldest) => Some(Untaken {
            cause: "none has asked for it in the last minutes".to_owned(),
            since: oldest,
        }),
        (Some(asked), oldest) if asked > SILENT => Some(Untaken {
            cause: format!("the last one asked for it {} ago", seconds(asked)),
            since: Some(oldest.unwrap_or(asked)),
        }),
        (Some(asked), Some(oldest)) if oldest > UNTAKEN && asked + SLACK > oldest => {
            Some(Untaken {
                cause: format!("it has been waiting for {}", seconds(oldest)),
                since: Some(oldest),
            })
        }
        _ => None,
    }
}

/// The next chunk of rows after `after`.
pub async fn rows(
    store: &Store,
    context: &ContextId,
    filter: &Filter,
    after: Option<RowId>,
) -> Result<Vec<StatusRow>, Status> {
    store
        .shown_rows(context, &filter.rows, after, CHUNK)
        .await
        .map_err(errors::store)
}

/// Runs `produce` as a task whose messages are the answer; an error is the last of them.
pub fn streamed<T, F>(
    produce: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F,
) -> ReceiverStream<Result<T, Status>>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(4);
    let errors = sender.clone();
    let produced = produce(sender);
    tokio::spawn(async move {
        if let Err(status) = produced.await {
            // The caller may have left.
            let _ = errors.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

/// Head, then resources.
pub async fn send_status(
    store: &Store,
    head: v1::StatusHead,
    context: Option<ContextId>,
    filter: &Filter,
    full: bool,
    sender: mpsc::Sender<Result<v1::GetStatusResponse, Status>>,
) -> Result<(), Status> {
    use v1::get_status_response::Part;
    let message = |part| Ok(v1::GetStatusResponse { part: Some(part) });
    if sender.send(message(Part::Head(head))).await.is_err() {
        return Ok(());
    }
    let Some(context) = context.filter(|_| full) else {
        return Ok(());
    };
    let mut after = None;
    loop {
        let chunk = rows(store, &context, filter, after).await?;
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        after = Some(last.row.id);
        let resources = chunk.iter().map(shape::resource).collect();
        if sender
            .send(message(Part::Resources(v1::ResourceChunk { resources })))
            .await
            .is_err()
            || (chunk.len() as u64) < CHUNK
        {
            return Ok(());
        }
    }
}

/// The operation log in chunks: all after a number, the first `limit` of those, or the last `tail`.
pub async fn send_events(
    store: &Store,
    id: &DigRef,
    after: i64,
    limit: usize,
    tail: usize,
    sender: mpsc::Sender<Result<v1::ListEventsResponse, Status>>,
) -> Result<(), Status> {
    let mut after = after;
    let mut left = if limit == 0 { usize::MAX } else { limit };
    let mut kept = std::collections::VecDeque::new();
    loop {
        let wanted = (CHUNK as usize).min(left);
        let events = store
            .events(id, after, wanted as u64)
            .await
            .map_err(errors::store)?;
        let ended = events.len() < wanted || events.len() == left;
        left -= events.len();
        after = events.last().map_or(after, |event| event.seq);
        if tail > 0 {
            kept.extend(events.iter().map(shape::event));
            kept.drain(..kept.len().saturating_sub(tail));
            if ended {
                let _ = sender
                    .send(Ok(v1::ListEventsResponse {
                        events: kept.into(),
                    }))
                    .await;
                return Ok(());
            }
        } else {
            let sent = sender
                .send(Ok(v1::ListEventsResponse {
                    events: events.iter().map(shape::event).collect(),
                }))
                .await;
            if ended || sent.is_err() {
                return Ok(());
            }
        }
    }
}

/// The worst problem in one sentence, for lists; empty if there is none.
pub async fn worst(core: &Core, store: &Store, summary: &Summary) -> Result<String, Status> {
    let Some(context) = &summary.dig.context else {
        return Ok(String::new());
    };
    let found = store.problems(&context.id).await.map_err(errors::store)?;
    let engine = engine_problems(core, store, summary).await;
    Ok(engine
        .into_iter()
        .next()
        .or_else(|| found.first().map(shape::problem))
        .map(|problem| problem.message)
        .unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_missing_worker_is_told_from_one_that_is_idle_or_busy() {
        let queue = |asked: Option<u64>, oldest: Option<u64>| Queue {
            asked: asked.map(Duration::from_secs),
            oldest: oldest.map(Duration::from_secs),
        };
        for (asked, oldest, missing) in [
            // Nobody ever asked, or not for minutes.
            (None, None, true),
            (None, Some(1), true),
            (Some(76), None, true),
            // Idle: waits in its long poll.
            (Some(59), None, false),
            // A task was just written.
            (Some(59), Some(4), false),
            // It died within its long poll: nobody asked since the task waits.
            (Some(30), Some(6), true),
            (Some(6), Some(6), true),
            // Busy: old work waits, and workers keep asking.
            (Some(0), Some(60), false),
        ] {
            let found = untaken(&queue(asked, oldest));
            assert_eq!(found.is_some(), missing, "{asked:?} {oldest:?} {found:?}");
        }
    }

    #[test]
    fn a_filter_is_read_and_a_bad_cluster_named() {
        let read = |cluster: &str| {
            Filter::read(Some(v1::StatusFilter {
                cluster: cluster.into(),
                state: v1::ResourceState::Failed.into(),
                ..Default::default()
            }))
        };
        let filter = read("edge-1").unwrap();
        assert_eq!(filter.rows.cluster.unwrap().to_string(), "default+edge-1");
        assert_eq!(filter.rows.state.as_deref(), Some("Failed"));
        assert!(
            read("a+b+c")
                .unwrap_err()
                .message()
                .contains("PROVIDER+NAME")
        );
    }
}
