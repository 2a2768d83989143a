//! Kinds that are questions: who am I, may I. Everybody may everything here.

use serde_json::{Value, json};

use super::answer::Answer;
use super::body;
use super::kinds::Kind;
use super::object;
use super::request::Call;
use super::status::Status;

/// Answers a question put by POST.
pub fn answer(call: &Call, kind: &Kind, version: &str, namespace: &str) -> Result<Answer, Status> {
    let mut question = body::object(call)?;
    body::check_kind(&question, kind, version)?;
    let user =
        json!({"username": "sandbox-admin", "groups": ["system:masters", "system:authenticated"]});
    let root = object::fields(&mut question);
    root.insert("apiVersion".into(), kind.api_version(version).into());
    root.insert("kind".into(), kind.kind.clone().into());
    let status = match kind.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": user}),
        "TokenReview" => json!({"authenticated": true, "user": user}),
        "SelfSubjectRulesReview" => {
            let rule = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
            json!({"resourceRules": [rule], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false})
        }
        "Binding" => {
            return Ok(Answer::value(
                201,
                &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
            ));
        }
        _ => json!({"allowed": true}),
    };
    root.insert("status".into(), status);
    let meta = object::meta_mut(&mut question);
    meta.entry("creationTimestamp").or_insert(Value::Null);
    if kind.namespaced && !namespace.is_empty() {
        meta.insert("namespace".into(), namespace.into());
    }
    Ok(Answer::value(201, &question))
}

/// `serviceaccounts/NAME/token`.
pub fn token(call: &Call, name: &str, namespace: &str) -> Result<Answer, Status> {
    let asked = body::options(call)?;
    let seconds = object::number(&asked, "/spec/expirationSeconds").unwrap_or(3_600);
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let until = until.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Ok(Answer::value(
        201,
        &json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": object::now()},
            "spec": {"audiences": ["https://kubernetes.default.svc"], "expirationSeconds": seconds},
            "status": {"token": "sandbox", "expirationTimestamp": until},
        }),
    ))
}
