//! What came back for a request: an answer, or how the network failed.

use bytes::Bytes;
use model::failure::{Certainty, Failure};
use serde_json::Value;
use std::time::Duration;

/// A complete HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub code: u16,
    /// `Retry-After`, if the answer carried one.
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

impl Answer {
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether an API server states that the object asked for is not there. Any other 404 (a path
    /// nobody serves, a proxy's page) says nothing about the object.
    pub fn absent(&self) -> bool {
        self.code == 404 && states_absence(&self.json())
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

fn states_absence(status: &Value) -> bool {
    status["kind"] == "Status"
        && status["reason"] == "NotFound"
        && status["details"]["name"].is_string()
}

/// Where a request ended that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Credentials,
    /// The server's name was not resolved.
    Dns,
    Connect,
    /// The server was reached and is not trusted, or does not trust us.
    Tls,
    /// The send window had closed.
    Window,
    /// The connection was closed before a byte left.
    Write,
    /// After the first byte: reset, or closed without an answer.
    Reset,
    /// After the first byte: no answer in time.
    Timeout,
}

/// A request that got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct NetError {
    pub stage: Stage,
    pub cause: String,
}

impl NetError {
    pub fn new(stage: Stage, cause: impl Into<String>) -> Self {
        Self {
            stage,
            cause: cause.into(),
        }
    }

    /// Whether the request can have had an effect (protocol §5.4).
    pub fn certainty(&self) -> Certainty {
        match self.stage {
            Stage::Reset | Stage::Timeout => Certainty::Ambiguous,
            _ => Certainty::NotSent,
        }
    }

    /// What users see while it is retried.
    pub fn failure(&self) -> Failure {
        let code = match self.stage {
            Stage::Credentials => "kubeconfig",
            Stage::Dns => "dns",
            Stage::Tls => "tls",
            Stage::Timeout => "timeout",
            Stage::Reset => "reset",
            _ => "unreachable",
        };
        Failure {
            code: code.to_owned(),
            message: self.cause.clone(),
        }
    }
}

/// `Retry-After` in seconds; the date form is rare and treated as absent.
pub fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse::<u64>()
        .ok()?;
    Some(Duration::from_secs(seconds.min(600)))
}

/// The innermost cause, which is the one that says something ("Connection refused").
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use serde_json::json;

    #[test]
    fn only_an_api_server_can_state_an_absence() {
        let about = |details| {
            json!({"kind": "Status", "reason": "NotFound", "details": details}).to_string()
        };
        let cases = [
            (404, about(json!({"name": "a", "kind": "configmaps"})), true),
            (404, about(json!({})), false),
            (404, about(json!(null)), false),
            (404, "404 page not found".to_owned(), false),
            (404, "<html>not here</html>".to_owned(), false),
            (404, String::new(), false),
            (
                404,
                json!({"reason": "NotFound", "details": {"name": "a"}}).to_string(),
                false,
            ),
            (403, about(json!({"name": "a"})), false),
            (200, about(json!({"name": "a"})), false),
        ];
        for (code, body, absent) in cases {
            let answer = Answer {
                code,
                retry_after: None,
                body: body.clone().into(),
            };
            assert_eq!(answer.absent(), absent, "{code} {body}");
        }
    }
}
