//! Waits until accepted deletes are gone: one LIST per kind and namespace, no slot held between.

use crate::{
    attempts::{Job, Next, record_unsent},
    clusters::hello::NotReady,
    delete, judge,
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

/// Delays between looks: 0.2 s, doubled up to 5 s.
pub fn delay(attempt: u32) -> Duration {
    let factor = 1_u64 << attempt.saturating_sub(1).min(5);
    Duration::from_millis((200 * factor).min(5_000))
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
    let mut still: Option<Failure> = None;
    let labels = own_labels(job, &rows);
    for (row, seen) in see(job, rows, labels.as_deref()).await {
        match seen {
            Seen::Absent => absent.push(row),
            Seen::There(meta) if ours(job, &row, &meta).await? => there.push((row, meta)),
            // Ours is gone; somebody else's has the name now.
            Seen::There(_) => absent.push(row),
            Seen::Answered(verdict) => still = Some(verdict.failure().clone()),
            Seen::Lost(error) => match job.cluster.still_answers(since).await {
                Err(NotReady::Store(error)) => return Err(error),
                Err(NotReady::Parked(_)) => ended.add(row.id, RowEnd::Unreachable),
                Ok(_) => still = Some(error.failure()),
            },
        }
    }
    close_absent(job, absent, &mut ended).await?;
    if timed_out {
        expire(job, there, &mut ended).await?;
        return Ok(Waited { ended, still });
    }
    // Objects that are there and not on their way out (made by an apply that arrived late) have to
    // be deleted once more; the workflow waits for the others again after that.
    let resend = there.iter().any(|(_, meta)| !meta.deleting);
    for (row, meta) in &there {
        if !meta.deleting {
            ended.add(row.id, RowEnd::Again(Duration::ZERO));
        } else if resend {
            ended.add(row.id, RowEnd::Waiting);
        }
    }
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
    Ok(Waited { ended, still })
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

/// `deleteTimeout` is over: the rows fail with what they wait for.
async fn expire(
    job: &Job,
    there: Vec<(Row, Box<Meta>)>,
    ended: &mut Ended,
) -> Result<(), StoreError> {
    for (row, meta) in there {
        let failure = judge::failure("finalizers", &meta.waits_for());
        let decide = |_: &Row| (Closed::Refused(failure.clone()), RowEnd::Failed);
        record_unsent(job, Goal::Delete, &[row.id], ended, decide).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::delay;

    #[test]
    fn looks_begin_small_and_grow() {
        let ms: Vec<_> = (0..9).map(|attempt| delay(attempt).as_millis()).collect();
        assert_eq!(ms, [200, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    }
}
