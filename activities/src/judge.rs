//! From an HTTP answer to what it means for a row; the decision itself is `model::failure`'s.

use crate::{clusters::answer::Answer, object::Meta};
use model::{
    failure::{self as decided, Asked, Certainty, Failure, ServerStatus},
    ids::ResourceKey,
    state::Goal,
};
use std::time::Duration;

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Transient {
        failure: Failure,
        after: Option<Duration>,
    },
    Final(Failure),
}

impl Verdict {
    pub fn failure(&self) -> &Failure {
        match self {
            Self::Transient { failure, .. } | Self::Final(failure) => failure,
        }
    }
}

/// An answer that is no success, to a request that was to bring a row towards `goal`.
pub fn judge(answer: &Answer, goal: Goal) -> Verdict {
    match classify(answer, &Asked::plain(goal)) {
        decided::Verdict::Transient {
            failure,
            retry_after_ms,
        } => Verdict::Transient {
            failure,
            after: retry_after_ms.map(Duration::from_millis),
        },
        decided::Verdict::Final(failure) => Verdict::Final(failure),
        // Who can look again at once did so before asking here.
        decided::Verdict::LookAgain(failure) => Verdict::Transient {
            failure,
            after: None,
        },
        decided::Verdict::Gone => Verdict::Transient {
            failure: failure("gone", "the object is not there"),
            after: None,
        },
    }
}

/// An answer to a read that neither shows what was asked for nor states its absence: what only
/// looks like an absence (a proxy's 404, a 200 without an object) passes.
pub fn read(answer: &Answer, goal: Goal) -> Verdict {
    if !answer.ok() && answer.code != 404 {
        return judge(answer, goal);
    }
    Verdict::Transient {
        failure: failure(
            "unexpectedAnswer",
            &format!("unexpected answer ({})", answer.code),
        ),
        after: None,
    }
}

fn classify(answer: &Answer, asked: &Asked) -> decided::Verdict {
    decided::classify(&decided::Answer::Http(status(answer)), asked)
}

fn status(answer: &Answer) -> ServerStatus {
    let mut status = ServerStatus::from_body(answer.code, &answer.body, None);
    if let Some(after) = answer.retry_after {
        status.retry_after_s = Some(after.as_secs());
    }
    status
}

/// What is known of the effect of a request that was answered so.
pub fn certainty(answer: &Answer) -> Certainty {
    decided::Answer::Http(status(answer)).certainty()
}

/// Whether the uid we sent is no object's, or another object's (protocol §5.5).
pub fn is_uid_mismatch(answer: &Answer) -> bool {
    let asked = Asked {
        uid_sent: true,
        ..Asked::plain(Goal::Apply)
    };
    matches!(classify(answer, &asked), decided::Verdict::LookAgain(failure) if failure.code == "uidChanged")
}

/// The kind is not served.
pub fn unknown_kind(goal: Goal, planned: bool) -> Verdict {
    match decided::unknown_kind(&Asked {
        kind_planned: planned,
        ..Asked::plain(goal)
    }) {
        decided::Verdict::Final(failure) => Verdict::Final(failure),
        decided::Verdict::Transient { failure, .. } | decided::Verdict::LookAgain(failure) => {
            Verdict::Transient {
                failure,
                after: None,
            }
        }
        decided::Verdict::Gone => {
            Verdict::Final(failure("noSuchKind", "the cluster does not know this kind"))
        }
    }
}

pub fn failure(code: &str, message: &str) -> Failure {
    Failure::new(code, message)
}

/// A request that could not be built.
pub fn invalid(cause: String) -> Failure {
    Failure::new("invalid", cause)
}

/// The object is on its way out; an apply has to wait for that.
pub fn terminating(key: &ResourceKey) -> Failure {
    match key.kind.as_str() {
        "Namespace" => Failure::new("terminatingNamespace", "the namespace is being terminated"),
        _ => Failure::new("terminating", "the object is being deleted"),
    }
}

/// The object exists and is not ours.
pub fn foreign(meta: &Meta) -> Failure {
    Failure::exists(&meta.managers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(code: u16, body: Value) -> Answer {
        Answer {
            code,
            retry_after: None,
            body: body.to_string().into(),
        }
    }

    fn status(reason: &str, message: &str) -> Value {
        json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message})
    }

    #[test]
    fn a_uid_of_another_object_or_of_none_is_told_from_other_conflicts() {
        let cases = [
            (
                409,
                status(
                    "Conflict",
                    "Precondition failed: UID in precondition: a, UID in object meta: b",
                ),
                true,
            ),
            (
                409,
                status(
                    "Conflict",
                    "the object has been modified; please apply your changes to the latest version",
                ),
                false,
            ),
            (
                422,
                status(
                    "Invalid",
                    "metadata.uid: Invalid value: \"a\": field is immutable",
                ),
                true,
            ),
            (
                422,
                status("Invalid", "spec.replicas: Invalid value: -1"),
                false,
            ),
            (403, status("Forbidden", "no"), false),
        ];
        for (code, body, expected) in cases {
            assert_eq!(
                is_uid_mismatch(&answer(code, body.clone())),
                expected,
                "{code} {body}"
            );
        }
    }

    #[test]
    fn the_servers_wish_is_kept() {
        let mut busy = answer(429, status("TooManyRequests", "later"));
        busy.retry_after = Some(Duration::from_secs(3));
        let Verdict::Transient { after, .. } = judge(&busy, Goal::Apply) else {
            panic!("429 is transient")
        };
        assert_eq!(after, Some(Duration::from_secs(3)));
        assert!(
            matches!(judge(&answer(401, Value::Null), Goal::Apply), Verdict::Final(f) if f.code == "unauthorized")
        );
    }
}
