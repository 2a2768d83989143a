//! What callers are told when something is refused or does not work: `google.rpc.Status` with
//! details, its message one sentence of object, cause and next step.

use model::{failure::Guide, text::clipped};
use std::collections::HashMap;
use store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

/// Domain of every `ErrorInfo`.
pub const DOMAIN: &str = "muster.dev";

/// Metadata key of the verbs that a refused one may be replaced with, separated by commas.
pub const ALLOWED_VERBS: &str = "allowed_verbs";

/// Bytes of a message, of a field's path and of one violation's description.
const MESSAGE: usize = 1_000;
const FIELD: usize = 300;
const DESCRIPTION: usize = 500;
/// Bytes of all violations that are reported; the metadata says how many there were. A status
/// travels in HTTP/2 trailers, of which clients take 16 KiB by default.
const REPORTED: usize = 6_000;

/// One thing wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// A field of the request, or `FILE#NUMBER:FIELD` of a document.
    pub field: String,
    /// Cause and next step.
    pub description: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: clipped(&field.into(), FIELD),
            description: clipped(&description.into(), DESCRIPTION),
        }
    }

    fn size(&self) -> usize {
        self.field.len() + self.description.len()
    }
}

fn status(code: Code, reason: &str, message: String, metadata: &[(&str, &str)]) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, pairs(metadata));
    Status::with_error_details(code, clipped(&message, MESSAGE), details)
}

fn pairs(metadata: &[(&str, &str)]) -> HashMap<String, String> {
    metadata
        .iter()
        .map(|(key, value)| ((*key).to_owned(), clipped(value, FIELD)))
        .collect()
}

/// INVALID_ARGUMENT with everything that is wrong with uploaded documents.
pub fn invalid_documents(violations: Vec<Violation>) -> Status {
    violated("INVALID_DOCUMENT", "nothing was applied", violations)
}

/// INVALID_ARGUMENT with every violation; `what` names what was refused, for the message.
pub fn invalid(what: &str, violations: Vec<Violation>) -> Status {
    violated("INVALID", what, violations)
}

fn violated(reason: &str, what: &str, violations: Vec<Violation>) -> Status {
    let message = match violations.as_slice() {
        [] => format!("{what} is not valid"),
        [only] => format!("{what}: {}: {}", only.field, only.description),
        [first, rest @ ..] => format!(
            "{what}: {}: {} (and {} more)",
            first.field,
            first.description,
            rest.len()
        ),
    };
    let mut details = ErrorDetails::with_error_info(
        reason,
        DOMAIN,
        pairs(&[("violations", &violations.len().to_string())]),
    );
    let mut size = 0;
    details.set_bad_request(
        violations
            .into_iter()
            .take_while(|violation| {
                size += violation.size();
                size <= REPORTED
            })
            .map(|v| FieldViolation::new(v.field, v.description))
            .collect::<Vec<_>>(),
    );
    Status::with_error_details(Code::InvalidArgument, clipped(&message, MESSAGE), details)
}

/// INVALID_ARGUMENT for one field of a request.
pub fn invalid_field(what: &str, field: &str, description: impl Into<String>) -> Status {
    invalid(what, vec![Violation::new(field, description)])
}

pub fn unauthenticated(message: &str) -> Status {
    status(
        Code::Unauthenticated,
        "UNAUTHENTICATED",
        message.to_owned(),
        &[],
    )
}

pub fn already_exists(kind: &str, name: &str) -> Status {
    let name = &clipped(name, FIELD);
    let message = format!("{kind} {name} exists already; update it, or choose another name");
    let mut details = ErrorDetails::with_error_info(
        "ALREADY_EXISTS",
        DOMAIN,
        pairs(&[("kind", kind), ("name", name)]),
    );
    details.set_resource_info(kind, name, "", "exists already");
    Status::with_error_details(Code::AlreadyExists, message, details)
}

pub fn not_found(kind: &str, name: &str) -> Status {
    let name = &clipped(name, FIELD);
    let message = format!(
        "{kind} {name} does not exist; list what exists with `muster get {}`, or create it with `muster apply`",
        short(kind)
    );
    let mut details = ErrorDetails::with_error_info(
        "NOT_FOUND",
        DOMAIN,
        pairs(&[("kind", kind), ("name", name)]),
    );
    details.set_resource_info(kind, name, "", "not found");
    Status::with_error_details(Code::NotFound, message, details)
}

/// The kind as commands take it.
fn short(kind: &str) -> &str {
    match kind {
        "CompositeApp" | "composite app" => "app",
        "DeploymentIntentGroup" | "deployment intent group" | "context" => "dig",
        "Cluster" => "cluster",
        "orphan" => "orphans",
        other => other,
    }
}

/// The server lacks something for now; the same call may work later.
pub fn unavailable(reason: &str, message: String) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    details.set_retry_info(Some(std::time::Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The store does not do it: what is known of the cause, or what is said instead.
pub fn no_store(trouble: Option<&Guide>, otherwise: &str) -> Status {
    match trouble {
        Some(guide) => unavailable(guide.code, format!("{}: {}", guide.sees, guide.next)),
        None => unavailable("STORE_UNAVAILABLE", otherwise.to_owned()),
    }
}

/// Only a worker can do it, and none takes work.
pub fn no_worker(object: &str, cause: &str) -> Status {
    unavailable(
        "NO_WORKER",
        format!(
            "{object} cannot be checked, since no worker takes work: {cause}; {}",
            model::failure::next_step("noWorker", false)
        ),
    )
}

/// A verb or change that the object's present state, or another object, forbids.
pub fn refused(object: &str, reason: &str, message: String, metadata: &[(&str, &str)]) -> Status {
    let (object, message) = (&clipped(object, FIELD), clipped(&message, MESSAGE));
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, pairs(metadata));
    details.set_precondition_failure(vec![tonic_types::PreconditionViolation::new(
        reason, object, &message,
    )]);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// A verb that the machines have no row for.
pub fn wrong_state(object: &str, state: &str, verb: &str, allowed: &str) -> Status {
    let next = match allowed {
        "" => "wait until its state changes (`muster status` shows it)".to_owned(),
        verbs => format!("possible now: {verbs}"),
    };
    let verbs: Vec<&str> = allowed
        .split([',', ' '])
        .filter(|verb| !verb.is_empty())
        .collect();
    refused(
        object,
        "WRONG_STATE",
        format!("{object} is {state}, so {verb} is not possible; {next}"),
        &[
            ("object", object),
            ("state", state),
            ("verb", verb),
            (ALLOWED_VERBS, &verbs.join(",")),
        ],
    )
}

/// What the store's refusals and failures mean to a caller.
pub fn store(error: StoreError) -> Status {
    match error {
        StoreError::NotFound { kind, name } => not_found(kind, &name),
        StoreError::WrongState {
            object,
            state,
            verb,
            allowed,
        } => wrong_state(&object, &state, &verb, &allowed),
        StoreError::Refused {
            object,
            cause,
            reason,
        } => refused(
            &object,
            &screaming(reason),
            format!("{object}: {cause}"),
            &[("object", &object)],
        ),
        StoreError::RequestIdReused(id) => refused(
            &id,
            "REQUEST_ID_REUSED",
            format!("request id {id} was used before for another request; choose a new one"),
            &[("request_id", &id)],
        ),
        StoreError::Stale(object) => status(
            Code::Aborted,
            "DOCUMENTS_CHANGED",
            format!("{object}: its documents kept changing while the plan was made; try again"),
            &[("object", &object)],
        ),
        StoreError::Newer(what) => refused(
            "store",
            "STORE_NEWER",
            format!(
                "the store was written by a later version of Muster: {what}; update this server"
            ),
            &[],
        ),
        StoreError::WrongKey(what) => refused(
            "store",
            "WRONG_KEY",
            format!(
                "{what} cannot be read with this server's key; start it with the key file it was sealed with"
            ),
            &[],
        ),
        StoreError::Db(source) => {
            // The cause may quote SQL or values: it goes to the log only.
            tracing::warn!(error = %source, "the store did not answer");
            no_store(
                StoreError::Db(source).trouble(),
                "the store did not answer (the server's log says why); try again",
            )
        }
    }
}

/// `inUse` and `in-use` as error reasons are written: `IN_USE`.
fn screaming(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 4);
    let mut after_lower = false;
    for c in word.chars() {
        if c.is_ascii_uppercase() && after_lower {
            text.push('_');
        }
        after_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        text.push(if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        });
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn every_store_error_has_a_code_a_reason_and_a_next_step() {
        let cases = [
            (
                StoreError::NotFound {
                    kind: "deployment intent group",
                    name: "shop/x".into(),
                },
                Code::NotFound,
                "NOT_FOUND",
                "muster get dig",
            ),
            (
                StoreError::WrongState {
                    object: "shop/x".into(),
                    state: "Created".into(),
                    verb: "instantiate".into(),
                    allowed: "approve, delete".into(),
                },
                Code::FailedPrecondition,
                "WRONG_STATE",
                "possible now: approve, delete",
            ),
            (
                StoreError::Refused {
                    object: "shop/x".into(),
                    cause: "held by y; terminate y".into(),
                    reason: "claimHeld",
                },
                Code::FailedPrecondition,
                "CLAIM_HELD",
                "terminate y",
            ),
            (
                StoreError::RequestIdReused("r1".into()),
                Code::FailedPrecondition,
                "REQUEST_ID_REUSED",
                "choose a new one",
            ),
            (
                StoreError::Stale("shop/x".into()),
                Code::Aborted,
                "DOCUMENTS_CHANGED",
                "try again",
            ),
            (
                StoreError::Newer("0.9".into()),
                Code::FailedPrecondition,
                "STORE_NEWER",
                "update",
            ),
            (
                StoreError::WrongKey("the kubeconfig of c1".into()),
                Code::FailedPrecondition,
                "WRONG_KEY",
                "key file",
            ),
            (
                StoreError::Db("SELECT secret".into()),
                Code::Unavailable,
                "STORE_UNAVAILABLE",
                "try again",
            ),
            (
                StoreError::Db("INSERT secret: database or disk is full".into()),
                Code::Unavailable,
                "STORE_FULL",
                "free space",
            ),
        ];
        for (error, code, reason, says) in cases {
            let shown = error.to_string();
            let status = store(error);
            assert_eq!(status.code(), code, "{shown}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason, DOMAIN),
                "{shown}"
            );
            assert!(status.message().contains(says), "{}", status.message());
            assert!(!status.message().contains("secret"));
        }
    }

    #[test]
    fn a_wrong_state_carries_the_verbs_that_are_possible() {
        let status = wrong_state("shop/x", "Created", "instantiate", "approve, delete");
        let info = status.get_details_error_info().unwrap();
        assert_eq!(info.metadata[ALLOWED_VERBS], "approve,delete");
        assert_eq!(
            (
                info.metadata["state"].as_str(),
                info.metadata["verb"].as_str()
            ),
            ("Created", "instantiate")
        );
        assert_eq!(
            status
                .get_details_precondition_failure()
                .unwrap()
                .violations[0]
                .subject,
            "shop/x"
        );
    }

    #[test]
    fn however_much_is_wrong_the_status_fits_into_the_trailers_of_a_client() {
        let long = "\u{1f980}".repeat(1 << 18);
        let many = (0..10_000)
            .map(|i| Violation::new(format!("{i}{long}"), &long))
            .collect();
        let statuses = [
            invalid(&long, many),
            not_found("cluster", &long),
            already_exists("cluster", &long),
            refused(&long, "X", long.clone(), &[("object", &long)]),
            wrong_state(&long, "Created", "instantiate", "approve"),
            invalid_field("the request", &long, &*long),
        ];
        for status in statuses {
            // As it travels: the message percent-encoded, the details in base64.
            let size = 3 * status.message().len() + status.details().len() * 4 / 3;
            assert!(size < 15 << 10, "{size}");
            assert!(status.get_details_error_info().is_some());
        }
    }

    #[test]
    fn violations_are_all_reported_and_the_first_is_the_message() {
        let status = invalid(
            "the upload",
            vec![
                Violation::new("a.yaml#1:kind", "is missing; write it"),
                Violation::new("b", "c"),
            ],
        );
        assert_eq!(
            status.message(),
            "the upload: a.yaml#1:kind: is missing; write it (and 1 more)"
        );
        assert_eq!(
            status
                .get_details_bad_request()
                .unwrap()
                .field_violations
                .len(),
            2
        );
    }
}
