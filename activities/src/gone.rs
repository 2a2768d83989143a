//! Waits until accepted deletes are gone: one LIST per kind and namespace, no slot held between.

use crate::{
    attempts::{Job, Next, record_unsent},
    clusters::hello::NotReady,
    delete,
    judge::{self, Verdict},
    look::{Seen, see},
    object::Meta,
    step::{Ended, RowEnd},
};
use model::{
    failure::{Certainty, Failure},
    ids::RowId,
    manifest::CONTEXT_LABEL,
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use store::{Close, Closed, Opened, StoreError};
use tokio::time::Instant;

/// Delays between looks: 25 ms, doubled up to 5 s. Most of what is waited for goes at once.
pub fn delay(attempt: u32) -> Duration {
    let factor = 1_u64 << attempt.saturating_sub(1).min(8);
    Duration::from_millis((25 * factor).min(5_000))
}

/// What came of a look at deletes that are under way.
pub struct Waited {
    pub ended: Ended,
    /// What is still there; the activity fails with it and comes back.
    pub still: Option<Failure>,
}

/// Looks once. `waited` = how long the rows have been waited for.
pub async fn gone(job: &Arc<Job>, waited: Duration) -> Result<Waited, StoreError> {
    let mut ended = Ended::default();
    let step = &job.step;
    let store = &job.shared.store;
    let mut rows = store.rows(&step.context, &step.rows).await?;
    rows.retain(|row| match row.state {
        ResourceState::Failed(_) => {
            ended.add(row.id, RowEnd::Failed);
            false
        }
        state => !state.is_target(Goal::Delete),
    });
    let timed_out = waited >= Duration::from_millis(job.policy.delete_timeout_ms);
    let since = Instant::now();
    let mut absent = Vec::new();
    let mut there: Vec<(Row, Box<Meta>)> = Vec::new();
    // The cluster answers, but not whether they are gone.
    let mut unsure: Vec<(Row, Failure)> = Vec::new();
    let labels = own_labels(job, &rows);
    for (row, seen) in see(job, rows, labels.as_deref()).await {
        match seen {
            Seen::Absent => absent.push(row),
            Seen::There(meta) if ours(job, &row, &meta).await? => there.push((row, meta)),
            // Ours is gone; somebody else's has the name now.
            Seen::There(_) => absent.push(row),
            Seen::Answered(Verdict::Final(failure)) => {
                refuse(job, row.id, &failure, &mut ended).await?;
            }
            Seen::Answered(Verdict::Transient { failure, .. }) => unsure.push((row, failure)),
            Seen::Lost(error) => match job.cluster.still_answers(since).await {
                Err(NotReady::Store(error)) => return Err(error),
                Err(NotReady::Parked(_)) => ended.add(row.id, RowEnd::Unreachable),
                Ok(_) => unsure.push((row, error.failure())),
            },
        }
    }
    close_absent(job, absent, &mut ended).await?;
    if timed_out {
        for (row, meta) in there {
            let failure = judge::failure("finalizers", &meta.waits_for());
            refuse(job, row.id, &failure, &mut ended).await?;
        }
        for (row, failure) in unsure {
            let failure = judge::failure("finalizers", &failure.message);
            refuse(job, row.id, &failure, &mut ended).await?;
        }
        return Ok(Waited {
            ended: ended.sorted(),
            still: None,
        });
    }
    // Objects that are there and not on their way out (made by an apply that arrived late) have to
    // be deleted once more; the workflow waits for the others again after that.
    let resend = there.iter().any(|(_, meta)| !meta.deleting);
    // Whatever is still there is in the outcome, however early the activity ends with it: a row in
    // no list counts as done.
    for (row, meta) in &there {
        let end = match meta.deleting {
            true => RowEnd::Waiting,
            false => RowEnd::Again(Duration::ZERO),
        };
        ended.add(row.id, end);
    }
    for (row, _) in &unsure {
        ended.add(row.id, RowEnd::Waiting);
    }
    let mut still = unsure.into_iter().next().map(|(_, failure)| failure);
    if resend {
        still = None;
    } else if let Some((_, meta)) = there.first() {
        let others = match there.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let code = if meta.finalizers.is_empty() {
            "deleting"
        } else {
            "finalizers"
        };
        let message = format!("{}{others}: {}", meta.name, meta.waits_for());
        still = Some(judge::failure(code, &message));
    }
    Ok(Waited {
        ended: ended.sorted(),
        still,
    })
}

/// A selector for lists of our own objects; shared ones do not carry the context's label.
fn own_labels(job: &Job, rows: &[Row]) -> Option<String> {
    let own = rows.iter().all(|row| row.class == Class::Own);
    own.then(|| format!("{CONTEXT_LABEL}={}", job.step.context))
}

async fn ours(job: &Job, row: &Row, meta: &Meta) -> Result<bool, StoreError> {
    Ok(match row.class {
        Class::Own => meta.of_context(&row.context),
        Class::Shared => meta.of_installation(job.shared.installation().await?),
    })
}

/// Closes rows whose objects were absent. What counts is an absence seen after the open: only the
/// open says whether a lost apply may still arrive.
async fn close_absent(job: &Arc<Job>, rows: Vec<Row>, ended: &mut Ended) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let step = &job.step;
    let numbers: Vec<RowId> = rows.iter().map(|row| row.id).collect();
    let opened = job
        .shared
        .store
        .open_attempts(&step.context, step.fence, Goal::Delete, &numbers, 0)
        .await?;
    let mut attempts = HashMap::new();
    for (&row_id, opened) in numbers.iter().zip(opened) {
        match opened {
            Opened::Superseded => ended.outcome.superseded = true,
            Opened::Done(ResourceState::Failed(_)) => ended.add(row_id, RowEnd::Failed),
            Opened::Done(_) => ended.add(row_id, RowEnd::Done),
            Opened::Busy { ms } => ended.add(row_id, RowEnd::Again(Duration::from_millis(ms))),
            Opened::Go {
                attempt, late_ms, ..
            } => {
                attempts.insert(row_id, (attempt, Duration::from_millis(late_ms)));
            }
        }
    }
    let open: Vec<Row> = rows
        .into_iter()
        .filter(|row| attempts.contains_key(&row.id))
        .collect();
    let mut closes = Vec::new();
    let labels = own_labels(job, &open);
    for (row, seen) in see(job, open, labels.as_deref()).await {
        let Some((attempt, late)) = attempts.remove(&row.id) else {
            continue;
        };
        let absent = match &seen {
            Seen::Absent => true,
            Seen::There(meta) => !ours(job, &row, meta).await?,
            Seen::Answered(_) | Seen::Lost(_) => false,
        };
        let (certainty, result, end) = if absent {
            let finish = delete::gone::<()>(late);
            let end = match finish.next {
                Next::End(end) => end,
                Next::Reopen(()) => RowEnd::Again(Duration::ZERO),
            };
            (finish.certainty, finish.closed, end)
        } else {
            (
                Certainty::NotSent,
                Closed::NotSent,
                RowEnd::Again(Duration::from_millis(200)),
            )
        };
        ended.add(row.id, end);
        closes.push(Close {
            attempt,
            row: row.id,
            certainty,
            result,
            uid: None,
        });
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

/// Records a row as Failed.
async fn refuse(
    job: &Job,
    row: RowId,
    failure: &Failure,
    ended: &mut Ended,
) -> Result<(), StoreError> {
    let decide = |_: &Row| (Closed::Refused(failure.clone()), RowEnd::Failed);
    record_unsent(job, Goal::Delete, &[row], ended, decide).await
}

#[cfg(test)]
mod tests {
    use super::delay;

    #[test]
    fn looks_begin_small_and_grow() {
        let ms: Vec<_> = (0..11).map(|attempt| delay(attempt).as_millis()).collect();
        assert_eq!(
            ms,
            [25, 25, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
        );
    }
}
