//! What went wrong, as one sentence or as JSON, and the exit code that says which kind it is.

use crate::words::plain;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, io};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Violations that people are shown at once.
const SHOWN: usize = 20;

/// Exit codes of `muster` (contract.md "Commands").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    TimedOut = 5,
    Unreachable = 6,
    /// Ctrl-C, as shells count it.
    Interrupted = 130,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command ends early.
#[derive(Debug)]
pub enum Fault {
    /// To be told to the user.
    Said(Box<Complaint>),
    /// Whoever read the output has left; there is nobody to tell.
    ClosedPipe,
}

/// One failure as users see it.
#[derive(Debug)]
pub struct Complaint {
    pub exit: Exit,
    /// The name of the gRPC status, or a word of the same shape for what the client found itself.
    pub code: &'static str,
    /// The server's stable word, if it sent one.
    pub reason: Option<String>,
    /// One sentence with object and cause, without the next step.
    pub message: String,
    pub next_step: Option<String>,
    pub violations: Vec<Violation>,
    pub metadata: BTreeMap<String, String>,
}

/// A field that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// `FILE#NUMBER:FIELD` for documents.
    pub field: String,
    pub description: String,
}

impl Fault {
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self::Said(Box::new(Complaint {
            exit,
            code,
            reason: None,
            message: message.into(),
            next_step: None,
            violations: Vec::new(),
            metadata: BTreeMap::new(),
        }))
    }

    /// The command line cannot be meant.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message)
    }

    /// Something took longer than the user wants to wait.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Exit::TimedOut, "TIMED_OUT", message)
    }

    /// Whether the message names this command as the next step already.
    pub fn mentions(&self, command: &str) -> bool {
        matches!(self, Self::Said(complaint) if complaint.message.contains(command))
    }

    /// A file of the user cannot be used.
    pub fn document(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "INVALID_DOCUMENT", message)
    }

    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        if let Self::Said(complaint) = &mut self {
            complaint.next_step.get_or_insert_with(|| step.into());
        }
        self
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Said(complaint) => complaint.exit,
            Self::ClosedPipe => Exit::Done,
        }
    }

    /// `{"error": {…}}`, on one line.
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Error<'a> {
            code: &'a str,
            reason: Option<&'a str>,
            message: &'a str,
            next_step: Option<&'a str>,
            details: &'a [Violation],
            metadata: &'a BTreeMap<String, String>,
            exit_code: u8,
        }
        #[derive(Serialize)]
        struct Envelope<'a> {
            error: Error<'a>,
        }
        let Self::Said(c) = self else {
            return String::new();
        };
        let error = Error {
            code: c.code,
            reason: c.reason.as_deref(),
            message: &c.message,
            next_step: c.next_step.as_deref(),
            details: &c.violations,
            metadata: &c.metadata,
            exit_code: c.exit.code(),
        };
        serde_json::to_string(&Envelope { error }).unwrap_or_default()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Said(c) = self else {
            return f.write_str("the reader of the output has left");
        };
        f.write_str(&plain(&c.message))?;
        if let Some(step) = &c.next_step {
            write!(f, "; {}", plain(step))?;
        }
        // A single violation is usually the message itself.
        let others = || {
            let violations = c.violations.iter();
            violations.filter(|v| !c.message.contains(&v.description))
        };
        for violation in others().take(SHOWN) {
            write!(
                f,
                "\n  {}: {}",
                plain(&violation.field),
                plain(&violation.description)
            )?;
        }
        if others().nth(SHOWN).is_some() {
            f.write_str("\n  …; correct these first, or see more with -o json")?;
        }
        Ok(())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::ClosedPipe
        } else {
            Self::new(
                Exit::Failed,
                "OUTPUT",
                format!("cannot write the output: {error}"),
            )
        }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        if error.io_error_kind() == Some(io::ErrorKind::BrokenPipe) {
            Self::ClosedPipe
        } else {
            Self::new(
                Exit::Failed,
                "OUTPUT",
                format!("cannot write JSON: {error}"),
            )
        }
    }
}

impl From<serde_yaml_ng::Error> for Fault {
    fn from(error: serde_yaml_ng::Error) -> Self {
        Self::new(
            Exit::Failed,
            "OUTPUT",
            format!("cannot write YAML: {error}"),
        )
    }
}

/// A refusal or failure of the server.
impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let (exit, code) = meaning(status.code());
        let details = status.get_error_details();
        let info = details.error_info();
        let metadata: BTreeMap<String, String> = info
            .map(|info| info.metadata.clone().into_iter().collect())
            .unwrap_or_default();
        let mut violations: Vec<Violation> = details
            .bad_request()
            .map(|bad| bad.field_violations.iter())
            .into_iter()
            .flatten()
            .map(|v| Violation {
                field: v.field.clone(),
                description: v.description.clone(),
            })
            .collect();
        violations.extend(
            details
                .precondition_failure()
                .map(|failure| failure.violations.iter())
                .into_iter()
                .flatten()
                .map(|v| Violation {
                    field: v.subject.clone(),
                    description: v.description.clone(),
                }),
        );
        // A document is to blame, not the command line.
        let of_documents = info.is_some_and(|info| info.reason == "INVALID_DOCUMENT");
        let exit = if of_documents || violations.iter().any(|v| v.field.contains('#')) {
            Exit::Failed
        } else {
            exit
        };
        let message = match (status.message(), violations.first()) {
            ("", Some(violation)) => format!("{}: {}", violation.field, violation.description),
            ("", None) => format!("the server answered {code} without a word"),
            (message, _) => message.trim_end_matches('.').to_owned(),
        };
        let next_step = next_step(status.code(), &message, &metadata);
        Self::Said(Box::new(Complaint {
            exit,
            code,
            reason: info
                .map(|info| info.reason.clone())
                .filter(|reason| !reason.is_empty()),
            message,
            next_step,
            violations,
            metadata,
        }))
    }
}

/// Exit code and name of a gRPC status.
pub fn meaning(code: Code) -> (Exit, &'static str) {
    match code {
        Code::Ok => (Exit::Done, "OK"),
        Code::InvalidArgument => (Exit::Usage, "INVALID_ARGUMENT"),
        Code::OutOfRange => (Exit::Usage, "OUT_OF_RANGE"),
        Code::NotFound => (Exit::NotFound, "NOT_FOUND"),
        Code::FailedPrecondition => (Exit::Refused, "FAILED_PRECONDITION"),
        Code::Aborted => (Exit::Refused, "ABORTED"),
        Code::AlreadyExists => (Exit::Refused, "ALREADY_EXISTS"),
        Code::DeadlineExceeded => (Exit::TimedOut, "DEADLINE_EXCEEDED"),
        Code::Unavailable => (Exit::Unreachable, "UNAVAILABLE"),
        Code::Cancelled => (Exit::Failed, "CANCELLED"),
        Code::Unknown => (Exit::Failed, "UNKNOWN"),
        Code::PermissionDenied => (Exit::Failed, "PERMISSION_DENIED"),
        Code::ResourceExhausted => (Exit::Failed, "RESOURCE_EXHAUSTED"),
        Code::Unimplemented => (Exit::Failed, "UNIMPLEMENTED"),
        Code::Internal => (Exit::Failed, "INTERNAL"),
        Code::DataLoss => (Exit::Failed, "DATA_LOSS"),
        Code::Unauthenticated => (Exit::Failed, "UNAUTHENTICATED"),
    }
}

/// What the reader can do, where the message does not say so already.
fn next_step(code: Code, message: &str, metadata: &BTreeMap<String, String>) -> Option<String> {
    if let Some(step) = metadata.get("next_step") {
        return (!message.contains(step.as_str())).then(|| step.clone());
    }
    match code {
        Code::FailedPrecondition => {
            let verbs: Vec<&str> = metadata
                .get("allowed_verbs")?
                .split(',')
                .filter(|v| !v.is_empty())
                .collect();
            if message.contains("allowed now") || message.contains("possible now") {
                None
            } else if verbs.is_empty() {
                Some("no verb is allowed now".to_owned())
            } else {
                Some(format!("allowed now: {}", verbs.join(", ")))
            }
        }
        Code::Aborted if !message.contains("again") => {
            Some("somebody else was faster: look at the status and try again".to_owned())
        }
        Code::Unauthenticated => Some("give a valid token with --token or MUSTER_TOKEN".to_owned()),
        Code::Unimplemented => Some(
            "server and client differ in version: compare `muster --version` with the server's"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    #[test]
    fn every_status_has_its_exit_code() {
        for (code, exit) in [
            (Code::Ok, 0),
            (Code::InvalidArgument, 2),
            (Code::NotFound, 3),
            (Code::FailedPrecondition, 4),
            (Code::Aborted, 4),
            (Code::AlreadyExists, 4),
            (Code::DeadlineExceeded, 5),
            (Code::Unavailable, 6),
            (Code::Internal, 1),
            (Code::PermissionDenied, 1),
            (Code::Unauthenticated, 1),
        ] {
            assert_eq!(meaning(code).0.code(), exit, "{code:?}");
        }
    }

    #[test]
    fn a_refused_verb_names_what_is_allowed() {
        let metadata = HashMap::from([
            ("state".to_owned(), "Created".to_owned()),
            ("allowed_verbs".to_owned(), "approve,delete".to_owned()),
        ]);
        let details = ErrorDetails::with_error_info("STATE", "muster.dev", metadata);
        let status = Status::with_error_details(
            Code::FailedPrecondition,
            "shop/web is Created: cannot instantiate",
            details,
        );
        let fault = Fault::from(status);
        assert_eq!(
            fault.to_string(),
            "shop/web is Created: cannot instantiate; allowed now: approve, delete"
        );
        let json: serde_json::Value = serde_json::from_str(&fault.json()).unwrap();
        assert_eq!(json["error"]["code"], "FAILED_PRECONDITION");
        assert_eq!(json["error"]["reason"], "STATE");
        assert_eq!(json["error"]["metadata"]["state"], "Created");
        assert_eq!(json["error"]["exitCode"], 4);
    }

    #[test]
    fn a_bad_document_names_file_number_and_field() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("shop.yaml#2:spec.apps[0].name", "is empty");
        details.add_bad_request_violation("shop.yaml#3:kind", "is unknown");
        let fault = Fault::from(Status::with_error_details(
            Code::InvalidArgument,
            "2 documents cannot be used",
            details,
        ));
        assert_eq!(
            fault.to_string(),
            "2 documents cannot be used\n  shop.yaml#2:spec.apps[0].name: is empty\n  shop.yaml#3:kind: is unknown"
        );
        assert_eq!(fault.exit(), Exit::Failed);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let fault = Fault::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(fault.exit(), Exit::Done);
    }
}
