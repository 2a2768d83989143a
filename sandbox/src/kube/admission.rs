//! What stands between a valid request and the store: namespaces, and webhooks that nothing answers.

use serde_json::Value;

use super::kinds::Kind;
use super::object::{self, text};
use super::selector::Labels;
use super::state::State;
use super::status::Status;

/// Refuses new content in a namespace that is absent or going away.
pub fn check_namespace(
    state: &State,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<(), Status> {
    if !kind.namespaced {
        return Ok(());
    }
    match (
        state.store.get("namespaces", "", namespace),
        state.kind("namespaces"),
    ) {
        (Some(stored), _) if stored.deleting => {
            Err(Status::namespace_terminating(kind, name, namespace))
        }
        (Some(_), _) => Ok(()),
        (None, Some(namespaces)) => Err(Status::not_found(&namespaces, namespace)),
        (None, None) => Ok(()),
    }
}

/// Refuses, as a cluster whose webhook backends are down does, what a webhook wants to be asked about.
pub fn check_webhooks(
    state: &State,
    kind: &Kind,
    version: &str,
    operation: &str,
    object: &Value,
) -> Result<(), Status> {
    if !state.config.backends_down {
        return Ok(());
    }
    let exempt = [
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
    ];
    if exempt.contains(&kind.plural.as_str()) && kind.group == "admissionregistration.k8s.io" {
        return Ok(());
    }
    for configurations in [
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ] {
        let id = format!("{configurations}.admissionregistration.k8s.io");
        for stored in state.store.list(&id, None, None) {
            let configuration = stored.object();
            for webhook in configuration
                .get("webhooks")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let ignored = text(webhook, "/failurePolicy") == "Ignore";
                if !ignored && is_asked(state, webhook, kind, version, operation, object) {
                    return Err(unanswered(state, webhook));
                }
            }
        }
    }
    Ok(())
}

fn is_asked(
    state: &State,
    webhook: &Value,
    kind: &Kind,
    version: &str,
    operation: &str,
    object: &Value,
) -> bool {
    let rules = webhook.get("rules").and_then(Value::as_array);
    let matches = rules.into_iter().flatten().any(|rule| {
        let has = |field: &str, wanted: &str| {
            let listed = rule.get(field).and_then(Value::as_array);
            listed
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .any(|one| one == "*" || one == "*/*" || one == wanted)
        };
        let scope = match text(rule, "/scope") {
            "Namespaced" => kind.namespaced,
            "Cluster" => !kind.namespaced,
            _ => true,
        };
        scope
            && has("apiGroups", &kind.group)
            && has("apiVersions", version)
            && has("resources", &kind.plural)
            && has("operations", operation)
    });
    if !matches || !selects(webhook.get("objectSelector"), &object::labels(object)) {
        return false;
    }
    let namespace = if &*kind.id == "namespaces" {
        object::name(object)
    } else {
        object::namespace(object)
    };
    if namespace.is_empty() {
        return true;
    }
    let labels = state
        .store
        .get("namespaces", "", namespace)
        .map(|stored| stored.labels.clone())
        .unwrap_or_default();
    selects(webhook.get("namespaceSelector"), &labels)
}

/// Whether a `LabelSelector` object selects these labels; an absent or empty one selects everything.
pub fn selects(selector: Option<&Value>, labels: &[(String, String)]) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector
        .get("matchExpressions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let key = text(expression, "/key");
        let values: Vec<&str> = expression
            .get("values")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        parts.push(match text(expression, "/operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    Labels::parse(&parts.join(",")).is_ok_and(|selector| selector.matches(labels))
}

fn unanswered(state: &State, webhook: &Value) -> Status {
    let name = text(webhook, "/name");
    let seconds = object::number(webhook, "/timeoutSeconds").unwrap_or(10);
    let (url, why) = match webhook.pointer("/clientConfig/service") {
        Some(service) => {
            let (service_name, namespace) = (text(service, "/name"), text(service, "/namespace"));
            let port = object::number(service, "/port").unwrap_or(443);
            let path = text(service, "/path").trim_start_matches('/');
            let why = if state
                .store
                .get("services", namespace, service_name)
                .is_some()
            {
                format!("no endpoints available for service \"{service_name}\"")
            } else {
                format!("service \"{service_name}\" not found")
            };
            (
                format!("https://{service_name}.{namespace}.svc:{port}/{path}?timeout={seconds}s"),
                why,
            )
        }
        None => {
            let url = text(webhook, "/clientConfig/url");
            (
                format!("{url}?timeout={seconds}s"),
                "connect: connection refused".to_owned(),
            )
        }
    };
    Status::internal(format!(
        "failed calling webhook \"{name}\": failed to call webhook: Post \"{url}\": {why}"
    ))
}
