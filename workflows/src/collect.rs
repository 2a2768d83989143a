//! The collector's workflow, one per cluster that has a reason to be visited (protocol §7).

use crate::{
    contract::{CollectInput, Collected, Defs},
    limits,
};
use temporalio_common::RetryPolicy;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ActivityOptions, ContinueAsNewOptions, SyncWorkflowContext, WorkflowContext,
    WorkflowContextView, WorkflowResult,
};

/// Visits a cluster until nothing more was asked for.
#[workflow]
pub struct Collect {
    input: CollectInput,
    asked: u32,
}

#[workflow_methods]
impl Collect {
    #[init]
    pub fn new(_: &WorkflowContextView, input: CollectInput) -> Self {
        Self { input, asked: 0 }
    }

    #[run(name = "Collect")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        loop {
            let (input, asked) = ctx.state(|s| (s.input.clone(), s.asked));
            if ctx.continue_as_new_suggested() {
                ctx.continue_as_new(input, ContinueAsNewOptions::default())?;
                continue;
            }
            let visit = ctx.execute_activity(Defs::collect, input, visiting()).await;
            // A visit that did not work is followed by the next one that is due.
            let Collected { more, .. } = visit.unwrap_or_default();
            if !more && ctx.state(|s| s.asked) == asked {
                return Ok(());
            }
        }
    }

    #[signal(name = "collect")]
    pub fn asked_again(&mut self, _: &mut SyncWorkflowContext<Self>, _: CollectInput) {
        self.asked += 1;
    }
}

fn visiting() -> ActivityOptions {
    let retry = RetryPolicy::builder()
        .initial_interval(limits::PROBE_INITIAL)
        .backoff_coefficient(limits::PROBE_BACKOFF)
        .maximum_interval(limits::PROBE_MAX)
        .maximum_attempts(limits::COLLECT_ATTEMPTS)
        .build();
    ActivityOptions::with_start_to_close_timeout(limits::COLLECT_START_TO_CLOSE)
        .heartbeat_timeout(limits::REGULAR_HEARTBEAT)
        .task_queue(limits::WATCH_QUEUE)
        .retry_policy(retry)
        .build()
}
