//! The outcome of a step, gathered row by row. Pure.

use model::{document::Policy, failure::Failure, ids::RowId, row::Row};
use std::time::Duration;
use store::Closed;
use workflows::contract::{Step, StepOutcome};

/// How a row ended in this step.
#[derive(Debug, Clone, PartialEq)]
pub enum RowEnd {
    /// In the target.
    Done,
    /// Recorded as Failed.
    Failed,
    /// Recorded as Retrying.
    Retry { failure: Failure, delay: Duration },
    /// Nothing was sent: repeat after so long.
    Again(Duration),
    /// The cluster is parked: repeat when it answers.
    Unreachable,
    /// Deleted, not gone yet.
    Waiting,
    /// Left to the last user of a shared object.
    Left,
}

/// A step's outcome, and what a promoted step fails with.
#[derive(Debug, Default)]
pub struct Ended {
    pub outcome: StepOutcome,
    /// Of the rows to be retried, the one that is due first.
    pub retry: Option<(Failure, Duration)>,
}

impl Ended {
    pub fn superseded() -> Self {
        Self {
            outcome: StepOutcome {
                superseded: true,
                ..StepOutcome::default()
            },
            retry: None,
        }
    }

    /// Nothing was sent because the worker is stopping.
    pub fn drained(step: &Step) -> Self {
        let outcome = StepOutcome {
            drained: true,
            again: step.rows.clone(),
            ..StepOutcome::default()
        };
        Self {
            outcome,
            retry: None,
        }
    }

    /// Nothing was sent: each row is to have its own regular activity.
    pub fn promoted(step: &Step) -> Self {
        let outcome = StepOutcome {
            retry: step.rows.clone(),
            ..StepOutcome::default()
        };
        Self {
            outcome,
            retry: None,
        }
    }

    pub fn add(&mut self, row: RowId, end: RowEnd) {
        let outcome = &mut self.outcome;
        match end {
            RowEnd::Done => {}
            RowEnd::Failed => outcome.failed.push(row),
            RowEnd::Waiting => outcome.waiting.push(row),
            RowEnd::Left => outcome.left.push(row),
            RowEnd::Again(delay) => {
                outcome.again.push(row);
                outcome.again_ms = outcome.again_ms.max(millis(delay));
            }
            RowEnd::Unreachable => {
                outcome.unreachable = true;
                outcome.again.push(row);
            }
            RowEnd::Retry { failure, delay } => {
                outcome.retry.push(row);
                if self.retry.as_ref().is_none_or(|(_, first)| delay < *first) {
                    self.retry = Some((failure, delay));
                }
            }
        }
    }

    /// Rows in the order of the step: answers of the same facts are equal.
    pub fn sorted(mut self) -> Self {
        let outcome = &mut self.outcome;
        for rows in [
            &mut outcome.failed,
            &mut outcome.retry,
            &mut outcome.again,
            &mut outcome.waiting,
            &mut outcome.left,
        ] {
            rows.sort_unstable();
        }
        self
    }
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a transient failure means under the DIG's retry policy: another attempt after a delay
/// (the cluster's own wish counts where it is longer), the last one at `maxElapsed`, then Failed.
pub fn transient(
    row: &Row,
    policy: &Policy,
    failure: Failure,
    wish: Option<Duration>,
    now_ms: i64,
) -> (Closed, RowEnd) {
    let retry = &policy.retry;
    let attempt = u32::try_from(row.attempts.max(1)).unwrap_or(1);
    let mut delay_ms = retry.delay_ms(attempt).max(wish.map_or(0, millis));
    if let Some(max_elapsed) = retry.max_elapsed_ms {
        let since = row.failing_since_ms.unwrap_or(now_ms);
        let elapsed = u64::try_from(now_ms - since).unwrap_or(0);
        if elapsed >= max_elapsed {
            let failure = Failure::retry_time_exceeded(Some(&failure));
            return (Closed::Refused(failure), RowEnd::Failed);
        }
        delay_ms = delay_ms.min(max_elapsed - elapsed);
    }
    let end = RowEnd::Retry {
        failure: failure.clone(),
        delay: Duration::from_millis(delay_ms),
    };
    (Closed::Transient { failure, delay_ms }, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{failure, row};
    use model::document::Retry;

    #[test]
    fn transient_failures_follow_the_retry_policy() {
        let policy = |max_elapsed_ms| Policy {
            retry: Retry {
                initial_interval_ms: 1_000,
                backoff: 2.0,
                max_interval_ms: 30_000,
                max_elapsed_ms,
            },
            ..Policy::default()
        };
        // attempts, failing since, max elapsed, wish of the cluster (s) ⇒ delay, None = Failed
        let cases = [
            (1, None, None, None, Some(1_000)),
            (3, Some(0), None, None, Some(4_000)),
            (9, Some(0), None, None, Some(30_000)),
            (1, None, None, Some(7), Some(7_000)),
            (9, Some(0), None, Some(7), Some(30_000)),
            // The last attempt comes when the time is over, not before and not long after.
            (3, Some(8_000), Some(5_000), None, Some(3_000)),
            (3, Some(5_000), Some(5_000), None, None),
            (3, Some(1_000), Some(5_000), None, None),
        ];
        for (attempts, since, max_elapsed, wish, expected) in cases {
            let mut row = row(1);
            row.attempts = attempts;
            row.failing_since_ms = since;
            let wish = wish.map(Duration::from_secs);
            let (closed, end) =
                transient(&row, &policy(max_elapsed), failure("timeout"), wish, 10_000);
            match (closed, end, expected) {
                (Closed::Transient { delay_ms, .. }, RowEnd::Retry { delay, .. }, Some(ms)) => {
                    assert_eq!((delay_ms, delay), (ms, Duration::from_millis(ms)));
                }
                (Closed::Refused(failure), RowEnd::Failed, None) => {
                    assert_eq!(failure.code, "retryTimeExceeded")
                }
                other => panic!("attempt {attempts}, since {since:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn outcomes_gather_rows_by_what_became_of_them() {
        let mut ended = Ended::default();
        for (row, end) in [
            (
                7,
                RowEnd::Retry {
                    failure: failure("b"),
                    delay: Duration::from_secs(2),
                },
            ),
            (1, RowEnd::Done),
            (
                3,
                RowEnd::Retry {
                    failure: failure("a"),
                    delay: Duration::from_secs(1),
                },
            ),
            (4, RowEnd::Failed),
            (6, RowEnd::Again(Duration::from_millis(20))),
            (5, RowEnd::Unreachable),
            (8, RowEnd::Waiting),
            (9, RowEnd::Left),
        ] {
            ended.add(row, end);
        }
        let Ended { outcome, retry } = ended.sorted();
        assert_eq!(
            (outcome.retry, outcome.failed, outcome.again),
            (vec![3, 7], vec![4], vec![5, 6])
        );
        assert_eq!(
            (outcome.waiting, outcome.left, outcome.again_ms),
            (vec![8], vec![9], 20)
        );
        assert!(outcome.unreachable && !outcome.superseded && !outcome.drained);
        assert_eq!(retry.map(|(failure, _)| failure.code), Some("a".to_owned()));
    }
}
