//! Namespaces: what each one gets, and how one goes with all it holds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{AT_ONCE, condition, make, report};
use crate::kube::kinds::Kind;
use crate::kube::object;
use crate::kube::remove::{self, Propagation};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::Stored;

/// The one node.
pub const NODE: &str = "sandbox-node";

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nc2FuZGJveA==\n-----END CERTIFICATE-----\n";

/// What a new cluster holds.
pub fn found(state: &mut State) -> Result<(), Status> {
    for name in ["kube-system", "default", "kube-public", "kube-node-lease"] {
        let namespace = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        make(state, "namespaces", None, namespace)?;
        furnish(state, name)?;
    }
    let service = json!({
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP", "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        "status": {"loadBalancer": {}},
    });
    make(state, "services", None, service)?;
    let now = object::now();
    let node = json!({
        "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
            "capacity": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
            "conditions": [condition("Ready", true, "KubeletReady", "kubelet is posting ready status", &now)],
            "nodeInfo": {"kubeletVersion": crate::kube::VERSION, "operatingSystem": "linux", "architecture": "amd64"},
        },
    });
    make(state, "nodes", None, node).map(drop)
}

/// Gives a namespace what Kubernetes puts into each.
pub fn furnish(state: &mut State, namespace: &str) -> Result<(), Status> {
    make(
        state,
        "serviceaccounts",
        None,
        json!({"metadata": {"name": "default", "namespace": namespace}}),
    )?;
    let config = json!({
        "metadata": {"name": "kube-root-ca.crt", "namespace": namespace, "annotations": {
            "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when \
                using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage \
                is guaranteed across distributions of Kubernetes clusters."}},
        "data": {"ca.crt": CERTIFICATE},
    });
    make(state, "configmaps", None, config).map(drop)
}

/// Deletes the content of a namespace, then the namespace.
pub fn finish(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    let namespace = stored.key.name.as_str();
    let mut budget = AT_ONCE;
    let mut left: Vec<(String, usize)> = Vec::new();
    let mut held: BTreeMap<String, usize> = BTreeMap::new();
    for id in state.store.kinds() {
        let Some(content) = state.kind(&id).filter(|kind| kind.namespaced) else {
            continue;
        };
        let waiting: Vec<Arc<Stored>> = state
            .store
            .list(&id, Some(namespace), None)
            .filter(|one| !one.deleting)
            .take(budget)
            .cloned()
            .collect();
        budget -= waiting.len();
        for one in &waiting {
            remove::begin(state, &content, one, Propagation::Background)?;
        }
        let count = state.store.list(&id, Some(namespace), None).count();
        if count > 0 {
            // As Kubernetes writes a resource and its group, which the core group has not.
            let dot = if content.group.is_empty() { "." } else { "" };
            left.push((format!("{id}{dot}"), count));
        }
        for one in state.store.list(&id, Some(namespace), None) {
            for finalizer in object::finalizers(&one.object()) {
                *held.entry(finalizer.to_owned()).or_default() += 1;
            }
        }
    }
    if budget == 0 {
        state.look_at(stored.key.clone(), Duration::ZERO);
        return Ok(());
    }
    let absent = if state.config.backends_down {
        state.absent_backends()
    } else {
        Vec::new()
    };
    let object = stored.object();
    if left.is_empty() && absent.is_empty() && object::finalizers(&object).is_empty() {
        return state.remove(&stored.key).map(drop);
    }
    let now = object::now();
    let groups: Vec<String> = absent
        .iter()
        .map(|(group, version)| format!("{group}/{version}"))
        .collect();
    let discovery = match groups.as_slice() {
        [] => condition(
            "NamespaceDeletionDiscoveryFailure",
            false,
            "ResourcesDiscovered",
            "All resources successfully discovered",
            &now,
        ),
        groups => {
            let message = format!(
                "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}: stale GroupVersion discovery: {}",
                groups.len(),
                groups[0],
                groups[0]
            );
            condition(
                "NamespaceDeletionDiscoveryFailure",
                true,
                "DiscoveryFailed",
                &message,
                &now,
            )
        }
    };
    let counts: Vec<String> = left
        .iter()
        .map(|(id, count)| format!("{id} has {count} resource instances"))
        .collect();
    let content = match counts.as_slice() {
        [] => condition(
            "NamespaceContentRemaining",
            false,
            "ContentRemoved",
            "All content successfully removed",
            &now,
        ),
        counts => {
            let message = format!("Some resources are remaining: {}", counts.join(", "));
            condition(
                "NamespaceContentRemaining",
                true,
                "SomeResourcesRemain",
                &message,
                &now,
            )
        }
    };
    let finalizers: Vec<String> = held
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    let finalizers = if finalizers.is_empty() {
        condition(
            "NamespaceFinalizersRemaining",
            false,
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
            &now,
        )
    } else {
        let message = format!(
            "Some content in the namespace has finalizers remaining: {}",
            finalizers.join(", ")
        );
        condition(
            "NamespaceFinalizersRemaining",
            true,
            "SomeFinalizersRemain",
            &message,
            &now,
        )
    };
    let mut conditions = vec![discovery, content, finalizers];
    // Times of conditions that say the same stay, so that a look that finds nothing new writes nothing.
    for fresh in &mut conditions {
        let before = object
            .pointer("/status/conditions")
            .and_then(Value::as_array);
        let same = before.into_iter().flatten().find(|one| {
            one["type"] == fresh["type"]
                && one["status"] == fresh["status"]
                && one["message"] == fresh["message"]
        });
        if let Some(same) = same {
            *fresh = same.clone();
        }
    }
    report(
        state,
        kind,
        stored,
        json!({"phase": "Terminating", "conditions": conditions}),
    )
}
