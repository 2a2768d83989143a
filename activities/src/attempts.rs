//! Open, send, close: the one loop every apply and delete goes through (protocol §5).

use crate::{
    batch,
    clusters::{
        answer::NetError,
        clock::{boot_time, wall_ms},
        gate::Window,
        hello::{Cluster, NotReady},
        link::Link,
        pool::Slot,
    },
    shared::Shared,
    step::{Ended, RowEnd, millis, transient},
};
use model::{
    document::Policy,
    failure::{Certainty, Failure},
    ids::RowId,
    row::Row,
    state::{Goal, ResourceState},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use store::{Close, Closed, Opened, StoreError};
use tokio::time::Instant;
use workflows::{
    contract::Step,
    limits::{LOCAL_REQUEST_TIMEOUT, REGULAR_REQUEST_TIMEOUT, SEND_WINDOW, SLOW_HELLO_TIMEOUT},
};

/// How often an attempt that could not be sent is opened again within one activity.
const REOPENS: u8 = 3;
/// … and when it is repeated after that.
const LATER: Duration = Duration::from_millis(250);
/// A busy key is asked for again after this at the latest: a shared moment, not the whole expiry.
const BUSY: Duration = Duration::from_secs(2);

/// What an activity knows of its step.
pub struct Job {
    pub shared: Arc<Shared>,
    pub step: Step,
    pub cluster: Arc<Cluster>,
    pub link: Arc<Link>,
    pub policy: Policy,
    /// Limit of one request.
    pub timeout: Duration,
}

/// A row and what is to be sent for it.
pub trait Item: Send + 'static {
    fn row(&self) -> RowId;
}

/// One opened attempt.
pub struct Turn<I> {
    pub item: I,
    pub row: Box<Row>,
    pub window: Window,
    pub late: Duration,
    pub slot: Slot,
}

/// How one attempt ended, and what comes next for its row.
pub struct Finish<I> {
    pub certainty: Certainty,
    pub closed: Closed,
    pub uid: Option<String>,
    pub next: Next<I>,
}

pub enum Next<I> {
    End(RowEnd),
    /// Nothing left, or what was sent cannot have had an effect: open again at once.
    Reopen(I),
}

impl<I> Finish<I> {
    pub fn end(certainty: Certainty, closed: Closed, end: RowEnd) -> Self {
        Self {
            certainty,
            closed,
            uid: None,
            next: Next::End(end),
        }
    }

    pub fn with_uid(mut self, uid: impl Into<Option<String>>) -> Self {
        self.uid = uid.into();
        self
    }
}

impl Job {
    /// Request time-out of a step: a hung cluster must not hold a workflow task. What is only read
    /// of a slow one gets the time of its hello.
    pub fn timeout_of(step: &Step, slow: bool) -> Duration {
        match (step.promoted, slow) {
            (true, _) => REGULAR_REQUEST_TIMEOUT,
            (false, true) => SLOW_HELLO_TIMEOUT,
            (false, false) => LOCAL_REQUEST_TIMEOUT,
        }
    }

    /// A transient failure of a row, under the DIG's policy.
    pub fn transient<I>(
        &self,
        certainty: Certainty,
        row: &Row,
        failure: Failure,
        wish: Option<Duration>,
    ) -> Finish<I> {
        let (closed, end) = transient(row, &self.policy, failure, wish, wall_ms());
        Finish::end(certainty, closed, end)
    }

    /// A final failure of a row.
    pub fn refused<I>(&self, failure: Failure) -> Finish<I> {
        Finish::end(
            Certainty::Definite,
            Closed::Refused(failure),
            RowEnd::Failed,
        )
    }

    /// After a request that began at `since` got no answer: hello decides whether the row retries
    /// by itself or waits with its cluster.
    pub async fn lost<I>(&self, error: &NetError, since: Instant, row: &Row, item: I) -> Finish<I> {
        let certainty = error.certainty();
        let alive = match self.cluster.still_answers(since).await {
            Ok(_) | Err(NotReady::Store(_)) => true,
            Err(NotReady::Parked(_)) => false,
        };
        match (certainty, alive) {
            (Certainty::NotSent, true) => Finish {
                certainty,
                closed: Closed::NotSent,
                uid: None,
                next: Next::Reopen(item),
            },
            (Certainty::NotSent, false) => {
                Finish::end(certainty, Closed::NotSent, RowEnd::Unreachable)
            }
            (_, true) => self.transient(certainty, row, error.failure(), None),
            (_, false) => {
                let (closed, end) = transient(row, &self.policy, error.failure(), None, wall_ms());
                let end = if end == RowEnd::Failed {
                    end
                } else {
                    RowEnd::Unreachable
                };
                Finish::end(certainty, closed, end)
            }
        }
    }
}

/// Opens, works and closes for every item. Slots are taken first, then as many rows are opened as
/// these slots send well within the window: no row waits with an open window for a connection to
/// come up, or for what others send.
///
/// `requests` = how many requests one attempt sends one after the other, for its expiry.
pub async fn drive<I, W, F>(
    job: &Arc<Job>,
    kind: Goal,
    requests: u32,
    items: Vec<I>,
    ended: &mut Ended,
    work: W,
) -> Result<(), StoreError>
where
    I: Item,
    W: Fn(Arc<Job>, Turn<I>) -> F,
    F: Future<Output = Finish<I>> + Send,
{
    let step = &job.step;
    let mut queue: VecDeque<(I, u8)> = items.into_iter().map(|item| (item, 0)).collect();
    let mut dials = 0;
    while !queue.is_empty() {
        if job.shared.stop.is_cancelled() {
            ended.outcome.drained = true;
            again(ended, queue, Duration::ZERO);
            return Ok(());
        }
        let since = Instant::now();
        let slots = match job.link.slots(queue.len(), job.timeout).await {
            Ok(slots) => slots,
            Err(error) => {
                dials += 1;
                tracing::debug!(cluster = %job.cluster.id, %error, "no connection");
                match job.cluster.still_answers(since).await {
                    Ok(_) if dials < REOPENS => continue,
                    Ok(_) => again(ended, queue, LATER),
                    Err(NotReady::Parked(_)) => {
                        queue
                            .into_iter()
                            .for_each(|(item, _)| ended.add(item.row(), RowEnd::Unreachable));
                    }
                    Err(NotReady::Store(error)) => return Err(error),
                }
                return Ok(());
            }
        };
        let many = (slots.len() * job.link.rounds()).min(queue.len());
        let batch: Vec<(I, u8)> = queue.drain(..many).collect();
        let rows: Vec<RowId> = batch.iter().map(|(item, _)| item.row()).collect();
        let (window, answers) = {
            let _opening = job.shared.opening(&step.context).await;
            // The window begins before the open does, so that a slow commit shortens it.
            let window = Window {
                opened: boot_time(),
                length: SEND_WINDOW,
            };
            let expiry = millis(job.timeout * requests);
            let answers = job
                .shared
                .store
                .open_attempts(&step.context, step.fence, kind, &rows, expiry)
                .await?;
            (window, answers)
        };
        let mut opened = Vec::with_capacity(batch.len());
        let mut tried: HashMap<RowId, u8> = HashMap::with_capacity(batch.len());
        for ((item, tries), answer) in batch.into_iter().zip(answers) {
            let row_id = item.row();
            match answer {
                Opened::Superseded => ended.outcome.superseded = true,
                Opened::Done(ResourceState::Failed(_)) => ended.add(row_id, RowEnd::Failed),
                Opened::Done(_) => ended.add(row_id, RowEnd::Done),
                Opened::Busy { ms } => {
                    ended.add(row_id, RowEnd::Again(Duration::from_millis(ms).min(BUSY)))
                }
                Opened::Go {
                    attempt,
                    row,
                    late_ms,
                } => {
                    tried.insert(row_id, tries);
                    opened.push(batch::Opened {
                        item,
                        row,
                        attempt,
                        late: Duration::from_millis(late_ms),
                    });
                }
            }
        }
        for row in batch::run(job, window, slots, opened, &work).await? {
            let tries = tried.get(&row.row).copied().unwrap_or(0) + u8::from(row.tried);
            match row.next {
                Next::End(end) => ended.add(row.row, end),
                Next::Reopen(item) if tries <= REOPENS => queue.push_back((item, tries)),
                Next::Reopen(_) => ended.add(row.row, RowEnd::Again(LATER)),
            }
        }
        if ended.outcome.superseded {
            return Ok(());
        }
    }
    Ok(())
}

fn again<I: Item>(ended: &mut Ended, queue: VecDeque<(I, u8)>, delay: Duration) {
    for (item, _) in queue {
        ended.add(item.row(), RowEnd::Again(delay));
    }
}

/// Records what became of rows for which nothing was sent at all: opens and closes at once.
pub async fn record_unsent(
    job: &Job,
    kind: Goal,
    rows: &[RowId],
    ended: &mut Ended,
    decide: impl Fn(&Row) -> (Closed, RowEnd),
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let step = &job.step;
    let opened = job
        .shared
        .store
        .open_attempts(&step.context, step.fence, kind, rows, 0)
        .await?;
    let mut closes = Vec::new();
    for (&row_id, opened) in rows.iter().zip(opened) {
        match opened {
            Opened::Superseded => ended.outcome.superseded = true,
            Opened::Done(ResourceState::Failed(_)) => ended.add(row_id, RowEnd::Failed),
            Opened::Done(_) => ended.add(row_id, RowEnd::Done),
            Opened::Busy { ms } => {
                ended.add(row_id, RowEnd::Again(Duration::from_millis(ms).min(BUSY)))
            }
            Opened::Go { attempt, row, .. } => {
                let (result, end) = decide(&row);
                ended.add(row_id, end);
                closes.push(Close {
                    attempt,
                    row: row_id,
                    certainty: Certainty::NotSent,
                    result,
                    uid: None,
                });
            }
        }
    }
    if closes.is_empty() {
        Ok(())
    } else {
        job.shared
            .store
            .close_attempts(&step.context, step.fence, closes)
            .await
    }
}
