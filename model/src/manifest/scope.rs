//! Whether a kind lives in a namespace: the built-in kinds, then the plan's own CRDs.

use super::Object;
use std::collections::HashMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Namespaced,
    Cluster,
    /// Neither built in nor defined by the plan: taken for namespaced until a cluster says
    /// otherwise.
    Unknown,
}

/// Cluster-scoped kinds of Kubernetes, by group.
const CLUSTER: &[(&str, &[&str])] = &[
    (
        "",
        &["Namespace", "Node", "PersistentVolume", "ComponentStatus"],
    ),
    (
        "admissionregistration.k8s.io",
        &[
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
            "ValidatingWebhookConfiguration",
        ],
    ),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"]),
    ("apiregistration.k8s.io", &["APIService"]),
    (
        "authentication.k8s.io",
        &["SelfSubjectReview", "TokenReview"],
    ),
    (
        "authorization.k8s.io",
        &[
            "SelfSubjectAccessReview",
            "SelfSubjectRulesReview",
            "SubjectAccessReview",
        ],
    ),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest", "ClusterTrustBundle"],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema", "PriorityLevelConfiguration"],
    ),
    ("internal.apiserver.k8s.io", &["StorageVersion"]),
    (
        "networking.k8s.io",
        &["IngressClass", "IPAddress", "ServiceCIDR"],
    ),
    ("node.k8s.io", &["RuntimeClass"]),
    ("policy", &["PodSecurityPolicy"]),
    (
        "rbac.authorization.k8s.io",
        &["ClusterRole", "ClusterRoleBinding"],
    ),
    (
        "resource.k8s.io",
        &["DeviceClass", "DeviceTaintRule", "ResourceSlice"],
    ),
    ("scheduling.k8s.io", &["PriorityClass"]),
    (
        "storage.k8s.io",
        &[
            "CSIDriver",
            "CSINode",
            "StorageClass",
            "VolumeAttachment",
            "VolumeAttributesClass",
        ],
    ),
    ("storagemigration.k8s.io", &["StorageVersionMigration"]),
];

/// Namespaced kinds of Kubernetes, by group.
const NAMESPACED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "Binding",
            "ConfigMap",
            "Endpoints",
            "Event",
            "LimitRange",
            "PersistentVolumeClaim",
            "Pod",
            "PodTemplate",
            "ReplicationController",
            "ResourceQuota",
            "Secret",
            "Service",
            "ServiceAccount",
        ],
    ),
    (
        "apps",
        &[
            "ControllerRevision",
            "DaemonSet",
            "Deployment",
            "ReplicaSet",
            "StatefulSet",
        ],
    ),
    ("authorization.k8s.io", &["LocalSubjectAccessReview"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("batch", &["CronJob", "Job"]),
    ("certificates.k8s.io", &["PodCertificateRequest"]),
    ("coordination.k8s.io", &["Lease", "LeaseCandidate"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("events.k8s.io", &["Event"]),
    (
        "extensions",
        &[
            "DaemonSet",
            "Deployment",
            "Ingress",
            "NetworkPolicy",
            "ReplicaSet",
        ],
    ),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("policy", &["Eviction", "PodDisruptionBudget"]),
    ("rbac.authorization.k8s.io", &["Role", "RoleBinding"]),
    (
        "resource.k8s.io",
        &["ResourceClaim", "ResourceClaimTemplate"],
    ),
    ("scheduling.k8s.io", &["PodGroup", "Workload"]),
    ("storage.k8s.io", &["CSIStorageCapacity"]),
];

/// Scopes of the kinds of one plan.
#[derive(Debug, Clone, Default)]
pub struct Scopes {
    defined: HashMap<(String, String), Scope>,
}

impl Scopes {
    /// Learns the kinds that CustomResourceDefinitions among the objects define.
    pub fn learn<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut defined = HashMap::new();
        for object in objects {
            if (object.group.as_str(), object.kind.as_str())
                != ("apiextensions.k8s.io", "CustomResourceDefinition")
            {
                continue;
            }
            let text = |path: &str| object.json.pointer(path).and_then(|value| value.as_str());
            if let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) {
                let scope = match text("/spec/scope") {
                    Some("Cluster") => Scope::Cluster,
                    _ => Scope::Namespaced,
                };
                defined.insert((group.to_owned(), kind.to_owned()), scope);
            }
        }
        Self { defined }
    }

    /// The scope of a kind.
    pub fn of(&self, group: &str, kind: &str) -> Scope {
        let lists = |table: &[(&str, &[&str])]| {
            table
                .iter()
                .any(|(of, kinds)| *of == group && kinds.contains(&kind))
        };
        if lists(CLUSTER) {
            Scope::Cluster
        } else if lists(NAMESPACED) {
            Scope::Namespaced
        } else {
            let key = (group.to_owned(), kind.to_owned());
            self.defined.get(&key).copied().unwrap_or(Scope::Unknown)
        }
    }

    /// A CRD among the objects defines the kind.
    pub fn defines(&self, group: &str, kind: &str) -> bool {
        self.defined
            .contains_key(&(group.to_owned(), kind.to_owned()))
    }
}
