//! Running a short workflow to its result.

use crate::{Boxed, Client, TemporalError, chain, wake::payloads};
use serde_json::Value;
use std::time::Duration;
use temporalio_client::{
    UntypedWorkflow, WorkflowGetResultOptions, errors::WorkflowGetResultError,
    grpc::WorkflowService, tonic::IntoRequest,
};
use temporalio_protos::temporal::api::{
    common::v1::WorkflowType, enums::v1::TaskQueueKind, taskqueue::v1::TaskQueue,
    workflowservice::v1::StartWorkflowExecutionRequest,
};

const RPC_TIMEOUT: Duration = Duration::from_secs(5);

/// A workflow to run; input and result are JSON.
#[derive(Debug, Clone)]
pub struct Run {
    pub workflow_type: String,
    /// What its id begins with; the rest makes it the only one.
    pub prefix: String,
    pub queue: String,
    pub input: Value,
    /// The server ends it after so long.
    pub run_timeout: Duration,
}

impl Client {
    /// Starts a workflow and waits for its result; `None` if it is not there within the time.
    ///
    /// # Errors
    /// Transient when the server does not answer; final when the workflow failed.
    pub fn run(
        &self,
        run: Run,
        within: Duration,
    ) -> Boxed<'_, Result<Option<Value>, TemporalError>> {
        Box::pin(async move {
            let workflow_id = format!("{}/{}", run.prefix, ulid::Ulid::new());
            let mut request = StartWorkflowExecutionRequest {
                namespace: self.namespace().to_owned(),
                workflow_id: workflow_id.clone(),
                workflow_type: Some(WorkflowType {
                    name: run.workflow_type,
                }),
                task_queue: Some(TaskQueue {
                    name: run.queue,
                    kind: TaskQueueKind::Normal.into(),
                    ..Default::default()
                }),
                input: Some(payloads(&run.input)),
                workflow_run_timeout: run.run_timeout.try_into().ok(),
                identity: format!("muster@{}", std::process::id()),
                request_id: ulid::Ulid::new().to_string(),
                ..Default::default()
            }
            .into_request();
            request.set_timeout(RPC_TIMEOUT);
            let mut connection = self.inner.connection().clone();
            WorkflowService::start_workflow_execution(&mut connection, request)
                .await
                .map_err(|status| TemporalError::rpc("start workflow", &status))?;
            let handle = self
                .inner
                .get_workflow_handle::<UntypedWorkflow>(&workflow_id);
            let result = handle.get_result(WorkflowGetResultOptions::default());
            let raw = match tokio::time::timeout(within, result).await {
                Err(_) => return Ok(None),
                Ok(Ok(raw)) => raw,
                Ok(Err(WorkflowGetResultError::Rpc(status))) => {
                    return Err(TemporalError::rpc("wait for workflow", &status));
                }
                Ok(Err(error)) => {
                    return Err(TemporalError::permanent("wait for workflow", chain(&error)));
                }
            };
            let data = raw.payloads.first().map(|payload| payload.data.as_slice());
            serde_json::from_slice(data.unwrap_or(b"null"))
                .map(Some)
                .map_err(|error| TemporalError::permanent("read a workflow's result", error))
        })
    }
}
