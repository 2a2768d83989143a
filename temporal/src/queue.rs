//! Who asks a task queue for work.

use crate::{Boxed, Client, TemporalError};
use std::time::{Duration, SystemTime};
use temporalio_client::{grpc::WorkflowService, tonic::IntoRequest};
use temporalio_protos::temporal::api::{
    enums::v1::{TaskQueueKind, TaskQueueType},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::DescribeTaskQueueRequest,
};

const RPC_TIMEOUT: Duration = Duration::from_secs(3);

/// A task queue as the server sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// How long ago somebody last asked it for workflow tasks; `None` if nobody did for minutes.
    /// A worker that waits for work asks about once a minute.
    pub asked: Option<Duration>,
    /// How long its oldest task has been waiting; `None` if none waits.
    pub oldest: Option<Duration>,
}

impl Client {
    /// The workflow tasks of a queue.
    ///
    /// # Errors
    /// Transient when the server does not answer.
    pub fn queue<'a>(&'a self, name: &'a str) -> Boxed<'a, Result<Queue, TemporalError>> {
        Box::pin(async move {
            let mut request = DescribeTaskQueueRequest {
                namespace: self.namespace().to_owned(),
                task_queue: Some(TaskQueue {
                    name: name.to_owned(),
                    kind: TaskQueueKind::Normal.into(),
                    ..Default::default()
                }),
                task_queue_type: TaskQueueType::Workflow.into(),
                report_stats: true,
                ..Default::default()
            }
            .into_request();
            request.set_timeout(RPC_TIMEOUT);
            let mut connection = self.inner.connection().clone();
            let answer = WorkflowService::describe_task_queue(&mut connection, request)
                .await
                .map_err(|status| TemporalError::rpc("describe task queue", &status))?
                .into_inner();
            let now = SystemTime::now();
            let asked = answer
                .pollers
                .iter()
                .filter_map(|poller| SystemTime::try_from(poller.last_access_time?).ok())
                .map(|at| now.duration_since(at).unwrap_or_default())
                .min();
            let oldest = answer
                .stats
                .filter(|stats| stats.approximate_backlog_count > 0)
                .and_then(|stats| stats.approximate_backlog_age)
                .and_then(|age| Duration::try_from(age).ok());
            Ok(Queue { asked, oldest })
        })
    }
}
