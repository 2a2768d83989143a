//! What came back for a request, in no client library's types.

use super::Certainty;
use serde_json::Value;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status that is no success, with the body's parts.
    Http(ServerStatus),
    Network(Network),
}

/// The parts of a `Status` that matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerStatus {
    pub code: u16,
    /// For example `Conflict`; empty when the body was no `Status`.
    pub reason: String,
    /// May contain the object's values: never shown, only looked at.
    pub message: String,
    /// Resource the answer is about (`details.kind`), for example `namespaces`.
    pub about: String,
    pub causes: Vec<StatusCause>,
    /// From the `Retry-After` header or `details.retryAfterSeconds`.
    pub retry_after_s: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusCause {
    pub field: String,
    pub reason: String,
    pub message: String,
}

impl ServerStatus {
    /// Reads a response body; anything that is no `Status` gives the code alone.
    pub fn from_body(code: u16, body: &[u8], retry_after_header: Option<&str>) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let mut status = match body["kind"].as_str() {
            Some("Status") => Self::from_status(&body),
            _ => Self::default(),
        };
        status.code = code;
        if let Some(seconds) = retry_after_header.and_then(|text| text.trim().parse().ok()) {
            status.retry_after_s = Some(seconds);
        }
        status
    }

    /// Reads a `Status` object.
    pub fn from_status(status: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let details = &status["details"];
        let causes = details["causes"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Self {
            code: status["code"]
                .as_u64()
                .and_then(|code| code.try_into().ok())
                .unwrap_or(0),
            reason: text(&status["reason"]),
            message: text(&status["message"]),
            about: text(&details["kind"]),
            causes: causes
                .iter()
                .map(|cause| StatusCause {
                    field: text(&cause["field"]),
                    reason: text(&cause["reason"]),
                    message: text(&cause["message"]),
                })
                .collect(),
            retry_after_s: details["retryAfterSeconds"]
                .as_u64()
                .filter(|seconds| *seconds > 0),
        }
    }
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub kind: NetworkKind,
    /// A byte of the request may have left.
    pub sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkKind {
    Dns,
    Refused,
    ConnectTimeout,
    Tls,
    Reset,
    Timeout,
    Other,
}

impl NetworkKind {
    /// The sentence for users.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Dns => "the server's name cannot be resolved",
            Self::Refused => "connection refused",
            Self::ConnectTimeout => "connect timed out",
            Self::Tls => "the TLS handshake failed",
            Self::Reset => "the connection was reset",
            Self::Timeout => "the request timed out",
            Self::Other => "the connection failed",
        }
    }

    /// A failure before anything could leave.
    pub fn is_before_send(self) -> bool {
        matches!(
            self,
            Self::Dns | Self::Refused | Self::ConnectTimeout | Self::Tls
        )
    }
}

impl Answer {
    /// What is known of the request's effect (protocol §5.4).
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::Http(status) if status.code == 408 || status.code >= 500 => Certainty::Ambiguous,
            Self::Http(_) => Certainty::Definite,
            Self::Network(network) if !network.sent || network.kind.is_before_send() => {
                Certainty::NotSent
            }
            Self::Network(_) => Certainty::Ambiguous,
        }
    }
}
