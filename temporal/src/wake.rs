//! Waking a workflow, and asking whether one is there.

use crate::{Boxed, Client, TemporalError, chain};
use serde_json::Value;
use std::{collections::HashMap, time::Duration};
use temporalio_client::{
    UntypedWorkflow, WorkflowExecutionStatus, errors::WorkflowInteractionError,
    grpc::WorkflowService, tonic::IntoRequest,
};
use temporalio_protos::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowType},
    enums::v1::{TaskQueueKind, WorkflowIdConflictPolicy, WorkflowIdReusePolicy},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::SignalWithStartWorkflowExecutionRequest,
};

const RPC_TIMEOUT: Duration = Duration::from_secs(10);

/// Signal-with-start on a fixed workflow id; the typed payloads are JSON.
#[derive(Debug, Clone)]
pub struct SignalWithStart {
    pub workflow_type: String,
    pub workflow_id: String,
    pub queue: String,
    pub input: Value,
    pub signal: String,
    pub signal_input: Value,
    pub task_timeout: Duration,
}

impl Client {
    /// Returns when the server acknowledged. A closed workflow of the id is started anew.
    ///
    /// # Guarantees
    /// One call signals at most once: the transport's repeats carry the same request id. Two calls
    /// signal twice, which a level-triggered receiver does not mind.
    pub fn signal_with_start(
        &self,
        request: SignalWithStart,
    ) -> Boxed<'_, Result<(), TemporalError>> {
        Box::pin(async move {
            let mut request = SignalWithStartWorkflowExecutionRequest {
                namespace: self.namespace().to_owned(),
                workflow_id: request.workflow_id,
                workflow_type: Some(WorkflowType {
                    name: request.workflow_type,
                }),
                task_queue: Some(TaskQueue {
                    name: request.queue,
                    kind: TaskQueueKind::Normal.into(),
                    ..Default::default()
                }),
                input: Some(payloads(&request.input)),
                workflow_task_timeout: request.task_timeout.try_into().ok(),
                identity: format!("muster@{}", std::process::id()),
                // Not derived from the content: the server would answer a repeated start with the
                // closed run of the same request id instead of starting anew.
                request_id: ulid::Ulid::new().to_string(),
                workflow_id_reuse_policy: WorkflowIdReusePolicy::AllowDuplicate.into(),
                workflow_id_conflict_policy: WorkflowIdConflictPolicy::UseExisting.into(),
                signal_name: request.signal,
                signal_input: Some(payloads(&request.signal_input)),
                ..Default::default()
            }
            .into_request();
            request.set_timeout(RPC_TIMEOUT);
            let mut connection = self.inner.connection().clone();
            WorkflowService::signal_with_start_workflow_execution(&mut connection, request)
                .await
                .map(|_| ())
                .map_err(|status| TemporalError::rpc("signal with start", &status))
        })
    }

    /// Whether a workflow of this id is open.
    pub fn is_running<'a>(
        &'a self,
        workflow_id: &'a str,
    ) -> Boxed<'a, Result<bool, TemporalError>> {
        Box::pin(async move {
            let handle = self
                .inner
                .get_workflow_handle::<UntypedWorkflow>(workflow_id);
            match handle.describe(Default::default()).await {
                Ok(found) => Ok(found.status() == WorkflowExecutionStatus::Running),
                Err(WorkflowInteractionError::NotFound(_)) => Ok(false),
                Err(error) => Err(interaction("describe workflow", workflow_id, &error)),
            }
        })
    }
}

/// One JSON payload, as the SDK's default converter reads it.
pub(crate) fn payloads(value: &Value) -> Payloads {
    let metadata = HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]);
    Payloads {
        payloads: vec![Payload {
            metadata,
            data: value.to_string().into_bytes(),
            ..Default::default()
        }],
    }
}

pub(crate) fn interaction(
    operation: &'static str,
    workflow_id: &str,
    error: &WorkflowInteractionError,
) -> TemporalError {
    match error {
        WorkflowInteractionError::NotFound(_) => {
            TemporalError::permanent(operation, format!("workflow {workflow_id} not found"))
        }
        WorkflowInteractionError::Rpc(status) => TemporalError::rpc(operation, status),
        error => TemporalError::permanent(operation, chain(error)),
    }
}
