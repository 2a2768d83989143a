//! Plural to kind, for filters and the log: built-in kinds by table, all others by asking the cluster once.

use std::collections::HashMap;
use std::sync::RwLock;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use serde::Deserialize;

use super::backend::Backend;
use super::request::Asked;

/// How long an unknown resource may hold up its request while the cluster is asked for its kind.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a cluster serves, as far as it was needed.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    /// By `group/version`, then plural.
    known: RwLock<HashMap<String, HashMap<String, String>>>,
}

#[derive(Deserialize)]
struct ResourceList {
    #[serde(default)]
    resources: Vec<ResourceEntry>,
}

#[derive(Deserialize)]
struct ResourceEntry {
    name: String,
    kind: String,
}

impl Kinds {
    /// The kind of the resource asked for; `None` when the cluster does not serve it.
    pub async fn of(&self, asked: &Asked, backend: &dyn Backend) -> Option<String> {
        let resource = asked.resource.as_deref()?;
        if let Some(kind) = built_in(&asked.group, resource) {
            return Some(kind.to_owned());
        }
        let served = format!("{}/{}", asked.group, asked.version);
        if let Some(kind) = self.cached(&served, resource) {
            return Some(kind);
        }
        // A plural that is not in the cache may be newer than the cache: custom resources come and go.
        let fresh = tokio::time::timeout(PATIENCE, discover(asked, backend)).await;
        let fresh = fresh.ok().flatten()?;
        let kind = fresh.get(resource).cloned();
        let mut known = self.known.write().unwrap_or_else(|lost| lost.into_inner());
        known.insert(served, fresh);
        kind
    }

    fn cached(&self, served: &str, resource: &str) -> Option<String> {
        let known = self.known.read().unwrap_or_else(|lost| lost.into_inner());
        known.get(served)?.get(resource).cloned()
    }
}

async fn discover(asked: &Asked, backend: &dyn Backend) -> Option<HashMap<String, String>> {
    let path = if asked.group.is_empty() {
        format!("/api/{}", asked.version)
    } else {
        format!("/apis/{}/{}", asked.group, asked.version)
    };
    let request = Request::get(path)
        .header("accept", "application/json")
        .body(Bytes::new())
        .ok()?;
    let answer = backend.call(request).await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let body = answer.into_body().collect().await.ok()?.to_bytes();
    let list: ResourceList = serde_json::from_slice(&body).ok()?;
    let entries = list.resources.into_iter();
    Some(
        entries
            .filter(|entry| !entry.name.contains('/'))
            .map(|entry| (entry.name, entry.kind))
            .collect(),
    )
}

fn built_in(group: &str, plural: &str) -> Option<&'static str> {
    let table: &[(&str, &str)] = match group {
        "" => &[
            ("configmaps", "ConfigMap"),
            ("endpoints", "Endpoints"),
            ("events", "Event"),
            ("limitranges", "LimitRange"),
            ("namespaces", "Namespace"),
            ("nodes", "Node"),
            ("persistentvolumeclaims", "PersistentVolumeClaim"),
            ("persistentvolumes", "PersistentVolume"),
            ("pods", "Pod"),
            ("podtemplates", "PodTemplate"),
            ("replicationcontrollers", "ReplicationController"),
            ("resourcequotas", "ResourceQuota"),
            ("secrets", "Secret"),
            ("serviceaccounts", "ServiceAccount"),
            ("services", "Service"),
        ],
        "apps" => &[
            ("controllerrevisions", "ControllerRevision"),
            ("daemonsets", "DaemonSet"),
            ("deployments", "Deployment"),
            ("replicasets", "ReplicaSet"),
            ("statefulsets", "StatefulSet"),
        ],
        "batch" => &[("cronjobs", "CronJob"), ("jobs", "Job")],
        "autoscaling" => &[("horizontalpodautoscalers", "HorizontalPodAutoscaler")],
        "policy" => &[("poddisruptionbudgets", "PodDisruptionBudget")],
        "networking.k8s.io" => &[
            ("ingressclasses", "IngressClass"),
            ("ingresses", "Ingress"),
            ("networkpolicies", "NetworkPolicy"),
        ],
        "rbac.authorization.k8s.io" => &[
            ("clusterrolebindings", "ClusterRoleBinding"),
            ("clusterroles", "ClusterRole"),
            ("rolebindings", "RoleBinding"),
            ("roles", "Role"),
        ],
        "apiextensions.k8s.io" => &[("customresourcedefinitions", "CustomResourceDefinition")],
        "apiregistration.k8s.io" => &[("apiservices", "APIService")],
        "admissionregistration.k8s.io" => &[
            (
                "mutatingwebhookconfigurations",
                "MutatingWebhookConfiguration",
            ),
            (
                "validatingwebhookconfigurations",
                "ValidatingWebhookConfiguration",
            ),
        ],
        "storage.k8s.io" => &[("storageclasses", "StorageClass")],
        "scheduling.k8s.io" => &[("priorityclasses", "PriorityClass")],
        "coordination.k8s.io" => &[("leases", "Lease")],
        "discovery.k8s.io" => &[("endpointslices", "EndpointSlice")],
        _ => &[],
    };
    table
        .iter()
        .find(|(name, _)| *name == plural)
        .map(|(_, kind)| *kind)
}
