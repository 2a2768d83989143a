//! The activities as Temporal calls them: each a thin shell around a plain function, with what it
//! guarantees, what it assumes, and how it fails.

use crate::{
    activities::Activities,
    check, gone, prove, reachable, ready, run,
    step::{Ended, RowEnd},
    watch,
};
use model::{failure::Failure, state::ResourceState};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use store::StoreError;
use temporalio_common::{ActivityError, error::ApplicationFailure};
use temporalio_sdk::activities::{ActivityContext, activities};
use workflows::{
    contract::{
        Begin, BeginInput, CheckInput, Checked, CollectInput, Collected, Fenced, NoteInput,
        OutlineInput, Permit, Proof, ProveInput, Reachable, ReachableInput, Ready, ReadyInput,
        Settle, Step, StepOutcome, WatchInput, Watched, definitions,
    },
    limits::{LOCAL_REQUEST_TIMEOUT, REGULAR_REQUEST_TIMEOUT, WATCH_ROUND},
};

/// A regular activity tells Temporal that it is alive this often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A cluster that refuses to list is asked again after so long.
const PROVE_AGAIN: Duration = Duration::from_secs(2);
/// The store did not answer: the step is repeated after so long.
const STORE_AGAIN: Duration = Duration::from_millis(500);

impl Activities {
    /// A step as an activity: local ones answer with data, promoted ones fail while transient.
    async fn as_activity<F>(
        &self,
        ctx: &ActivityContext,
        step: Step,
        work: F,
    ) -> Result<StepOutcome, ActivityError>
    where
        F: Future<Output = Result<Ended, StoreError>>,
    {
        if !step.promoted {
            return Ok(match beating(ctx, work).await {
                Ok(ended) => ended.outcome,
                Err(StoreError::NotFound { .. }) => Ended::superseded().outcome,
                Err(error) => {
                    tracing::warn!(context = %step.context, cluster = %step.cluster, %error, "the store did not answer");
                    let mut ended = Ended::default();
                    step.rows
                        .iter()
                        .for_each(|&row| ended.add(row, RowEnd::Again(STORE_AGAIN)));
                    ended.outcome
                }
            });
        }
        if ctx.info().attempt == 1
            && let Some((failure, delay)) = beating(ctx, self.carried(&step)).await?
        {
            return Err(retry(&failure, delay));
        }
        let ended = beating(ctx, work).await.map_err(stored)?;
        match ended.retry {
            Some((failure, delay)) if !ended.outcome.superseded && !ended.outcome.unreachable => {
                Err(retry(&failure, delay))
            }
            _ => Ok(ended.outcome),
        }
    }

    /// What a promoted step fails with at first: the rows' error, and what is left of their delay.
    async fn carried(&self, step: &Step) -> Result<Option<(Failure, Duration)>, ActivityError> {
        let rows = self
            .shared
            .store
            .rows(&step.context, &step.rows)
            .await
            .map_err(stored)?;
        let now = crate::clusters::clock::wall_ms();
        let waiting = rows
            .into_iter()
            .filter(|row| matches!(row.state, ResourceState::Retrying(_)))
            .filter_map(|row| {
                let left = u64::try_from(row.next_attempt_ms? - now)
                    .ok()
                    .filter(|left| *left > 0)?;
                Some((row.error?, Duration::from_millis(left)))
            });
        Ok(waiting.min_by_key(|(_, delay)| *delay))
    }
}

/// Heartbeats while the work goes on; every regular activity must (a local one has none to give).
async fn beating<T>(ctx: &ActivityContext, work: impl Future<Output = T>) -> T {
    let mut beat = tokio::time::interval(HEARTBEAT);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = beat.tick() => {
                // A heartbeat that cannot be written shows as a heartbeat time-out; nothing to add.
                let _ = ctx.record_heartbeat(()).await;
            }
        }
    }
}

/// A failure that Temporal retries after a delay of ours; code and message are what users see.
fn retry(failure: &Failure, delay: Duration) -> ActivityError {
    ActivityError::application(
        ApplicationFailure::builder(failure.message.clone())
            .type_name(failure.code.clone())
            .next_retry_delay(delay)
            .build(),
    )
}

/// The store did not do it. What is refused for good would be refused again.
fn stored(error: StoreError) -> ActivityError {
    let for_good = matches!(
        error,
        StoreError::NotFound { .. } | StoreError::WrongKey(_) | StoreError::Newer(_)
    );
    tracing::warn!(%error, "the store did not do it");
    ActivityError::application(
        ApplicationFailure::builder(error)
            .type_name("store".to_owned())
            .non_retryable(for_good)
            .next_retry_delay(STORE_AGAIN)
            .build(),
    )
}

/// How long the activity has been waited for, all its attempts included.
fn waited(ctx: &ActivityContext) -> Duration {
    ctx.info()
        .scheduled_time
        .and_then(|at| SystemTime::now().duration_since(at).ok())
        .unwrap_or_default()
}

#[activities]
impl Activities {
    /// Reads the goal; takes a new fence once per run id (protocol §4).
    ///
    /// # Guarantees
    /// Repeated under one run id it answers the same fence. Small contexts come with their rows,
    /// large ones with lanes of slices.
    /// # Assumptions
    /// None.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Begin)]
    pub async fn begin(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: BeginInput,
    ) -> Result<Begin, ActivityError> {
        beating(&ctx, run::begin(&self.shared, &input))
            .await
            .map_err(stored)
    }

    /// Fires PreTerminate → Terminating when no older attempt can still leave (protocol §6).
    ///
    /// # Guarantees
    /// `Granted` only after every attempt of an older fence is closed or past its send window.
    /// # Assumptions
    /// Workers keep the window: the gate below their connections does.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Permit)]
    pub async fn permit(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: Fenced,
    ) -> Result<Permit, ActivityError> {
        beating(&ctx, run::permit(&self.shared, &input))
            .await
            .map_err(stored)
    }

    /// The rows of a slice that are not in the target.
    ///
    /// # Guarantees
    /// Reads only. Empty when the fence moved.
    /// # Assumptions
    /// None.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Outline)]
    pub async fn outline(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: OutlineInput,
    ) -> Result<model::plan::Outline, ActivityError> {
        beating(&ctx, run::outline(&self.shared, &input))
            .await
            .map_err(stored)
    }

    /// Finds what exists before a wave is applied (protocol §5.1).
    ///
    /// # Guarantees
    /// Changes nothing on the cluster. A foreign object's row is Failed (or adopted) when this
    /// answers; rows it could not look for are in `again`, Retrying with the error.
    /// # Assumptions
    /// The wave is applied only after its look.
    /// # Errors
    /// None as failures: everything is in the outcome.
    #[activity(definition = definitions::Look)]
    pub async fn look(
        self: Arc<Self>,
        ctx: ActivityContext,
        step: Step,
    ) -> Result<StepOutcome, ActivityError> {
        let work = self.run_look(step.clone());
        self.as_activity(&ctx, step, work).await
    }

    /// Server-side apply of the rows (protocol §5.2–5.5).
    ///
    /// # Guarantees
    /// Each send is recorded before its first byte leaves, under the current fence, and leaves
    /// within the send window or not at all. Applying again changes nothing. Foreign Namespaces and
    /// CRDs are used, never labelled. A CRD is Applied only once Established.
    /// # Assumptions
    /// `look` ran for the wave.
    /// # Errors
    /// Local: none, everything is in the outcome. Promoted: fails with the row's code and message
    /// and our delay while transient; the first attempt sends nothing.
    #[activity(definition = definitions::Apply)]
    pub async fn apply(
        self: Arc<Self>,
        ctx: ActivityContext,
        step: Step,
    ) -> Result<StepOutcome, ActivityError> {
        let work = self.run_apply(step.clone());
        self.as_activity(&ctx, step, work).await
    }

    /// Delete of the rows (protocol §6).
    ///
    /// # Guarantees
    /// Deletes only objects with our label, exactly the one it saw (uid precondition). A row is
    /// Deleted only by an absence seen when no lost apply could arrive any more. Namespaces and CRDs
    /// go with the last context, and only without foreign content.
    /// # Assumptions
    /// Shared rows are given after all others of the cluster.
    /// # Errors
    /// As [`apply`](Self::apply).
    #[activity(definition = definitions::Delete)]
    pub async fn delete(
        self: Arc<Self>,
        ctx: ActivityContext,
        step: Step,
    ) -> Result<StepOutcome, ActivityError> {
        let work = self.run_delete(step.clone());
        self.as_activity(&ctx, step, work).await
    }

    /// Waits until accepted deletes are gone; fails with a delay until then.
    ///
    /// # Guarantees
    /// Holds nothing between looks. A row is Deleted by an absence as in [`delete`](Self::delete).
    /// After the DIG's `deleteTimeout` a row is Failed with what it waits for. When it ends before
    /// all are gone, the outcome names every row that is still there.
    /// # Assumptions
    /// A regular activity: the delays (25 ms to 5 s) are Temporal's retries.
    /// # Errors
    /// `finalizers` or `deleting` with a delay, while objects are there.
    #[activity(definition = definitions::Gone)]
    pub async fn gone(
        self: Arc<Self>,
        ctx: ActivityContext,
        step: Step,
    ) -> Result<StepOutcome, ActivityError> {
        let result = beating(&ctx, self.run_gone(step, waited(&ctx)))
            .await
            .map_err(stored)?;
        let outcome = &result.ended.outcome;
        let leave = outcome.superseded || outcome.drained || outcome.unreachable;
        let delay = gone::delay(ctx.info().attempt);
        match (result.still, result.ended.retry) {
            (Some(still), _) if !leave => Err(retry(&still, delay)),
            (None, Some((failure, due))) if !leave => Err(retry(&failure, due.max(delay))),
            _ => Ok(result.ended.outcome),
        }
    }

    /// Waits for a parked cluster; fails with a delay until then (protocol §8).
    ///
    /// # Guarantees
    /// At most one probe per interval over all workers. A successful probe of another worker is
    /// noticed within 2 s.
    /// # Assumptions
    /// A regular activity: the delays are Temporal's retries.
    /// # Errors
    /// The cluster's error with a delay, while it is parked.
    #[activity(definition = definitions::Reachable)]
    pub async fn reachable(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ReachableInput,
    ) -> Result<Reachable, ActivityError> {
        match beating(&ctx, self.run_reachable(input)).await {
            Ok(reachable::Looked::Known(answer)) => Ok(answer),
            Ok(reachable::Looked::NotYet { failure, delay }) => Err(retry(&failure, delay)),
            Err(StoreError::NotFound { .. }) => Ok(Reachable::Superseded),
            Err(error) => Err(stored(error)),
        }
    }

    /// Waits for readiness; fails with a delay until then.
    ///
    /// # Guarantees
    /// Asks the store only, and holds nothing between looks, which are at most a second apart. A
    /// whole context is waited for as long as its policy says, an app for as long as it takes.
    /// # Assumptions
    /// A regular activity: the delays are Temporal's retries. Watchers write what they see.
    /// # Errors
    /// `notReady` with a delay, while something is.
    #[activity(definition = definitions::Ready)]
    pub async fn ready(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ReadyInput,
    ) -> Result<Ready, ActivityError> {
        match beating(&ctx, ready::look(&self.shared, &input)).await {
            Ok(ready::Looked::Known(answer)) => Ok(answer),
            Ok(ready::Looked::NotYet(failure)) => {
                Err(retry(&failure, ready::delay(ctx.info().attempt)))
            }
            Err(StoreError::NotFound { .. }) => Ok(Ready::Superseded),
            Err(error) => Err(stored(error)),
        }
    }

    /// Watches the objects of a cluster for as long as anybody wants to know (design §4).
    ///
    /// # Guarantees
    /// One watcher per cluster writes: an earlier one's facts are void as soon as the next begins.
    /// Facts move no state. A connection that is lost or silent is made anew, a version that is too
    /// old listed anew, a cluster that does not answer parked and probed like for everybody.
    /// # Assumptions
    /// A regular activity with heartbeats: without them Temporal starts it elsewhere.
    /// # Errors
    /// The store does not answer when it begins: retryable.
    #[activity(definition = definitions::Watch)]
    pub async fn watch(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: WatchInput,
    ) -> Result<Watched, ActivityError> {
        let watching = watch::watch(&self.shared, &input.cluster, WATCH_ROUND);
        beating(&ctx, watching).await.map_err(stored)
    }

    /// Records what an app or rows wait for.
    ///
    /// # Guarantees
    /// Nothing but the note changes; a moved fence makes it void.
    /// # Assumptions
    /// None.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Note)]
    pub async fn note(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: NoteInput,
    ) -> Result<(), ActivityError> {
        beating(&ctx, run::note(&self.shared, &input))
            .await
            .map_err(stored)
    }

    /// Lists the context's objects on some clusters: none may be left (protocol §6).
    ///
    /// # Guarantees
    /// Consistent lists of every kind used, Pods and ReplicaSets too; where lists are forbidden, the
    /// rows' objects one by one. What is found goes back to Pending(Delete).
    /// # Assumptions
    /// Every row is Deleted.
    /// # Errors
    /// A cluster refuses to list, or is too slow, and no other has anything left to be done: its
    /// code, retried every 2 s.
    #[activity(definition = definitions::Prove)]
    pub async fn prove(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: ProveInput,
    ) -> Result<Proof, ActivityError> {
        // Locally as briefly as any other; what is too slow for that goes on as a regular activity.
        let within = if ctx.info().is_local {
            LOCAL_REQUEST_TIMEOUT
        } else {
            REGULAR_REQUEST_TIMEOUT
        };
        beating(&ctx, self.run_prove(input, within))
            .await
            .map_err(|error| match error {
                prove::Unproven::Store(error) => stored(error),
                prove::Unproven::Refused { cluster, failure } => {
                    let message = format!("{cluster}: {}", failure.message);
                    retry(
                        &Failure {
                            code: failure.code,
                            message,
                        },
                        PROVE_AGAIN,
                    )
                }
            })
    }

    /// Looks whether a cluster can be used, on behalf of a person who waits.
    ///
    /// # Guarantees
    /// Changes nothing, on the cluster or in the store. Answers within [`workflows::limits::CHECK_TIMEOUT`]: what was
    /// not found out by then is the answer.
    /// # Assumptions
    /// None.
    /// # Errors
    /// The store does not answer, or knows no such cluster.
    #[activity(definition = definitions::Check)]
    pub async fn check(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CheckInput,
    ) -> Result<Checked, ActivityError> {
        beating(&ctx, check::check(&self.shared, &input.cluster))
            .await
            .map_err(stored)
    }

    /// Collects what a cluster holds of lives that have ended (protocol §7).
    ///
    /// # Guarantees
    /// Deletes only what carries the label of a life that is Terminated, or of an entry that somebody
    /// wants collected, and only the very object it saw. What is of an unknown life is entered into
    /// the ledger, nothing more.
    /// # Assumptions
    /// None; any number may run at once.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Collect)]
    pub async fn collect(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: CollectInput,
    ) -> Result<Collected, ActivityError> {
        beating(&ctx, self.run_collect(input, REGULAR_REQUEST_TIMEOUT))
            .await
            .map_err(stored)
    }

    /// Folds the rows into the context's state.
    ///
    /// # Guarantees
    /// Compare-and-set on fence and state: it settles at most once per fence.
    /// # Assumptions
    /// None.
    /// # Errors
    /// The store does not answer: retryable.
    #[activity(definition = definitions::Settle)]
    pub async fn settle(
        self: Arc<Self>,
        ctx: ActivityContext,
        input: Fenced,
    ) -> Result<Settle, ActivityError> {
        beating(&ctx, run::settle(&self.shared, &input))
            .await
            .map_err(stored)
    }
}
