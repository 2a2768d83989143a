//! Performs what a driver wants, on Temporal.

use crate::{
    completions::Completions,
    contract::{
        AppWork, Defs, Fenced, NoteInput, ReachableInput, ReadyInput, SliceInput, Step, StepOutcome,
    },
    drive::{Act, Action, Done, Driver, Flight},
    lifecycle::Slice,
    limits,
};
use futures_util::{StreamExt, future::LocalBoxFuture};
use model::{document::Retry, state::Goal};
use std::{future::Future, time::Duration};
use temporalio_common::{ActivityDefinition, RetryPolicy, data_converters::TemporalDeserializable};
use temporalio_workflow::{
    ActivityCancellationType, ActivityOptions, ChildWorkflowOptions, LocalActivityOptions,
    ParentClosePolicy, TimerOptions, WorkflowCancellationToken, WorkflowContext,
};

/// What a drive needs to know beside its rows.
#[derive(Debug, Clone)]
pub struct Drive {
    pub fenced: Fenced,
    pub goal: Goal,
    pub retry: Retry,
    /// What slices are told of the order of apps.
    pub apps: Vec<AppWork>,
}

/// How a drive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The goal moved while it ran.
    pub superseded: bool,
    pub failed: bool,
}

/// Runs a driver to its end, or until `moved` completes; then waits for what is in flight.
pub async fn run<W: 'static>(
    ctx: &WorkflowContext<W>,
    drive: &Drive,
    driver: &mut dyn Driver,
    moved: impl Future<Output = ()> + 'static,
) -> Ended {
    // Detached: Temporal's own cancel never changes a goal (protocol §1).
    let token = WorkflowCancellationToken::new();
    let mut flights: Completions<LocalBoxFuture<'static, Option<(Flight, Done)>>> =
        Completions::default();
    flights.push(Box::pin(async move {
        moved.await;
        None
    }));
    let mut results = 0_u32;
    let mut in_flight = 0_usize;
    loop {
        while let Some((flight, action)) = driver.next() {
            in_flight += 1;
            flights.push(Box::pin(perform(
                ctx.clone(),
                drive.clone(),
                token.clone(),
                flight,
                action,
            )));
        }
        if driver.finished() {
            break;
        }
        match flights.next().await {
            Some(Some((flight, done))) => {
                in_flight -= 1;
                driver.done(flight, done);
            }
            Some(None) => driver.stop(),
            None => break,
        }
        if driver.stopping() && !token.is_cancelled() {
            token.cancel_with_reason("the goal moved");
        }
        if ctx.continue_as_new_suggested() {
            // The history grows long: end this drive, the loop goes on in a new run.
            driver.stop();
        }
        results += 1;
        if results.is_multiple_of(limits::RESULTS_PER_TASK) {
            // Ends the task: the markers of one task travel in one message.
            pause(ctx, Duration::from_millis(1)).await;
        }
    }
    // What is waited for on behalf of apps that will not start: nobody needs it any more.
    if in_flight > 0 && !token.is_cancelled() {
        token.cancel_with_reason("nobody waits for it any more");
    }
    while in_flight > 0 {
        match flights.next().await {
            Some(Some(_)) => in_flight -= 1,
            Some(None) => driver.stop(),
            None => break,
        }
    }
    Ended {
        superseded: driver.stopping(),
        failed: driver.failed(),
    }
}

/// A timer that only its own end stops.
pub async fn pause<W: 'static>(ctx: &WorkflowContext<W>, duration: Duration) {
    let token = WorkflowCancellationToken::new();
    ctx.timer(
        TimerOptions::builder(duration)
            .cancellation_token(token)
            .build(),
    )
    .await;
}

async fn perform<W: 'static>(
    ctx: WorkflowContext<W>,
    drive: Drive,
    token: WorkflowCancellationToken,
    flight: Flight,
    action: Action,
) -> Option<(Flight, Done)> {
    let Drive {
        fenced,
        goal,
        retry,
        apps,
    } = drive;
    let step = |cluster, rows, promoted| Step {
        context: fenced.context.clone(),
        fence: fenced.fence,
        cluster,
        rows,
        promoted,
    };
    let done = match action {
        Action::Step { act, cluster, rows } => {
            let step = step(cluster, rows, false);
            let local = match (act, goal) {
                (Act::Look, _) => {
                    ctx.execute_local_activity(Defs::look, step.clone(), local())
                        .await
                }
                (Act::Send, Goal::Apply) => {
                    ctx.execute_local_activity(Defs::apply, step.clone(), local())
                        .await
                }
                (Act::Send, Goal::Delete) => {
                    ctx.execute_local_activity(Defs::delete, step.clone(), local())
                        .await
                }
            };
            match local {
                Ok(outcome) => Done::Step(outcome),
                // The store did not answer, or the activity timed out: wait for it visibly, and
                // without an event for every attempt.
                Err(_) => regular_step(&ctx, act, goal, step, regular(&own_retry(), &token)).await,
            }
        }
        Action::Promoted { act, cluster, rows } => {
            regular_step(
                &ctx,
                act,
                goal,
                step(cluster, rows, true),
                regular(&policy(&retry), &token),
            )
            .await
        }
        Action::Gone { cluster, rows } => {
            let options = waiting(&token);
            match ctx
                .execute_activity(Defs::gone, step(cluster, rows, false), options)
                .await
            {
                Ok(outcome) => Done::Step(outcome),
                Err(_) => Done::Lost,
            }
        }
        Action::Reachable { cluster, app } => {
            let input = ReachableInput {
                context: fenced.context,
                fence: fenced.fence,
                cluster,
                app,
            };
            match ctx
                .execute_activity(Defs::reachable, input, waiting(&token))
                .await
            {
                Ok(outcome) => Done::Reachable(outcome),
                Err(_) => Done::Lost,
            }
        }
        Action::Ready { app } => {
            let input = ReadyInput {
                context: fenced.context,
                fence: fenced.fence,
                app,
            };
            match ctx
                .execute_activity(Defs::ready, input, waiting(&token))
                .await
            {
                Ok(outcome) => Done::Ready(outcome),
                Err(_) => Done::Lost,
            }
        }
        Action::Pause { ms } => {
            ctx.timer(
                TimerOptions::builder(Duration::from_millis(ms))
                    .cancellation_token(token)
                    .build(),
            )
            .await;
            Done::Fired
        }
        Action::Note { target, blocked_by } => {
            let input = NoteInput {
                context: fenced.context,
                fence: fenced.fence,
                target,
                blocked_by,
            };
            // What is shown as waiting may lag; it never holds up the work.
            let _ = ctx.execute_local_activity(Defs::note, input, local()).await;
            Done::Fired
        }
        Action::Slice(slice) => {
            let id = format!(
                "{}/{}/{}-{}",
                ctx.workflow_id(),
                fenced.fence.0,
                slice.from,
                slice.to
            );
            let input = SliceInput {
                context: fenced.context,
                fence: fenced.fence,
                goal,
                slice,
                retry,
                apps,
            };
            let options = ChildWorkflowOptions::builder()
                .workflow_id(id)
                .parent_close_policy(ParentClosePolicy::RequestCancel)
                .task_timeout(limits::WORKFLOW_TASK_TIMEOUT)
                .cancellation_token(token)
                .build();
            match ctx.start_child_workflow(Slice::run, input, options).await {
                Ok(started) => started.result().await.map_or(Done::Lost, Done::Slice),
                Err(_) => Done::Lost,
            }
        }
    };
    Some((flight, done))
}

async fn regular_step<W: 'static>(
    ctx: &WorkflowContext<W>,
    act: Act,
    goal: Goal,
    step: Step,
    options: ActivityOptions,
) -> Done {
    let result: Result<StepOutcome, _> = match (act, goal) {
        (Act::Look, _) => ctx.execute_activity(Defs::look, step, options).await,
        (Act::Send, Goal::Apply) => ctx.execute_activity(Defs::apply, step, options).await,
        (Act::Send, Goal::Delete) => ctx.execute_activity(Defs::delete, step, options).await,
    };
    result.map_or(Done::Lost, Done::Step)
}

/// Runs a short activity until it answers: locally, then as a regular one for as long as it takes.
pub async fn sure<W, AD>(
    ctx: &WorkflowContext<W>,
    activity: impl Fn() -> AD,
    input: AD::Input,
) -> Option<AD::Output>
where
    W: 'static,
    AD: ActivityDefinition,
    AD::Input: Clone,
    AD::Output: TemporalDeserializable,
{
    match ctx
        .execute_local_activity(activity(), input.clone(), local())
        .await
    {
        Ok(output) => Some(output),
        Err(_) => {
            let token = WorkflowCancellationToken::new();
            ctx.execute_activity(activity(), input, regular(&own_retry(), &token))
                .await
                .ok()
        }
    }
}

fn local() -> LocalActivityOptions {
    LocalActivityOptions::builder()
        .start_to_close_timeout(limits::LOCAL_START_TO_CLOSE)
        .retry_policy(RetryPolicy::builder().maximum_attempts(1).build())
        .cancellation_token(WorkflowCancellationToken::new())
        .build()
}

fn regular(retry: &RetryPolicy, token: &WorkflowCancellationToken) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(limits::REGULAR_START_TO_CLOSE)
        .heartbeat_timeout(limits::REGULAR_HEARTBEAT)
        .retry_policy(retry.clone())
        // A request on its way is awaited by the activity itself and delays only its own row.
        .cancellation_type(ActivityCancellationType::TryCancel)
        .cancellation_token(token.clone())
        .build()
}

pub fn waiting(token: &WorkflowCancellationToken) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(limits::AWAIT_START_TO_CLOSE)
        .task_queue(limits::WATCH_QUEUE)
        .retry_policy(own_retry())
        .cancellation_type(ActivityCancellationType::TryCancel)
        .cancellation_token(token.clone())
        .build()
}

/// A long activity that says that it is alive.
pub fn watching(token: &WorkflowCancellationToken) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(limits::WATCH_START_TO_CLOSE)
        .heartbeat_timeout(limits::WATCH_HEARTBEAT)
        .task_queue(limits::WATCH_QUEUE)
        .retry_policy(own_retry())
        .cancellation_type(ActivityCancellationType::TryCancel)
        .cancellation_token(token.clone())
        .build()
}

fn policy(retry: &Retry) -> RetryPolicy {
    RetryPolicy::builder()
        .initial_interval(Duration::from_millis(retry.initial_interval_ms))
        .backoff_coefficient(retry.backoff)
        .maximum_interval(Duration::from_millis(retry.max_interval_ms))
        .build()
}

/// For what the store or the worker itself is to blame.
fn own_retry() -> RetryPolicy {
    policy(&Retry {
        max_interval_ms: 5_000,
        ..Retry::default()
    })
}
