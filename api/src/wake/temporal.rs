//! The waker that Muster runs with: through Temporal, by signal-with-start.

use super::{WAKE_TIMEOUT, WakeError, Waker};
use futures_util::{FutureExt, future::BoxFuture};
use model::{ids::ClusterId, state::Goal};
use std::time::Duration;
use store::WakeRow;
use temporal::{Client, Queue, Run, Server, SignalWithStart, TemporalError};
use tokio::sync::Mutex;
use workflows::{
    contract::{
        CHECK_CLUSTER, COLLECT, COLLECT_SIGNAL, CheckInput, Checked, CollectInput, GOAL_SIGNAL,
        INSTANTIATE, TERMINATE, WATCH, WATCH_SIGNAL, Wake, WatchInput, watch_id,
    },
    limits::{CHECK_TIMEOUT, QUEUE},
};

/// How long a worker has for a look at a cluster, the way there and back included.
const CHECK_WAIT: Duration = CHECK_TIMEOUT.saturating_add(Duration::from_secs(5));

/// Wakes through Temporal; connects when first needed, and again after a failure.
pub struct TemporalWaker {
    server: Server,
    client: Mutex<Option<Client>>,
}

impl TemporalWaker {
    pub fn new(server: Server) -> Self {
        Self {
            server,
            client: Mutex::new(None),
        }
    }

    async fn client(&self) -> Result<Client, TemporalError> {
        let mut client = self.client.lock().await;
        match client.as_ref() {
            Some(connected) => Ok(connected.clone()),
            None => Ok(client
                .insert(Client::connect(self.server.clone()).await?)
                .clone()),
        }
    }

    /// Signals a workflow, and starts it with the same input where it is not running.
    fn send(
        &self,
        workflow_type: &'static str,
        workflow_id: String,
        signal: &'static str,
        input: impl serde::Serialize,
    ) -> BoxFuture<'_, Result<(), WakeError>> {
        let payload = serde_json::to_value(input).map_err(|e| WakeError(e.to_string()));
        async move {
            let payload = payload?;
            let request = SignalWithStart {
                workflow_type: workflow_type.to_owned(),
                workflow_id,
                queue: QUEUE.to_owned(),
                input: payload.clone(),
                signal: signal.to_owned(),
                signal_input: payload,
                task_timeout: workflows::limits::WORKFLOW_TASK_TIMEOUT,
            };
            Ok(self.client().await?.signal_with_start(request).await?)
        }
        .boxed()
    }
}

impl Waker for TemporalWaker {
    fn wake<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<(), WakeError>> {
        let workflow_type = match row.goal {
            Goal::Apply => INSTANTIATE,
            Goal::Delete => TERMINATE,
        };
        let input = Wake {
            context: row.context.clone(),
            fence: row.fence,
        };
        let id = row.dig.workflow_id(&row.context);
        self.send(workflow_type, id, GOAL_SIGNAL, input)
    }

    fn watch<'a>(&'a self, cluster: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        let input = WatchInput {
            cluster: cluster.clone(),
        };
        self.send(WATCH, watch_id(cluster), WATCH_SIGNAL, input)
    }

    fn collect<'a>(&'a self, cluster: &'a ClusterId) -> BoxFuture<'a, Result<(), WakeError>> {
        let input = CollectInput {
            cluster: cluster.clone(),
        };
        self.send(COLLECT, format!("collect/{cluster}"), COLLECT_SIGNAL, input)
    }

    fn is_running<'a>(&'a self, row: &'a WakeRow) -> BoxFuture<'a, Result<bool, WakeError>> {
        async move {
            Ok(self
                .client()
                .await?
                .is_running(&row.dig.workflow_id(&row.context))
                .await?)
        }
        .boxed()
    }

    fn queue(&self) -> BoxFuture<'_, Result<Queue, WakeError>> {
        async move { Ok(self.client().await?.queue(QUEUE).await?) }.boxed()
    }

    fn check<'a>(
        &'a self,
        cluster: &'a ClusterId,
    ) -> BoxFuture<'a, Result<Option<Checked>, WakeError>> {
        async move {
            let input = CheckInput {
                cluster: cluster.clone(),
            };
            let run = Run {
                workflow_type: CHECK_CLUSTER.to_owned(),
                prefix: format!("check/{cluster}"),
                queue: QUEUE.to_owned(),
                input: serde_json::to_value(input).map_err(|e| WakeError(e.to_string()))?,
                run_timeout: CHECK_WAIT + WAKE_TIMEOUT,
            };
            let answer = self.client().await?.run(run, CHECK_WAIT).await?;
            answer
                .map(serde_json::from_value)
                .transpose()
                .map_err(|e| WakeError(e.to_string()))
        }
        .boxed()
    }
}

impl From<TemporalError> for WakeError {
    fn from(error: TemporalError) -> Self {
        Self(format!("{}: {}", error.operation, innermost(&error.cause)))
    }
}

/// What gRPC libraries say last is what a reader can act on.
fn innermost(cause: &str) -> &str {
    cause
        .rsplit_once("transport error: ")
        .map_or(cause, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_connection_is_said_in_one_line() {
        let error = TemporalError {
            operation: "connect",
            cause: "http://127.0.0.1:1/: Server connection error: tonic::transport::Error(Transport, …): transport error: Connection refused (os error 111)".to_owned(),
            transient: true,
        };
        assert_eq!(
            WakeError::from(error).0,
            "connect: Connection refused (os error 111)"
        );
    }
}
