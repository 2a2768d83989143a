//! Temporal's client and worker host behind plain boxed functions, so that a change in a workflow
//! does not regenerate the SDK's futures. Knows no workflow of Muster.
//!
//! Everything here takes and returns plain data; the SDK's types appear in two places only, where
//! code is registered: [`Register`] and [`RegisterReplay`].

mod connect;
pub mod embedded;
pub mod history;
mod host;
mod queue;
mod replay;
mod run;
mod wake;

pub use connect::Client;
pub use host::{Host, HostOptions, Register, Runtime, run_worker};
pub use queue::Queue;
pub use replay::{RegisterReplay, Verdict, replay};
pub use run::Run;
pub use temporalio_sdk::{WorkerOptions, workflow_replayer::WorkflowReplayerOptions};
pub use wake::SignalWithStart;

use std::{error::Error, future::Future, pin::Pin};
use temporalio_client::tonic::{Code, Status};

/// A boxed future: what keeps the SDK's types out of the crates that call this one.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What was tried and why it did not work.
#[derive(Debug, Clone, thiserror::Error)]
#[error("temporal: {operation}: {cause}")]
pub struct TemporalError {
    pub operation: &'static str,
    pub cause: String,
    /// A later try may work (unreachable, deadline).
    pub transient: bool,
}

/// Where the server is; the `TEMPORAL_*` variables and `temporal.toml` fill what is absent.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// `HOST:PORT` or a URL.
    pub address: Option<String>,
    pub namespace: Option<String>,
}

impl TemporalError {
    fn permanent(operation: &'static str, cause: impl ToString) -> Self {
        Self {
            operation,
            cause: cause.to_string(),
            transient: false,
        }
    }

    fn passing(operation: &'static str, cause: impl ToString) -> Self {
        Self {
            operation,
            cause: cause.to_string(),
            transient: true,
        }
    }

    /// A namespace may be created a moment later, so NotFound counts as passing here; the callers
    /// that ask for one workflow handle it before.
    fn rpc(operation: &'static str, status: &Status) -> Self {
        let transient = !matches!(
            status.code(),
            Code::InvalidArgument
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unimplemented
                | Code::FailedPrecondition
                | Code::AlreadyExists
        );
        Self {
            operation,
            cause: format!("{}: {}", status.code().description(), status.message()),
            transient,
        }
    }
}

/// An error with its causes, outermost first; each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.contains(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        next = cause.source();
    }
    said
}
