//! Our labels (spec §2 "Labels"), put on when an object is sent.

use crate::ids::ContextId;
use serde_json::{Map, Value};

/// The life an object belongs to: objects and pod templates.
pub const CONTEXT_LABEL: &str = "muster.dev/context";
/// The app an object belongs to: objects and pod templates.
pub const APP_LABEL: &str = "muster.dev/app";
/// The installation that made an object; the only one on Namespaces and CRDs.
pub const INSTALLATION_LABEL: &str = "muster.dev/installation";
/// Only where the object does not carry the key itself.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// A Namespace or CRD: shared by contexts, owned by none (protocol §5.1).
pub fn is_shared_kind(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// A keep annotation stands on the object: terminate leaves it and says so (spec §3.3).
pub fn is_kept(object: &Value) -> bool {
    let annotation = |key: &str| object.pointer("/metadata/annotations")?.get(key)?.as_str();
    annotation("helm.sh/resource-policy").is_some_and(|policy| policy.trim() == "keep")
        || annotation("muster.dev/keep").is_some_and(|keep| keep.trim() == "true")
}

/// Adds the labels of one life to an object that is about to be sent. Namespaces and CRDs get
/// only the installation; send those only when we create them.
pub fn stamp(object: &mut Value, context: &ContextId, installation: &str, app: &str) {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let group = api_version
        .split_once('/')
        .map_or("", |(group, _)| group)
        .to_owned();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let Some(labels) = labels(object) else { return };
    labels.insert(INSTALLATION_LABEL.to_owned(), installation.into());
    if is_shared_kind(&group, &kind) {
        return;
    }
    labels.insert(CONTEXT_LABEL.to_owned(), context.0.clone().into());
    labels.insert(APP_LABEL.to_owned(), app.into());
    labels
        .entry(MANAGED_BY_LABEL)
        .or_insert_with(|| "muster".into());
    if let Some(template) = pod_template(&group, &kind).and_then(|path| object.pointer_mut(path))
        && template.is_object()
        && let Some(labels) = self::labels(template)
    {
        labels.insert(CONTEXT_LABEL.to_owned(), context.0.clone().into());
        labels.insert(APP_LABEL.to_owned(), app.into());
    }
}

/// Where a kind keeps the pods it makes.
fn pod_template(group: &str, kind: &str) -> Option<&'static str> {
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("", "ReplicationController")
        | ("batch", "Job") => Some("/spec/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

/// `metadata.labels`, made when absent or null.
fn labels(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let metadata = object
        .as_object_mut()?
        .entry("metadata")
        .or_insert(Value::Null);
    if metadata.is_null() {
        *metadata = Value::Object(Map::new());
    }
    let labels = metadata
        .as_object_mut()?
        .entry("labels")
        .or_insert(Value::Null);
    if labels.is_null() {
        *labels = Value::Object(Map::new());
    }
    labels.as_object_mut()
}
