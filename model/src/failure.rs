//! What an answer of a cluster means: transient or final, decided here and nowhere else (spec §2.3).

mod answer;
mod classify;
mod sanitize;

pub use answer::{Answer, Network, NetworkKind, ServerStatus, StatusCause};
pub use classify::{Asked, Verdict, classify, unknown_kind};
pub use sanitize::{conflicting_managers, sanitize};

use serde::{Deserialize, Serialize};

/// Why something did not work, without any value of the object: what users see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short stable word: `unreachable`, `timeout`, `conflict`, `foreign`, `invalid`,
    /// `forbidden`, `unauthorized`, `namespaceNotFound`, `noSuchKind`, `webhook`, `tooManyRequests`,
    /// `serverError`, `terminatingNamespace`, `lateRequest`, `finalizers`, `retryTimeExceeded` …
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
