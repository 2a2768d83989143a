//! Deployments roll out ReplicaSets, ReplicaSets keep Pods.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{AT_ONCE, condition, conditions, controlled, make, pod, pods, report, set_condition};
use crate::kube::kinds::Kind;
use crate::kube::object::{self, number};
use crate::kube::remove::{self, Propagation};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::Stored;

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A short name for a template, the same whenever the template is.
pub fn hash(template: &Value) -> String {
    // FNV-1a: stable over processes and versions, unlike the standard library's hasher.
    let hash = template
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    object::suffix(hash, 10)
}

/// One ReplicaSet for the current template; all others go down to nothing.
pub fn deployment(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    let wanted = number(&object, "/spec/replicas").unwrap_or(1);
    let template = object
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let hash = hash(&template);
    let sets = controlled(state, "replicasets.apps", stored);
    let current = sets
        .iter()
        .find(|set| {
            set.labels
                .iter()
                .any(|(key, value)| key == HASH && *value == hash)
        })
        .cloned();
    let Some(sets_kind) = state.kind("replicasets.apps") else {
        return Ok(());
    };
    if object.pointer("/spec/paused") != Some(&Value::Bool(true)) {
        for set in &sets {
            let replicas = if current
                .as_ref()
                .is_some_and(|current| current.uid == set.uid)
            {
                wanted
            } else {
                0
            };
            let mut changed = set.object();
            if number(&changed, "/spec/replicas") != Some(replicas) {
                changed["spec"]["replicas"] = replicas.into();
                let generation = number(&changed, "/metadata/generation").unwrap_or(1) + 1;
                changed["metadata"]["generation"] = generation.into();
                state.put(&sets_kind, changed)?;
            }
        }
        if current.is_none() {
            let revision = sets.len() + 1;
            let mut template = template.clone();
            let meta = object::child(object::fields(&mut template), "metadata");
            object::child(meta, "labels").insert(HASH.into(), hash.clone().into());
            let labels = template["metadata"]["labels"].clone();
            let mut selector = object
                .pointer("/spec/selector")
                .cloned()
                .unwrap_or_default();
            object::child(object::fields(&mut selector), "matchLabels")
                .insert(HASH.into(), hash.clone().into());
            let set = json!({
                "metadata": {"name": format!("{}-{hash}", stored.key.name), "namespace": stored.key.namespace,
                    "labels": labels, "annotations": {REVISION: revision.to_string()}},
                "spec": {"replicas": wanted, "selector": selector, "template": template},
            });
            make(state, "replicasets.apps", Some((kind, stored)), set)?;
        }
    }
    let Some(stored) = state.store.at(&stored.key).cloned() else {
        return Ok(());
    };
    deployment_status(state, kind, &stored, &hash, wanted)
}

fn deployment_status(
    state: &mut State,
    kind: &Kind,
    stored: &Arc<Stored>,
    hash: &str,
    wanted: i64,
) -> Result<(), Status> {
    let object = stored.object();
    let sets: Vec<Value> = controlled(state, "replicasets.apps", stored)
        .iter()
        .map(|set| set.object())
        .collect();
    let sum = |field: &str| -> i64 { sets.iter().filter_map(|set| number(set, field)).sum() };
    let current = sets.iter().find(|set| {
        set.pointer("/metadata/labels")
            .is_some_and(|labels| labels[HASH] == hash)
    });
    let updated = current
        .and_then(|set| number(set, "/status/replicas"))
        .unwrap_or(0);
    let (replicas, ready, available) = (
        sum("/status/replicas"),
        sum("/status/readyReplicas"),
        sum("/status/availableReplicas"),
    );
    let now = object::now();
    let done = updated == wanted && available >= wanted && replicas == wanted;
    let name = current
        .map(|set| object::name(set).to_owned())
        .unwrap_or_default();
    let mut listed = conditions(&object);
    let mut progressing = if done {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        condition(
            "Progressing",
            true,
            "NewReplicaSetAvailable",
            &message,
            &now,
        )
    } else {
        condition(
            "Progressing",
            true,
            "ReplicaSetUpdated",
            &format!("ReplicaSet \"{name}\" is progressing."),
            &now,
        )
    };
    let mut availability = if available >= wanted - wanted / 4 && (available > 0 || wanted == 0) {
        condition(
            "Available",
            true,
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            &now,
        )
    } else {
        let message = "Deployment does not have minimum availability.";
        condition(
            "Available",
            false,
            "MinimumReplicasUnavailable",
            message,
            &now,
        )
    };
    progressing["lastUpdateTime"] = now.clone().into();
    availability["lastUpdateTime"] = now.into();
    set_condition(&mut listed, availability);
    set_condition(&mut listed, progressing);
    let mut status = json!({
        "observedGeneration": number(&object, "/metadata/generation").unwrap_or(1),
        "conditions": listed,
    });
    for (field, count) in [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted - available).max(0)),
    ] {
        if count > 0 {
            status[field] = count.into();
        }
    }
    report(state, kind, stored, status)
}

/// As many Pods as are wanted.
pub fn replica_set(
    state: &mut State,
    kind: &Arc<Kind>,
    stored: &Arc<Stored>,
) -> Result<(), Status> {
    let object = stored.object();
    let wanted = number(&object, "/spec/replicas").unwrap_or(1).max(0);
    let template = object
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default();
    let there = controlled(state, "pods", stored);
    keep_pods(
        state,
        kind,
        stored,
        there,
        usize::try_from(wanted).unwrap_or(0),
        |_| {
            let name = format!("{}-{}", stored.key.name, object::suffix(rand::random(), 5));
            pod(&template, &stored.key.namespace, &name, &[])
        },
    )?;
    let pods: Vec<Value> = controlled(state, "pods", stored)
        .iter()
        .map(|pod| pod.object())
        .collect();
    let ready = pods.iter().filter(|pod| pods::is_ready(pod)).count();
    let mut status = json!({
        "observedGeneration": number(&object, "/metadata/generation").unwrap_or(1),
        "replicas": pods.len(),
        "fullyLabeledReplicas": pods.len(),
    });
    if ready > 0 {
        status["readyReplicas"] = ready.into();
        status["availableReplicas"] = ready.into();
    }
    report(state, kind, stored, status)
}

/// Makes missing Pods and deletes surplus ones, a batch per look.
pub fn keep_pods(
    state: &mut State,
    kind: &Kind,
    owner: &Arc<Stored>,
    there: Vec<Arc<Stored>>,
    wanted: usize,
    new: impl Fn(usize) -> Value,
) -> Result<(), Status> {
    if there.len() < wanted {
        for at in there.len()..wanted.min(there.len() + AT_ONCE) {
            make(state, "pods", Some((kind, owner)), new(at))?;
        }
        if wanted > there.len() + AT_ONCE {
            state.look_at(owner.key.clone(), Duration::ZERO);
        }
    }
    if let Some(pods) = state.kind("pods") {
        for surplus in there.iter().skip(wanted) {
            remove::begin(state, &pods, surplus, Propagation::Background)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_one_hash() {
        let template = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(hash(&template), hash(&template.clone()));
        assert_ne!(hash(&template), hash(&json!({})));
        assert_eq!(hash(&template).len(), 10);
    }
}
