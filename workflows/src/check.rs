//! `CheckCluster`: one look at a cluster on behalf of a person who waits for the answer.

use crate::{
    contract::{CheckInput, Checked, Defs},
    limits,
};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{ActivityOptions, RetryPolicy, WorkflowContext, WorkflowResult};

/// Looks once; a worker that dies meanwhile costs the caller its patience, nothing else.
#[workflow]
#[derive(Default)]
pub struct CheckCluster;

#[workflow_methods]
impl CheckCluster {
    #[run(name = "CheckCluster")]
    pub async fn run(
        ctx: &mut WorkflowContext<Self>,
        input: CheckInput,
    ) -> WorkflowResult<Checked> {
        let options = ActivityOptions::with_start_to_close_timeout(limits::CHECK_TIMEOUT)
            .task_queue(limits::WATCH_QUEUE)
            .retry_policy(RetryPolicy::builder().maximum_attempts(2).build())
            .build();
        Ok(ctx.execute_activity(Defs::check, input, options).await?)
    }
}
