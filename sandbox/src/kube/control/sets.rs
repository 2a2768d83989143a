//! StatefulSets, DaemonSets and Jobs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rollout::{hash, keep_pods};
use super::{condition, controlled, make, pod, pods, report};
use crate::kube::kinds::Kind;
use crate::kube::object::{self, number};
use crate::kube::remove::{self, Propagation};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::Stored;

const REVISION: &str = "controller-revision-hash";

fn template(object: &Value) -> Value {
    object
        .pointer("/spec/template")
        .cloned()
        .unwrap_or_default()
}

/// Deletes Pods of an older template, to be made anew.
fn current_pods(state: &mut State, owner: &Stored, hash: &str) -> Result<Vec<Arc<Stored>>, Status> {
    let all = controlled(state, "pods", owner);
    let is_current = |pod: &Arc<Stored>| {
        pod.labels
            .iter()
            .any(|(key, value)| key == REVISION && value == hash)
    };
    let (current, old): (Vec<_>, Vec<_>) = all.into_iter().partition(is_current);
    if let Some(kind) = state.kind("pods") {
        for pod in &old {
            remove::begin(state, &kind, pod, Propagation::Background)?;
        }
    }
    Ok(current)
}

/// How many of an owner's Pods there are, and how many of them are ready.
fn counts(state: &State, owner: &Stored) -> (usize, usize) {
    let pods = controlled(state, "pods", owner);
    (
        pods.len(),
        pods.iter()
            .filter(|pod| pods::is_ready(&pod.object()))
            .count(),
    )
}

/// Pods with numbers, each with its claims.
pub fn stateful(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    let wanted = usize::try_from(number(&object, "/spec/replicas").unwrap_or(1)).unwrap_or(0);
    let (template, namespace) = (template(&object), stored.key.namespace.as_str());
    let hash = hash(&template);
    let mut there = current_pods(state, stored, &hash)?;
    let ordinal = |pod: &Stored| {
        pod.key
            .name
            .rsplit('-')
            .next()
            .and_then(|text| text.parse::<usize>().ok())
            .unwrap_or(0)
    };
    there.sort_by_key(|pod| ordinal(pod));
    let missing: Vec<usize> = (0..wanted)
        .filter(|at| !there.iter().any(|pod| ordinal(pod) == *at))
        .collect();
    let claims = object
        .pointer("/spec/volumeClaimTemplates")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for at in missing {
        let name = format!("{}-{at}", stored.key.name);
        for claim in &claims {
            let claim_name = format!("{}-{name}", object::name(claim));
            if state
                .store
                .get("persistentvolumeclaims", namespace, &claim_name)
                .is_none()
            {
                let mut made = claim.clone();
                let meta = object::meta_mut(&mut made);
                meta.insert("name".into(), claim_name.into());
                meta.insert("namespace".into(), namespace.into());
                made["status"] = json!({"phase": "Pending"});
                make(state, "persistentvolumeclaims", None, made)?;
            }
        }
        let index = at.to_string();
        let labels = [
            (REVISION, hash.as_str()),
            ("statefulset.kubernetes.io/pod-name", name.as_str()),
            ("apps.kubernetes.io/pod-index", index.as_str()),
        ];
        make(
            state,
            "pods",
            Some((kind, stored)),
            pod(&template, namespace, &name, &labels),
        )?;
    }
    if let Some(pods) = state.kind("pods") {
        for surplus in there.iter().filter(|pod| ordinal(pod) >= wanted) {
            remove::begin(state, &pods, surplus, Propagation::Background)?;
        }
    }
    let (count, ready) = counts(state, stored);
    let revision = format!("{}-{hash}", stored.key.name);
    let status = json!({
        "observedGeneration": number(&object, "/metadata/generation").unwrap_or(1),
        "replicas": count, "readyReplicas": ready, "availableReplicas": ready, "currentReplicas": count,
        "updatedReplicas": count, "currentRevision": revision, "updateRevision": revision, "collisionCount": 0,
    });
    report(state, kind, stored, status)
}

/// One Pod per node.
pub fn daemon(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    let template = template(&object);
    let hash = hash(&template);
    let there = current_pods(state, stored, &hash)?;
    let nodes: Vec<String> = state
        .store
        .list("nodes", None, None)
        .map(|node| node.key.name.clone())
        .collect();
    keep_pods(state, kind, stored, there, nodes.len(), |at| {
        let name = format!("{}-{}", stored.key.name, object::suffix(rand::random(), 5));
        let mut made = pod(
            &template,
            &stored.key.namespace,
            &name,
            &[(REVISION, &hash)],
        );
        made["spec"]["nodeName"] = nodes.get(at).cloned().unwrap_or_default().into();
        made
    })?;
    let (count, ready) = counts(state, stored);
    let mut status = json!({
        "observedGeneration": number(&object, "/metadata/generation").unwrap_or(1),
        "currentNumberScheduled": count, "desiredNumberScheduled": nodes.len(), "numberMisscheduled": 0,
        "numberReady": ready, "updatedNumberScheduled": count,
    });
    if ready > 0 {
        status["numberAvailable"] = ready.into();
    }
    if ready < nodes.len() {
        status["numberUnavailable"] = (nodes.len() - ready).into();
    }
    report(state, kind, stored, status)
}

/// Pods that run to their end.
pub fn job(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    let object = stored.object();
    let suspended = object.pointer("/spec/suspend") == Some(&Value::Bool(true));
    if suspended || object.pointer("/status/completionTime").is_some() {
        return Ok(());
    }
    let wanted = usize::try_from(number(&object, "/spec/completions").unwrap_or(1)).unwrap_or(1);
    let template = template(&object);
    let labels = [
        ("batch.kubernetes.io/controller-uid", stored.uid.as_str()),
        ("batch.kubernetes.io/job-name", stored.key.name.as_str()),
        ("controller-uid", stored.uid.as_str()),
        ("job-name", stored.key.name.as_str()),
    ];
    let there = controlled(state, "pods", stored);
    keep_pods(state, kind, stored, there, wanted, |_| {
        let name = format!("{}-{}", stored.key.name, object::suffix(rand::random(), 5));
        pod(&template, &stored.key.namespace, &name, &labels)
    })?;
    let pods: Vec<Value> = controlled(state, "pods", stored)
        .iter()
        .map(|pod| pod.object())
        .collect();
    let succeeded = pods
        .iter()
        .filter(|pod| object::text(pod, "/status/phase") == "Succeeded")
        .count();
    let now = object::now();
    let began = object
        .pointer("/status/startTime")
        .and_then(Value::as_str)
        .unwrap_or(&now)
        .to_owned();
    let mut status =
        json!({"startTime": began, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    if succeeded > 0 {
        status["succeeded"] = succeeded.into();
    }
    if succeeded < wanted {
        status["active"] = (wanted - succeeded).into();
    } else {
        let ended = object
            .pointer("/status/completionTime")
            .and_then(Value::as_str)
            .unwrap_or(&now)
            .to_owned();
        let met = |name: &str| {
            let mut met = condition(
                name,
                true,
                "CompletionsReached",
                "Reached expected number of succeeded pods",
                &ended,
            );
            met["lastProbeTime"] = ended.clone().into();
            met
        };
        status["conditions"] = json!([met("SuccessCriteriaMet"), met("Complete")]);
        status["completionTime"] = ended.into();
    }
    report(state, kind, stored, status)
}
