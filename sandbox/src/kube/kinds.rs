//! The table of kinds: what the cluster serves, under which names, and with which verbs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};

/// Which requests a kind answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verbs {
    /// All of them.
    All,
    /// A question put by POST, of which nothing is kept.
    CreateOnly,
    /// GET and LIST.
    ReadOnly,
}

impl Verbs {
    /// The names as discovery lists them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Verbs::All => &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
            Verbs::CreateOnly => &["create"],
            Verbs::ReadOnly => &["get", "list"],
        }
    }
}

/// One served version of a kind.
#[derive(Debug, Clone)]
pub struct Version {
    /// For example `v1`.
    pub name: String,
    /// The `openAPIV3Schema` of a custom resource.
    pub schema: Option<Arc<Value>>,
    /// Whether `/status` is a resource of its own.
    pub status: bool,
    /// Where a custom resource keeps `/scale`'s numbers.
    pub scale: bool,
    /// Whether clients are told that it is on its way out.
    pub deprecated: bool,
}

/// A kind of objects, built in or defined by a CustomResourceDefinition.
#[derive(Debug, Clone)]
pub struct Kind {
    /// `plural` or `plural.group`; the key of everything that is kept per kind.
    pub id: Arc<str>,
    /// The API group, empty for the core group.
    pub group: String,
    /// Served versions, the preferred one first.
    pub versions: Vec<Version>,
    /// The version that objects are kept in.
    pub storage: String,
    /// For example `Deployment`.
    pub kind: String,
    /// For example `DeploymentList`.
    pub list: String,
    /// The path segment.
    pub plural: String,
    /// For example `deployment`.
    pub singular: String,
    /// For example `deploy`.
    pub short: Vec<String>,
    /// For example `all`.
    pub categories: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Which requests it answers.
    pub verbs: Verbs,
    /// Whether `metadata.generation` counts changes of what is wanted.
    pub generation: bool,
    /// Whether a PUT of something absent creates it.
    pub put_creates: bool,
    /// Whether a CustomResourceDefinition made it.
    pub custom: bool,
    /// Whether that CustomResourceDefinition is being deleted.
    pub terminating: bool,
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self, version: &str) -> String {
        api_version(&self.group, version)
    }

    /// The served version of that name.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// `Deployment.apps` or `ConfigMap`, as validation errors name it.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }
}

/// `v1` or `apps/v1`.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `configmaps` or `deployments.apps`.
pub fn id(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

/// Group, versions (preferred first), kind, plural, short names, categories, flags:
/// n namespaced, s status, c scale, g counts generations, u a PUT may create, Q a question (create only), R read only.
const TABLE: &str = "
- v1 Binding bindings - - nQ
- v1 ComponentStatus componentstatuses cs - R
- v1 ConfigMap configmaps cm - n
- v1 Endpoints endpoints ep - nu
- v1 Event events ev - nu
- v1 LimitRange limitranges limits - nu
- v1 Namespace namespaces ns - s
- v1 Node nodes no - s
- v1 PersistentVolumeClaim persistentvolumeclaims pvc - ns
- v1 PersistentVolume persistentvolumes pv - s
- v1 Pod pods po all nsg
- v1 PodTemplate podtemplates - - ngu
- v1 ReplicationController replicationcontrollers rc all nscg
- v1 ResourceQuota resourcequotas quota - ns
- v1 Secret secrets - - n
- v1 ServiceAccount serviceaccounts sa - n
- v1 Service services svc all nsu
apiregistration.k8s.io v1 APIService apiservices - api-extensions s
apps v1 ControllerRevision controllerrevisions - - n
apps v1 DaemonSet daemonsets ds all nsg
apps v1 Deployment deployments deploy all nscg
apps v1 ReplicaSet replicasets rs all nscg
apps v1 StatefulSet statefulsets sts all nscg
events.k8s.io v1 Event events ev - nu
authentication.k8s.io v1 SelfSubjectReview selfsubjectreviews - - Q
authentication.k8s.io v1 TokenReview tokenreviews - - Q
authorization.k8s.io v1 LocalSubjectAccessReview localsubjectaccessreviews - - nQ
authorization.k8s.io v1 SelfSubjectAccessReview selfsubjectaccessreviews - - Q
authorization.k8s.io v1 SelfSubjectRulesReview selfsubjectrulesreviews - - Q
authorization.k8s.io v1 SubjectAccessReview subjectaccessreviews - - Q
autoscaling v2,v1 HorizontalPodAutoscaler horizontalpodautoscalers hpa all ns
batch v1 CronJob cronjobs cj all nsg
batch v1 Job jobs - all nsg
certificates.k8s.io v1 CertificateSigningRequest certificatesigningrequests csr - s
networking.k8s.io v1 IngressClass ingressclasses - - g
networking.k8s.io v1 Ingress ingresses ing - nsg
networking.k8s.io v1 IPAddress ipaddresses ip - -
networking.k8s.io v1 NetworkPolicy networkpolicies netpol - ng
networking.k8s.io v1 ServiceCIDR servicecidrs - - s
policy v1 PodDisruptionBudget poddisruptionbudgets pdb - nsg
rbac.authorization.k8s.io v1 ClusterRoleBinding clusterrolebindings - - u
rbac.authorization.k8s.io v1 ClusterRole clusterroles - - u
rbac.authorization.k8s.io v1 RoleBinding rolebindings - - nu
rbac.authorization.k8s.io v1 Role roles - - nu
resource.k8s.io v1 DeviceClass deviceclasses - - g
resource.k8s.io v1 ResourceClaim resourceclaims - - ns
resource.k8s.io v1 ResourceClaimTemplate resourceclaimtemplates - - n
resource.k8s.io v1 ResourceSlice resourceslices - - g
storage.k8s.io v1 CSIDriver csidrivers - - -
storage.k8s.io v1 CSINode csinodes - - -
storage.k8s.io v1 CSIStorageCapacity csistoragecapacities - - n
storage.k8s.io v1 StorageClass storageclasses sc - -
storage.k8s.io v1 VolumeAttachment volumeattachments - - s
storage.k8s.io v1 VolumeAttributesClass volumeattributesclasses vac - -
admissionregistration.k8s.io v1 MutatingAdmissionPolicy mutatingadmissionpolicies - api-extensions g
admissionregistration.k8s.io v1 MutatingAdmissionPolicyBinding mutatingadmissionpolicybindings - api-extensions g
admissionregistration.k8s.io v1 MutatingWebhookConfiguration mutatingwebhookconfigurations - api-extensions g
admissionregistration.k8s.io v1 ValidatingAdmissionPolicy validatingadmissionpolicies - api-extensions sg
admissionregistration.k8s.io v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings - api-extensions g
admissionregistration.k8s.io v1 ValidatingWebhookConfiguration validatingwebhookconfigurations - api-extensions g
apiextensions.k8s.io v1 CustomResourceDefinition customresourcedefinitions crd,crds api-extensions sg
scheduling.k8s.io v1 PriorityClass priorityclasses pc - -
coordination.k8s.io v1 Lease leases - - nu
node.k8s.io v1 RuntimeClass runtimeclasses - - -
discovery.k8s.io v1 EndpointSlice endpointslices - - ng
flowcontrol.apiserver.k8s.io v1 FlowSchema flowschemas - - sg
flowcontrol.apiserver.k8s.io v1 PriorityLevelConfiguration prioritylevelconfigurations - - sg
";

/// The built-in kinds, in the order of the table, shared by all clusters of the process.
pub static BUILT_IN: LazyLock<Vec<Arc<Kind>>> =
    LazyLock::new(|| TABLE.lines().filter_map(row).map(Arc::new).collect());

static BY_ID: LazyLock<BTreeMap<Arc<str>, Arc<Kind>>> = LazyLock::new(|| {
    BUILT_IN
        .iter()
        .map(|kind| (kind.id.clone(), kind.clone()))
        .collect()
});

/// The built-in kind with this id (`deployments.apps`).
pub fn built_in(id: &str) -> Option<&'static Arc<Kind>> {
    BY_ID.get(id)
}

fn row(line: &str) -> Option<Kind> {
    let mut columns = line.split_whitespace();
    let mut next = || columns.next();
    let (group, versions, kind, plural) = (next()?, next()?, next()?, next()?);
    let (short, categories, flags) = (next()?, next()?, next()?);
    let group = if group == "-" { "" } else { group };
    let names = |text: &str| match text {
        "-" => Vec::new(),
        text => text.split(',').map(str::to_owned).collect(),
    };
    let versions: Vec<Version> = versions
        .split(',')
        .map(|name| Version {
            name: name.to_owned(),
            schema: None,
            status: flags.contains('s'),
            scale: flags.contains('c'),
            deprecated: false,
        })
        .collect();
    Some(Kind {
        id: id(group, plural).into(),
        group: group.to_owned(),
        storage: versions.first()?.name.clone(),
        versions,
        kind: kind.to_owned(),
        list: format!("{kind}List"),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short: names(short),
        categories: names(categories),
        namespaced: flags.contains('n'),
        verbs: match () {
            () if flags.contains('Q') => Verbs::CreateOnly,
            () if flags.contains('R') => Verbs::ReadOnly,
            () => Verbs::All,
        },
        generation: flags.contains('g'),
        put_creates: flags.contains('u'),
        custom: false,
        terminating: false,
    })
}

/// The kind that a CustomResourceDefinition describes, if it describes one.
pub fn defined_by(definition: &Value) -> Option<Kind> {
    let spec = definition.get("spec")?;
    let names = spec.get("names")?;
    let text =
        |from: &Value, field: &str| from.get(field).and_then(Value::as_str).map(str::to_owned);
    let texts = |field: &str| -> Vec<String> {
        let listed = names.get(field).and_then(Value::as_array);
        listed
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let (group, plural, kind) = (
        text(spec, "group")?,
        text(names, "plural")?,
        text(names, "kind")?,
    );
    let listed = spec.get("versions")?.as_array()?;
    let flag =
        |version: &Value, field: &str| version.get(field).and_then(Value::as_bool).unwrap_or(false);
    let mut versions: Vec<Version> = listed
        .iter()
        .filter(|version| flag(version, "served"))
        .filter_map(|version| {
            let subresources = version.get("subresources").and_then(Value::as_object);
            let has = |name: &str| {
                subresources.is_some_and(|map: &Map<String, Value>| map.contains_key(name))
            };
            Some(Version {
                name: text(version, "name")?,
                schema: version
                    .pointer("/schema/openAPIV3Schema")
                    .cloned()
                    .map(Arc::new),
                status: has("status"),
                scale: has("scale"),
                deprecated: flag(version, "deprecated"),
            })
        })
        .collect();
    versions.sort_by_key(|version| std::cmp::Reverse(priority(&version.name)));
    Some(Kind {
        id: id(&group, &plural).into(),
        storage: listed
            .iter()
            .find(|version| flag(version, "storage"))
            .and_then(|version| text(version, "name"))?,
        versions,
        list: text(names, "listKind").unwrap_or_else(|| format!("{kind}List")),
        singular: text(names, "singular").unwrap_or_else(|| kind.to_lowercase()),
        short: texts("shortNames"),
        categories: texts("categories"),
        namespaced: text(spec, "scope").as_deref() == Some("Namespaced"),
        verbs: Verbs::All,
        generation: true,
        put_creates: false,
        custom: true,
        terminating: definition.pointer("/metadata/deletionTimestamp").is_some(),
        group,
        plural,
        kind,
    })
}

/// Kubernetes' order of versions: v2 before v1 before v1beta2 before v1alpha1 before anything else.
pub fn priority(version: &str) -> (u8, u64, u64, std::cmp::Reverse<String>) {
    let other = (0, 0, 0, std::cmp::Reverse(version.to_owned()));
    let Some(rest) = version.strip_prefix('v') else {
        return other;
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Ok(major) = rest[..digits].parse() else {
        return other;
    };
    let none = std::cmp::Reverse(String::new());
    match &rest[digits..] {
        "" => (3, major, 0, none),
        stage => {
            let minor = |name: &str| {
                stage
                    .strip_prefix(name)
                    .and_then(|minor| minor.parse().ok())
            };
            match (minor("beta"), minor("alpha")) {
                (Some(minor), _) => (2, major, minor, none),
                (_, Some(minor)) => (1, major, minor, none),
                _ => other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed lookup is a failed test")]
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_kind() {
        let rows = TABLE.lines().filter(|line| !line.is_empty()).count();
        assert_eq!(BUILT_IN.len(), rows);
        assert_eq!(BY_ID.len(), rows);
        assert_eq!(
            built_in("deployments.apps").unwrap().qualified(),
            "Deployment.apps"
        );
        assert!(built_in("configmaps").unwrap().namespaced);
    }

    #[test]
    fn versions_are_ordered_as_kubernetes_orders_them() {
        let mut names = vec!["v1alpha1", "foo", "v2", "v1beta1", "v1", "v1beta2", "v10"];
        names.sort_by_key(|name| std::cmp::Reverse(priority(name)));
        assert_eq!(
            names,
            ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha1", "foo"]
        );
    }
}
