//! Reading a status: the head with its problems, resources in chunks, the operation log.

use crate::{
    convert::{self, status as shape},
    errors,
    shared::{Core, now_ms},
};
use model::{
    ids::{ClusterId, ContextId, DigRef, RowId},
    row::Row,
    state::{ContextState, Goal},
};
use proto::v1;
use std::time::Duration;
use store::{Problem, RowFilter, Store, Summary};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Resources or events in one message.
pub const CHUNK: u64 = 500;
/// Nothing happened for so long although something could: nobody works.
const IDLE: Duration = Duration::from_secs(10);
/// Temporal took a wake, and no run began for so long.
const UNTAKEN: Duration = Duration::from_secs(5);

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
        Ok(Self {
            rows: RowFilter {
                app: some(&filter.app),
                cluster,
                resource: some(&filter.resource),
                state,
                counted_only: true,
            },
        })
    }

    pub fn by_state(&self) -> bool {
        self.rows.state.is_some()
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
    let mut problems = engine_problems(core, store, &summary, &found).await?;
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
async fn engine_problems(
    core: &Core,
    store: &Store,
    summary: &Summary,
    found: &[Problem],
) -> Result<Vec<v1::Problem>, Status> {
    let Some(context) = &summary.dig.context else {
        return Ok(Vec::new());
    };
    let goal = match context.state {
        ContextState::Instantiating | ContextState::Updating => Goal::Apply,
        ContextState::PreTerminate | ContextState::Terminating => Goal::Delete,
        _ => return Ok(Vec::new()),
    };
    if let Some(trouble) = core.temporal_trouble() {
        return Ok(vec![shape::temporal_unreachable(&trouble, goal)]);
    }
    if let Some(waited) = core
        .since_woken(&context.id, context.fence)
        .filter(|waited| *waited > UNTAKEN)
    {
        return Ok(vec![shape::no_worker(
            now_ms() - waited.as_millis() as i64,
            goal,
        )]);
    }
    let last = store
        .last_seq(&summary.dig.doc.id)
        .await
        .map_err(errors::store)?;
    let event = store
        .events(&summary.dig.doc.id, last - 1, 1)
        .await
        .map_err(errors::store)?;
    let Some(last_ms) = event.first().map(|event| event.time_ms) else {
        return Ok(Vec::new());
    };
    Ok(if idle(summary, found, now_ms() - last_ms, now_ms()) {
        vec![shape::no_worker(last_ms, goal)]
    } else {
        Vec::new()
    })
}

/// Rows wait for nothing in particular, or their next attempt is overdue, and nothing happens.
fn idle(summary: &Summary, problems: &[Problem], quiet_ms: i64, now_ms: i64) -> bool {
    let idle_ms = IDLE.as_millis() as i64;
    let of = |state: &str| summary.counts.get(state).copied().unwrap_or(0);
    let excused = |problem: &Problem| {
        problem.blocked_by.is_some()
            || problem
                .next_attempt_ms
                .is_some_and(|next| next + idle_ms > now_ms)
    };
    quiet_ms > idle_ms && of("Pending") + of("Retrying") > 0 && !problems.iter().any(excused)
}

/// The next chunk of rows after `after`.
pub async fn rows(
    store: &Store,
    context: &ContextId,
    filter: &Filter,
    after: Option<RowId>,
) -> Result<Vec<Row>, Status> {
    store
        .status_rows(context, &filter.rows, after, CHUNK)
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
        after = Some(last.id);
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
    let engine = engine_problems(core, store, summary, &found).await?;
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
    use model::{document::Dig, failure::Failure, state::DigState};
    use std::collections::BTreeMap;
    use store::DigRow;

    fn summary(pending: i64) -> Summary {
        let doc: Dig = serde_json::from_value(serde_json::json!({
            "id": {"project": "p", "name": "d"}, "app": {"project": "p", "name": "a", "version": "v"}, "namespace": "n", "placement": [],
            "policy": model::document::Policy::default(),
        }))
        .unwrap();
        Summary {
            dig: DigRow {
                generation: 1,
                doc,
                state: DigState::Instantiated,
                pending_changes: false,
                context: None,
            },
            actions: vec![],
            counts: BTreeMap::from([("Pending".to_owned(), pending)]),
            by_bundle: vec![],
        }
    }

    fn waiting(blocked_by: Option<&str>, next_attempt_ms: Option<i64>) -> Problem {
        Problem {
            cluster: None,
            app: None,
            resource: None,
            count: 1,
            goal: Goal::Apply,
            failure: Failure {
                code: "x".into(),
                message: "x".into(),
            },
            attempts: 1,
            since_ms: 0,
            next_attempt_ms,
            blocked_by: blocked_by.map(str::to_owned),
        }
    }

    #[test]
    fn a_missing_worker_is_seen_when_nothing_happens_although_something_could() {
        let now = 100_000;
        for (pending, problems, quiet_ms, expected) in [
            (1, vec![], 10_001, true),
            (1, vec![], 9_999, false),
            (0, vec![], 60_000, false),
            (1, vec![waiting(Some("app a"), None)], 60_000, false),
            (1, vec![waiting(None, Some(now + 1))], 60_000, false),
            (1, vec![waiting(None, Some(now - 10_001))], 60_000, true),
        ] {
            assert_eq!(
                idle(&summary(pending), &problems, quiet_ms, now),
                expected,
                "{pending} {quiet_ms} {problems:?}"
            );
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
