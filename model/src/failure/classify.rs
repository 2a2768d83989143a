//! The one decision between "again" and "never" (spec §2.3).

use super::{Answer, Failure, Network, NetworkKind, ServerStatus, conflicting_managers, sanitize};
use crate::state::Goal;

/// What was asked, as far as it matters for the answer's meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    pub goal: Goal,
    /// A CRD of the same plan defines the kind: it may not be served yet.
    pub kind_planned: bool,
    /// Discovery was read again after the kind was found missing.
    pub rediscovered: bool,
    /// The object's namespace is a row of the same plan: it may be on its way.
    pub namespace_planned: bool,
    /// The request named a uid, or a precondition on one.
    pub uid_sent: bool,
}

impl Asked {
    /// An apply (or delete) of a kind and namespace that are nobody's.
    pub fn plain(goal: Goal) -> Self {
        Self {
            goal,
            kind_planned: false,
            rediscovered: true,
            namespace_planned: false,
            uid_sent: false,
        }
    }
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Retry, not before the server's own wish.
    Transient {
        failure: Failure,
        retry_after_ms: Option<u64>,
    },
    /// No retry can help.
    Final(Failure),
    /// What is known of the object (its uid, its kind's address) is out of date: read it again,
    /// then repeat.
    LookAgain(Failure),
    /// A delete found nothing. Whether that is believed is the caller's question (protocol §6).
    Gone,
}

impl Verdict {
    /// Why, unless nothing is there.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Transient { failure, .. } | Self::Final(failure) | Self::LookAgain(failure) => {
                Some(failure)
            }
            Self::Gone => None,
        }
    }
}

/// Decides what an answer means for the resource.
pub fn classify(answer: &Answer, asked: &Asked) -> Verdict {
    match answer {
        Answer::Network(network) => transient(network_failure(network), None),
        Answer::Http(status) => http(status, asked),
    }
}

fn transient(failure: Failure, retry_after_s: Option<u64>) -> Verdict {
    Verdict::Transient {
        failure,
        retry_after_ms: retry_after_s.map(|s| s.saturating_mul(1_000)),
    }
}

fn network_failure(network: &Network) -> Failure {
    let code = match network.kind {
        NetworkKind::Timeout => "timeout",
        _ => "unreachable",
    };
    Failure::new(code, network.kind.describe())
}

fn http(status: &ServerStatus, asked: &Asked) -> Verdict {
    let failure = |code: &str| Failure::new(code, sanitize(status));
    let again = |code: &str| transient(failure(code), status.retry_after_s);
    let never = |code: &str| Verdict::Final(failure(code));
    let says = |text: &str| status.message.contains(text);
    match status.code {
        401 => never("unauthorized"),
        403 if is_namespace_terminating(status) => again("terminatingNamespace"),
        400 | 403 if says("admission webhook \"") && says(" denied the request") => never("denied"),
        403 if says("exceeded quota: ") => never("quota"),
        403 => never("forbidden"),
        400 => never("badRequest"),
        404 => not_found(status, asked),
        405 => never("methodNotAllowed"),
        408 => again("timeout"),
        409 => conflict(status, asked),
        413 => never("tooLarge"),
        422 if is_about_uid(status, asked) => Verdict::LookAgain(failure("uidChanged")),
        422 => never("invalid"),
        429 => again("tooManyRequests"),
        other if (400..500).contains(&other) => never("refused"),
        // The schema refuses the object; the server calls it an error of its own.
        500 if says("failed to create typed patch object") => never("invalid"),
        500 if says("failed calling webhook") => again("webhook"),
        504 => again("timeout"),
        // Other 5xx; and what is neither success nor error: somebody else answers there.
        _ => again("serverError"),
    }
}

fn is_namespace_terminating(status: &ServerStatus) -> bool {
    status
        .causes
        .iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
        || status.message.contains("because it is being terminated")
}

/// The server compared uids and found another object, or none.
fn is_about_uid(status: &ServerStatus, asked: &Asked) -> bool {
    let message = status.message.to_ascii_lowercase();
    status
        .causes
        .iter()
        .any(|cause| cause.field == "metadata.uid")
        || message.contains("uid in precondition")
        || message.contains("uid mismatch")
        || (asked.uid_sent && message.contains("metadata.uid"))
}

fn not_found(status: &ServerStatus, asked: &Asked) -> Verdict {
    let about_namespace = status.about == "namespaces"
        || (status.message.starts_with("namespaces \"") && status.message.ends_with("not found"));
    let about_object = status.reason == "NotFound" && !status.about.is_empty();
    match asked.goal {
        // Nothing can be in a namespace, or under a name, that is not there.
        Goal::Delete if about_object || about_namespace => Verdict::Gone,
        Goal::Apply if about_namespace => {
            let failure = Failure::new("namespaceNotFound", sanitize(status));
            match asked.namespace_planned {
                true => transient(failure, status.retry_after_s),
                false => Verdict::Final(failure),
            }
        }
        // The path itself is unknown: the kind is not served (any more, or yet).
        _ => no_such_kind(asked),
    }
}

fn no_such_kind(asked: &Asked) -> Verdict {
    let failure = Failure::new("noSuchKind", "the cluster does not know this kind");
    match asked {
        Asked {
            rediscovered: false,
            ..
        } => Verdict::LookAgain(failure),
        Asked {
            goal: Goal::Delete, ..
        } => Verdict::Gone,
        Asked {
            kind_planned: true, ..
        } => transient(failure, None),
        _ => Verdict::Final(failure),
    }
}

fn conflict(status: &ServerStatus, asked: &Asked) -> Verdict {
    let failure = |code: &str| Failure::new(code, sanitize(status));
    if status
        .causes
        .iter()
        .any(|cause| cause.reason == "FieldManagerConflict")
        || !conflicting_managers(status).is_empty()
    {
        return Verdict::Final(failure("conflict"));
    }
    if is_about_uid(status, asked) {
        return Verdict::LookAgain(failure("uidChanged"));
    }
    transient(failure("writeRace"), status.retry_after_s)
}

/// "No matches for kind": discovery does not list it.
pub fn unknown_kind(asked: &Asked) -> Verdict {
    no_such_kind(asked)
}
