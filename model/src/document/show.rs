//! Documents as users write them, so that what is shown can be applied again.

use super::{
    Cluster, CompositeApp, Dig, Existing, OnFailure, OpStatus, Selector, WaitFor, duration_text,
};
use serde_json::{Map, Value, json};

/// `kind: Cluster`, with the path of the kubeconfig rather than its content.
pub fn show_cluster(cluster: &Cluster) -> Value {
    let mut spec = Map::new();
    spec.insert("kubeconfig".to_owned(), cluster.kubeconfig.clone().into());
    if let Some(context) = &cluster.context {
        spec.insert("context".to_owned(), context.clone().into());
    }
    json!({
        "apiVersion": "muster.dev/v1",
        "kind": "Cluster",
        "metadata": {
            "provider": cluster.id.provider,
            "name": cluster.id.name,
            "labels": cluster.labels,
        },
        "spec": spec,
    })
}

/// `kind: CompositeApp`, with the paths of its manifests.
pub fn show_composite_app(app: &CompositeApp) -> Value {
    let apps: Vec<Value> = app
        .apps
        .iter()
        .map(|app| {
            let mut out = Map::new();
            out.insert("name".to_owned(), app.name.clone().into());
            out.insert("manifests".to_owned(), app.manifests.clone().into());
            let depends_on: Vec<Value> = app
                .depends_on
                .iter()
                .map(|dependency| {
                    let status = match dependency.op_status {
                        OpStatus::Deployed => "Deployed",
                        OpStatus::Ready => "Ready",
                    };
                    let wait = duration_text(dependency.wait_ms);
                    json!({"app": dependency.app, "opStatus": status, "wait": wait})
                })
                .collect();
            if !depends_on.is_empty() {
                out.insert("dependsOn".to_owned(), depends_on.into());
            }
            Value::Object(out)
        })
        .collect();
    json!({
        "apiVersion": "muster.dev/v1",
        "kind": "CompositeApp",
        "metadata": {
            "project": app.id.project, "name": app.id.name, "version": app.id.version,
        },
        "spec": {"apps": apps},
    })
}

/// `kind: DeploymentIntentGroup`, defaults written out.
pub fn show_dig(dig: &Dig) -> Value {
    let selectors = |list: &[Selector]| -> Value {
        list.iter()
            .map(|selector| match selector {
                Selector::Cluster(id) => json!({"cluster": id.to_string()}),
                Selector::Label { key, value } if key.is_empty() && value.is_empty() => {
                    json!({"label": ""})
                }
                Selector::Label { key, value } => json!({"label": format!("{key}={value}")}),
            })
            .collect()
    };
    let placement: Vec<Value> = dig
        .placement
        .iter()
        .map(|entry| {
            let mut out = Map::new();
            out.insert("app".to_owned(), entry.app.clone().into());
            for (name, list) in [("allOf", &entry.all_of), ("anyOf", &entry.any_of)] {
                if !list.is_empty() {
                    out.insert(name.to_owned(), selectors(list));
                }
            }
            Value::Object(out)
        })
        .collect();
    let policy = &dig.policy;
    let on_failure = match policy.on_failure {
        OnFailure::Continue => "Continue",
        OnFailure::FailFast => "FailFast",
    };
    let existing = match policy.existing {
        Existing::Refuse => "Refuse",
        Existing::Adopt => "Adopt",
    };
    let wait_for = match policy.wait_for {
        WaitFor::Applied => "Applied",
        WaitFor::Ready => "Ready",
    };
    let backoff = if policy.retry.backoff.fract() == 0.0 {
        json!(policy.retry.backoff as i64)
    } else {
        json!(policy.retry.backoff)
    };
    json!({
        "apiVersion": "muster.dev/v1",
        "kind": "DeploymentIntentGroup",
        "metadata": {"project": dig.id.project, "name": dig.id.name},
        "spec": {
            "compositeApp": {"name": dig.app.name, "version": dig.app.version},
            "namespace": dig.namespace,
            "placement": placement,
            "policy": {
                "onFailure": on_failure,
                "waitFor": wait_for,
                "existing": existing,
                "forceConflicts": policy.force_conflicts,
                "retry": {
                    "initialInterval": duration_text(policy.retry.initial_interval_ms),
                    "backoff": backoff,
                    "maxInterval": duration_text(policy.retry.max_interval_ms),
                    "maxElapsed": policy.retry.max_elapsed_ms.map(duration_text),
                },
                "deleteTimeout": duration_text(policy.delete_timeout_ms),
                "readyTimeout": duration_text(policy.ready_timeout_ms),
            },
        },
    })
}
