//! The activities without Temporal: one method per body, and what every step needs first.

use crate::{
    apply,
    attempts::Job,
    clusters::hello::NotReady,
    collect,
    config::ActivitiesConfig,
    delete, gone, look, prove, reachable,
    shared::Shared,
    step::{Ended, RowEnd},
};
use futures::future::BoxFuture;
use model::document::OnFailure;
use std::{sync::Arc, time::Duration};
use store::{Store, StoreError};
use temporalio_sdk::WorkerOptions;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use workflows::contract::{CollectInput, Collected, Proof, ProveInput, ReachableInput, Step};

/// Every side effect of a lifecycle. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Activities {
    pub(crate) shared: Arc<Shared>,
}

/// A step function: apply, look, delete.
type Body = for<'a> fn(&'a Arc<Job>) -> BoxFuture<'a, Result<Ended, StoreError>>;

impl Activities {
    /// Must be called within a tokio runtime.
    pub fn new(store: Store, config: ActivitiesConfig) -> Self {
        Self {
            shared: Arc::new(Shared::new(store, config)),
        }
    }

    /// Adds every activity to a worker's options.
    pub fn register(&self, options: &mut WorkerOptions) {
        options.register_activities(self.clone());
    }

    /// Cancelled when the worker begins to stop: new steps then send nothing and answer `drained`,
    /// those in flight finish.
    pub fn stop(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// Runs an apply step: the body without Temporal.
    pub async fn run_apply(&self, step: Step) -> Result<Ended, StoreError> {
        self.step("apply", step, |job| Box::pin(apply::apply(job)))
            .await
    }

    /// Runs a look step: the body without Temporal.
    pub async fn run_look(&self, step: Step) -> Result<Ended, StoreError> {
        self.step("look", step, |job| Box::pin(look::look(job)))
            .await
    }

    /// Runs a delete step: the body without Temporal.
    pub async fn run_delete(&self, step: Step) -> Result<Ended, StoreError> {
        self.step("delete", step, |job| Box::pin(delete::delete(job)))
            .await
    }

    /// Runs one look of `gone`: the body without Temporal.
    pub async fn run_gone(&self, step: Step, waited: Duration) -> Result<gone::Waited, StoreError> {
        let none = |ended| gone::Waited { ended, still: None };
        if self.shared.stop.is_cancelled() {
            return Ok(none(Ended::drained(&step)));
        }
        match self.job(step).await? {
            Ok(job) => gone::gone(&job, waited).await,
            Err(ended) => Ok(none(ended)),
        }
    }

    /// Runs a proof with so long for each request: the body without Temporal.
    pub async fn run_prove(
        &self,
        input: ProveInput,
        within: Duration,
    ) -> Result<Proof, prove::Unproven> {
        prove::prove(&self.shared, &input, within).await
    }

    /// Runs one visit of the collector: the body without Temporal.
    pub async fn run_collect(
        &self,
        input: CollectInput,
        within: Duration,
    ) -> Result<Collected, StoreError> {
        collect::collect(&self.shared, &input, within).await
    }

    /// Runs one look at a parked cluster: the body without Temporal.
    pub async fn run_reachable(
        &self,
        input: ReachableInput,
    ) -> Result<reachable::Looked, StoreError> {
        reachable::look(&self.shared, &input).await
    }

    /// The work runs in a task of its own: requests in flight are awaited and closed even if
    /// Temporal drops the activity (a dropped request is Ambiguous).
    async fn step(&self, name: &'static str, step: Step, body: Body) -> Result<Ended, StoreError> {
        if self.shared.stop.is_cancelled() {
            return Ok(Ended::drained(&step));
        }
        let span = tracing::info_span!(
            "step", activity = name, context = %step.context, cluster = %step.cluster, rows = ?step.rows, promoted = step.promoted
        );
        // A local attempt would be given up before its answer can be there, or hold up the
        // workflow's task.
        if !step.promoted && self.shared.clusters.of(&step.cluster).is_slow() {
            return Ok(Ended::promoted(&step));
        }
        let activities = self.clone();
        let work = async move {
            match activities.job(step).await? {
                Ok(job) => {
                    let mut ended = body(&job).await?.sorted();
                    // The store has moved the fence: told at once, not by the next open.
                    ended.outcome.superseded |= job.policy.on_failure == OnFailure::FailFast
                        && name != "delete"
                        && !ended.outcome.failed.is_empty();
                    Ok(ended)
                }
                Err(ended) => Ok(ended),
            }
        };
        match tokio::spawn(work.instrument(span)).await {
            Ok(result) => result,
            Err(panicked) => Err(StoreError::Db(panicked.into())),
        }
    }

    /// The step's cluster and policy; `Err` when nothing can be done now.
    async fn job(&self, step: Step) -> Result<Result<Arc<Job>, Ended>, StoreError> {
        let context = match self.shared.context(&step.context, step.fence).await {
            Ok(context) => context,
            Err(StoreError::NotFound { .. }) => return Ok(Err(Ended::superseded())),
            Err(error) => return Err(error),
        };
        if context.fence != step.fence {
            return Ok(Err(Ended::superseded()));
        }
        let cluster = self.shared.clusters.of(&step.cluster);
        let ready = cluster.ready().await;
        let slow = cluster.is_slow();
        match ready {
            Ok(link) => Ok(Ok(Arc::new(Job {
                shared: self.shared.clone(),
                cluster,
                link,
                policy: context.policy.clone(),
                timeout: Job::timeout_of(&step, slow),
                step,
            }))),
            Err(NotReady::Parked(_)) => {
                let mut ended = Ended::default();
                step.rows
                    .iter()
                    .for_each(|&row| ended.add(row, RowEnd::Unreachable));
                Ok(Err(ended))
            }
            Err(NotReady::Store(error)) => Err(error),
        }
    }
}
