//! What an answer of a cluster means: transient or final, decided here and nowhere else (spec §2.3).

mod answer;
mod classify;
mod guide;
mod sanitize;

pub use answer::{Answer, Network, NetworkKind, ServerStatus, StatusCause};
pub use classify::{Asked, Verdict, classify, unknown_kind};
pub use guide::{GUIDES, Guide, REFUSALS, guide, next_step};
pub use sanitize::{conflicting_managers, may_not, sanitize};

use serde::{Deserialize, Serialize};

/// Why something did not work, without any value of the object: what users see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short stable word, one of [`GUIDES`].
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// What happened to the request, for the attempt's record (protocol §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certainty {
    NotSent,
    Definite,
    Ambiguous,
}

/// How a note ends that says that what comes first has failed.
const FAILED: &str = " failed";
/// How a note begins on an object whose delete was accepted, and the whole of it without finalizers.
const FINALIZERS: &str = "waiting for finalizers: ";
const GOING: &str = "waiting until it is gone";

impl Failure {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Retrying went on for longer than the DIG's `maxElapsed`; `last` is why it was retried.
    pub fn retry_time_exceeded(last: Option<&Failure>) -> Self {
        match last {
            Some(last) => Self::new(
                "retryTimeExceeded",
                format!("retry time exceeded: {}", last.message),
            ),
            None => Self::new("retryTimeExceeded", "retry time exceeded"),
        }
    }

    /// An object that was there before and is not ours.
    pub fn exists(managers: &str) -> Self {
        let by = if managers.is_empty() {
            "somebody else"
        } else {
            managers
        };
        Self::new("foreign", format!("exists, managed by {by}"))
    }

    /// Why a row is not driven now, as its workflow noted it: something comes first, or has failed.
    pub fn blocked(by: &str) -> Self {
        let code = match by {
            _ if by.ends_with(FAILED) => "heldBack",
            _ if by.starts_with(FINALIZERS) => "finalizers",
            _ if by == GOING => "deleting",
            _ => "blocked",
        };
        Self::new(code, by)
    }

    /// A CRD that is applied but not served yet.
    pub fn crd_not_established() -> Self {
        Self::new("crdNotEstablished", "the CRD is not established yet")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
#[path = "failure/tests.rs"]
mod tests;
