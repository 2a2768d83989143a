//! Replaying a history against the workflow code of this binary, offline.

use crate::{Boxed, TemporalError, chain};
use temporalio_protos::temporal::api::history::v1::History;
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayError, WorkflowReplayFailure, WorkflowReplayer, WorkflowReplayerOptions,
};
use tokio::sync::oneshot;

/// Puts workflows into a replayer's options.
pub type RegisterReplay =
    Box<dyn FnOnce(&mut WorkflowReplayerOptions) -> Result<(), String> + Send>;

/// Whether the code does today what the history says it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Same,
    /// The code would take another way; the message names the first difference.
    Diverges(String),
    /// The history could not be replayed to its end (malformed, cut off, a panic).
    Unfit(String),
}

/// Replays one history. Needs no server.
pub fn replay(
    history: History,
    register: RegisterReplay,
) -> Boxed<'static, Result<Verdict, TemporalError>> {
    Box::pin(async move {
        let (done, verdict) = oneshot::channel();
        // The SDK's future is not `Send`: a thread of its own.
        std::thread::Builder::new()
            .name("replay".into())
            .spawn(move || {
                let _ = done.send(on_this_thread(history, register));
            })
            .map_err(|error| TemporalError::permanent("start replay thread", error))?;
        verdict
            .await
            .unwrap_or_else(|_| Ok(Verdict::Unfit("the replay panicked".into())))
    })
}

fn on_this_thread(history: History, register: RegisterReplay) -> Result<Verdict, TemporalError> {
    let failed = |cause: String| TemporalError::permanent("replay", cause);
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let mut options = WorkflowReplayerOptions::new().build();
    register(&mut options).map_err(failed)?;
    let replayer = WorkflowReplayer::new(options).map_err(|error| failed(chain(&error)))?;
    match tokio.block_on(replayer.replay_workflow(history.into())) {
        Ok(()) => Ok(Verdict::Same),
        Err(WorkflowReplayError::Replay(WorkflowReplayFailure::Nondeterminism { message })) => {
            Ok(Verdict::Diverges(message))
        }
        Err(WorkflowReplayError::Replay(failure)) => Ok(Verdict::Unfit(failure.to_string())),
        Err(error) => Err(failed(chain(&error))),
    }
}
