//! Answers of real API servers, and what they mean.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::state::Goal;
use serde_json::{Value, json};

/// Stands in for a secret wherever a server may echo a value.
const MARKER: &str = "hunter2-SECRET";

fn http(code: u16, body: Value) -> Answer {
    let mut body = body;
    body["kind"] = "Status".into();
    Answer::Http(ServerStatus::from_body(
        code,
        body.to_string().as_bytes(),
        None,
    ))
}

/// `again code`, `never code`, `look code` or `gone`.
fn verdict(answer: &Answer, asked: &Asked) -> String {
    match classify(answer, asked) {
        Verdict::Transient { failure, .. } => format!("again {}", failure.code),
        Verdict::Final(failure) => format!("never {}", failure.code),
        Verdict::LookAgain(failure) => format!("look {}", failure.code),
        Verdict::Gone => "gone".to_owned(),
    }
}

#[test]
fn every_answer_to_an_apply_has_the_meaning_of_the_spec() {
    let cases: Vec<(u16, Value, &str)> = vec![
        (400, json!({"reason": "BadRequest"}), "never badRequest"),
        (401, json!({"reason": "Unauthorized"}), "never unauthorized"),
        (402, json!({}), "never refused"),
        (
            403,
            json!({"reason": "Forbidden", "message": "deployments.apps \"x\" is forbidden: User \"u\" cannot patch resource \"deployments\" in API group \"apps\""}),
            "never forbidden",
        ),
        (
            403,
            json!({"reason": "Forbidden", "message": "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated", "details": {"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]}}),
            "again terminatingNamespace",
        ),
        (
            404,
            json!({"reason": "NotFound", "message": "namespaces \"x\" not found", "details": {"kind": "namespaces", "name": "x"}}),
            "never namespaceNotFound",
        ),
        (
            404,
            json!({"reason": "NotFound", "message": "the server could not find the requested resource", "details": {}}),
            "never noSuchKind",
        ),
        (
            405,
            json!({"reason": "MethodNotAllowed"}),
            "never methodNotAllowed",
        ),
        (408, json!({"reason": "Timeout"}), "again timeout"),
        (
            409,
            json!({"reason": "Conflict", "message": "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas", "details": {"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas"}]}}),
            "never conflict",
        ),
        (
            409,
            json!({"reason": "Conflict", "message": "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"}),
            "again writeRace",
        ),
        (
            409,
            json!({"reason": "AlreadyExists", "message": "object is being deleted: configmaps \"a\" already exists"}),
            "again writeRace",
        ),
        (
            409,
            json!({"reason": "Conflict", "message": "Operation cannot be fulfilled on configmaps \"a\": uid mismatch: the provided object specified uid x, and no existing object was found"}),
            "look uidChanged",
        ),
        (
            413,
            json!({"reason": "RequestEntityTooLarge"}),
            "never tooLarge",
        ),
        (
            422,
            json!({"reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "field": "metadata.uid"}]}}),
            "look uidChanged",
        ),
        (422, json!({"reason": "Invalid"}), "never invalid"),
        (
            429,
            json!({"reason": "TooManyRequests"}),
            "again tooManyRequests",
        ),
        (
            500,
            json!({"reason": "InternalError", "message": "Internal error occurred: failed calling webhook \"a.b.io\": dial tcp"}),
            "again webhook",
        ),
        (
            500,
            json!({"message": "failed to create typed patch object (x/a; apps/v1, Kind=Deployment): .spec.replcas: field not declared in schema"}),
            "never invalid",
        ),
        (500, json!({"reason": "InternalError"}), "again serverError"),
        (501, json!({}), "again serverError"),
        (502, json!({}), "again serverError"),
        (
            503,
            json!({"reason": "ServiceUnavailable"}),
            "again serverError",
        ),
        (504, json!({"reason": "Timeout"}), "again timeout"),
    ];
    for (code, body, want) in cases {
        let text = body.to_string();
        assert_eq!(
            verdict(&http(code, body), &Asked::plain(Goal::Apply)),
            want,
            "{code} {text}"
        );
    }
    // Proxies and load balancers answer in HTML.
    for (code, want) in [
        (404, "never noSuchKind"),
        (502, "again serverError"),
        (403, "never forbidden"),
    ] {
        let answer = Answer::Http(ServerStatus::from_body(code, b"<html>", None));
        assert_eq!(verdict(&answer, &Asked::plain(Goal::Apply)), want);
    }
}

#[test]
fn a_kind_or_namespace_of_the_plan_may_still_come() {
    let kind = http(404, json!({"reason": "NotFound", "details": {}}));
    let namespace = http(
        404,
        json!({"reason": "NotFound", "message": "namespaces \"x\" not found", "details": {"kind": "namespaces"}}),
    );
    let plain = Asked::plain(Goal::Apply);
    let cases = [
        (
            &kind,
            Asked {
                rediscovered: false,
                ..plain
            },
            "look noSuchKind",
        ),
        (
            &kind,
            Asked {
                rediscovered: false,
                kind_planned: true,
                ..plain
            },
            "look noSuchKind",
        ),
        (
            &kind,
            Asked {
                kind_planned: true,
                ..plain
            },
            "again noSuchKind",
        ),
        (&kind, plain, "never noSuchKind"),
        (
            &namespace,
            Asked {
                namespace_planned: true,
                ..plain
            },
            "again namespaceNotFound",
        ),
        (&namespace, plain, "never namespaceNotFound"),
        (
            &kind,
            Asked {
                rediscovered: false,
                ..Asked::plain(Goal::Delete)
            },
            "look noSuchKind",
        ),
        (&kind, Asked::plain(Goal::Delete), "gone"),
        (&namespace, Asked::plain(Goal::Delete), "gone"),
    ];
    for (answer, asked, want) in cases {
        assert_eq!(verdict(answer, &asked), want, "{asked:?}");
    }
}

#[test]
fn a_delete_of_nothing_is_gone_and_of_another_object_looks_again() {
    let asked = Asked {
        uid_sent: true,
        ..Asked::plain(Goal::Delete)
    };
    let gone = http(
        404,
        json!({"reason": "NotFound", "message": "configmaps \"a\" not found", "details": {"kind": "configmaps", "name": "a"}}),
    );
    assert_eq!(verdict(&gone, &asked), "gone");
    let other = http(
        409,
        json!({"reason": "Conflict", "message": "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (x) does not match the UID in record (y). Precondition failed: UID in precondition: x, UID in object meta: y"}),
    );
    assert_eq!(verdict(&other, &asked), "look uidChanged");
    let refused = http(403, json!({"reason": "Forbidden"}));
    assert_eq!(verdict(&refused, &asked), "never forbidden");
}

#[test]
fn network_errors_are_transient_and_say_whether_something_left() {
    use NetworkKind::*;
    for (kind, sent, code, certainty) in [
        (Dns, false, "unreachable", Certainty::NotSent),
        (Refused, false, "unreachable", Certainty::NotSent),
        (ConnectTimeout, false, "unreachable", Certainty::NotSent),
        (Tls, false, "unreachable", Certainty::NotSent),
        (Reset, true, "unreachable", Certainty::Ambiguous),
        (Reset, false, "unreachable", Certainty::NotSent),
        (Timeout, true, "timeout", Certainty::Ambiguous),
        (Other, true, "unreachable", Certainty::Ambiguous),
    ] {
        let answer = Answer::Network(Network { kind, sent });
        assert_eq!(
            verdict(&answer, &Asked::plain(Goal::Apply)),
            format!("again {code}")
        );
        assert_eq!(answer.certainty(), certainty, "{kind:?}");
    }
    for (code, certainty) in [
        (401, Certainty::Definite),
        (408, Certainty::Ambiguous),
        (409, Certainty::Definite),
        (429, Certainty::Definite),
        (500, Certainty::Ambiguous),
        (503, Certainty::Ambiguous),
    ] {
        assert_eq!(http(code, json!({})).certainty(), certainty, "{code}");
    }
}

#[test]
fn retry_after_is_taken_from_header_and_body() {
    let asked = Asked::plain(Goal::Apply);
    let after = |status: ServerStatus| match classify(&Answer::Http(status), &asked) {
        Verdict::Transient { retry_after_ms, .. } => retry_after_ms,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        after(ServerStatus::from_body(429, b"slow down", Some("7"))),
        Some(7_000)
    );
    let body = json!({"kind": "Status", "details": {"retryAfterSeconds": 3}}).to_string();
    assert_eq!(
        after(ServerStatus::from_body(503, body.as_bytes(), None)),
        Some(3_000)
    );
    assert_eq!(
        after(ServerStatus::from_body(503, b"", Some("Wed, 21 Oct"))),
        None
    );
}

#[test]
fn sentences_name_fields_and_managers() {
    let cases: Vec<(u16, Value, &str)> = vec![
        (
            409,
            json!({"reason": "Conflict", "message": "Apply failed with 2 conflicts: conflicts with \"helm\" using v1:\n- .data.a\nconflicts with \"kubectl-edit\" using v1: .data.b", "details": {"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"helm\" using v1", "field": ".data.a"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"kubectl-edit\" using v1", "field": ".spec.containers[name=\"web\"].image"}]}}),
            "conflict with helm, kubectl-edit over .data.a, .spec.containers[…].image",
        ),
        (
            422,
            json!({"reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "field": "spec.ports[0].port", "message": "Invalid value: 99999"}, {"reason": "FieldValueRequired", "field": "spec.selector", "message": "Required value"}]}}),
            "the object is invalid: spec.ports[0].port: Invalid value, spec.selector: Required value",
        ),
        (
            403,
            json!({"reason": "Forbidden", "message": "deployments.apps \"x\" is forbidden: User \"u\" cannot patch resource \"deployments\" in API group \"apps\" in the namespace \"n\""}),
            "the credentials may not patch deployments.apps in namespace n",
        ),
        (
            403,
            json!({"reason": "Forbidden", "message": "pods \"x\" is forbidden: exceeded quota: q, requested: pods=1"}),
            "the quota q of the namespace is exceeded",
        ),
        (
            400,
            json!({"reason": "BadRequest", "message": "admission webhook \"validate.nginx.ingress.kubernetes.io\" denied the request: no"}),
            "the admission webhook validate.nginx.ingress.kubernetes.io denied it",
        ),
        (
            500,
            json!({"message": "Internal error occurred: failed calling webhook \"a.b.io\": Post \"https://x\": dial tcp"}),
            "the webhook a.b.io does not answer",
        ),
        (
            500,
            json!({"message": "failed to create typed patch object (d/x; apps/v1, Kind=Deployment): .spec.replcas: field not declared in schema"}),
            "the object does not fit the schema: .spec.replcas is not declared in the schema",
        ),
        (
            404,
            json!({"reason": "NotFound", "details": {"kind": "namespaces"}}),
            "the namespace does not exist",
        ),
        (
            415,
            json!({"reason": "UnsupportedMediaType"}),
            "the cluster refused it: it does not know server-side apply, which Kubernetes before 1.22 may not",
        ),
        (418, json!({}), "the cluster refused it"),
    ];
    for (code, body, want) in cases {
        let Answer::Http(status) = http(code, body) else {
            unreachable!()
        };
        assert_eq!(sanitize(&status), want);
    }
}

#[test]
fn no_value_of_the_object_ever_shows() {
    let quoted = format!("Invalid value: \"{MARKER}\": must be a number");
    let planted: Vec<Value> = vec![
        json!({"reason": "Invalid", "message": format!("Secret \"s\" is invalid: data.x: {quoted}"), "details": {"causes": [{"reason": "FieldValueInvalid", "field": "data.x", "message": quoted}]}}),
        json!({"reason": MARKER, "message": MARKER}),
        json!({"reason": "BadRequest", "message": format!("illegal base64 data: {MARKER}")}),
        json!({"reason": "Invalid", "details": {"causes": [{"reason": MARKER, "field": format!("data[\"{MARKER}\"].x"), "message": MARKER}]}}),
        json!({"reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "field": format!("data[{MARKER}].x")}]}}),
        json!({"reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "field": format!("a[\"]\\\"{MARKER}\"]")}]}}),
        json!({"reason": "Invalid", "details": {"causes": [{"reason": "FieldValueInvalid", "field": format!("data: {MARKER}")}]}}),
        json!({"reason": "Conflict", "message": "x", "details": {"causes": [{"reason": "FieldManagerConflict", "message": format!("conflict with \"{MARKER} \" using v1"), "field": format!(".metadata.finalizers[=\"{MARKER}\"]")}]}}),
        json!({"message": format!("failed calling webhook \"{MARKER}!\": {MARKER}")}),
        json!({"message": format!("admission webhook \"w.io\" denied the request: {MARKER}")}),
        json!({"message": format!("pods \"x\" is forbidden: exceeded quota: {MARKER}!, requested: pods=1")}),
        json!({"message": format!("failed to create typed patch object: .data.{{{MARKER}}}: field not declared in schema; expected string, got {MARKER}")}),
        json!({"message": format!("x is forbidden: User \"u\" cannot {MARKER}! resource \"{MARKER} \" in API group")}),
        json!({"details": {"kind": MARKER, "name": MARKER, "group": MARKER}}),
    ];
    for body in planted {
        for code in [400, 403, 404, 409, 422, 500] {
            for goal in [Goal::Apply, Goal::Delete] {
                let text = body.to_string();
                let verdict = classify(&http(code, body.clone()), &Asked::plain(goal));
                let shown = format!("{:?}", verdict.failure());
                assert!(!shown.contains(MARKER), "{code} {text} shows {shown}");
            }
        }
    }
}
