//! Values that the API server fills in, as far as clients and our controllers look at them.

use serde_json::{Map, Value, json};

use super::object::{child, fields};

/// The status of an object that no controller has looked at yet.
const STATUS: &[(&str, &str)] = &[
    ("deployments.apps", "{}"),
    ("jobs.batch", "{}"),
    ("cronjobs.batch", "{}"),
    ("replicasets.apps", r#"{"replicas": 0}"#),
    ("replicationcontrollers", r#"{"replicas": 0}"#),
    (
        "statefulsets.apps",
        r#"{"availableReplicas": 0, "replicas": 0}"#,
    ),
    (
        "daemonsets.apps",
        r#"{"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}"#,
    ),
    ("pods", r#"{"phase": "Pending", "qosClass": "BestEffort"}"#),
    ("services", r#"{"loadBalancer": {}}"#),
    ("ingresses.networking.k8s.io", r#"{"loadBalancer": {}}"#),
    (
        "poddisruptionbudgets.policy",
        r#"{"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}"#,
    ),
    ("persistentvolumeclaims", r#"{"phase": "Pending"}"#),
    ("persistentvolumes", r#"{"phase": "Pending"}"#),
    (
        "horizontalpodautoscalers.autoscaling",
        r#"{"currentReplicas": 0, "desiredReplicas": 0}"#,
    ),
    ("namespaces", r#"{"phase": "Active"}"#),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        r#"{"acceptedNames": {"kind": "", "plural": ""}}"#,
    ),
];

/// Fills in what is absent.
pub fn set(kind: &str, object: &mut Value) {
    if let Some((_, status)) = STATUS.iter().find(|(id, _)| *id == kind)
        && object.get("status").is_none()
        && let Ok(status) = serde_json::from_str(status)
    {
        fields(object).insert("status".into(), status);
    }
    match kind {
        "deployments.apps" => with_spec(object, |spec| {
            default(spec, "replicas", json!(1));
            let strategy = child(spec, "strategy");
            default(strategy, "type", json!("RollingUpdate"));
            if strategy.get("type").and_then(Value::as_str) == Some("RollingUpdate") {
                let rolling = child(strategy, "rollingUpdate");
                default(rolling, "maxSurge", json!("25%"));
                default(rolling, "maxUnavailable", json!("25%"));
            }
            default(spec, "revisionHistoryLimit", json!(10));
            default(spec, "progressDeadlineSeconds", json!(600));
            template(spec, "Always");
        }),
        "replicasets.apps" | "replicationcontrollers" => with_spec(object, |spec| {
            default(spec, "replicas", json!(1));
            template(spec, "Always");
        }),
        "statefulsets.apps" => with_spec(object, |spec| {
            default(spec, "replicas", json!(1));
            default(spec, "podManagementPolicy", json!("OrderedReady"));
            default(spec, "revisionHistoryLimit", json!(10));
            default(
                spec,
                "updateStrategy",
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
            );
            let keep = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
            default(spec, "persistentVolumeClaimRetentionPolicy", keep);
            template(spec, "Always");
        }),
        "daemonsets.apps" => with_spec(object, |spec| {
            default(spec, "revisionHistoryLimit", json!(10));
            let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
            default(spec, "updateStrategy", rolling);
            template(spec, "Always");
        }),
        "jobs.batch" => with_spec(object, |spec| {
            default(spec, "completions", json!(1));
            default(spec, "parallelism", json!(1));
            default(spec, "backoffLimit", json!(6));
            default(spec, "completionMode", json!("NonIndexed"));
            default(spec, "suspend", json!(false));
            default(spec, "manualSelector", json!(false));
            default(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
            template(spec, "Always");
        }),
        "cronjobs.batch" => with_spec(object, |spec| {
            default(spec, "concurrencyPolicy", json!("Allow"));
            default(spec, "suspend", json!(false));
            default(spec, "successfulJobsHistoryLimit", json!(3));
            default(spec, "failedJobsHistoryLimit", json!(1));
            let job = child(spec, "jobTemplate");
            child(job, "metadata");
            template(child(job, "spec"), "Always");
        }),
        "pods" => with_spec(object, |spec| {
            default(spec, "enableServiceLinks", json!(true));
            default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
            default(spec, "priority", json!(0));
            if !spec.contains_key("tolerations") {
                let bear = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
                let keys = [
                    "node.kubernetes.io/not-ready",
                    "node.kubernetes.io/unreachable",
                ];
                spec.insert("tolerations".into(), keys.map(bear).to_vec().into());
            }
            pod(spec, "Always");
        }),
        "networkpolicies.networking.k8s.io" => with_spec(object, |spec| {
            for way in ["ingress", "egress"] {
                let rules = spec.get_mut(way).and_then(Value::as_array_mut);
                let ports = rules
                    .into_iter()
                    .flatten()
                    .filter_map(|rule| rule.get_mut("ports")?.as_array_mut());
                for port in ports.flatten() {
                    default(fields(port), "protocol", json!("TCP"));
                }
            }
            let egress = spec.contains_key("egress");
            default(
                spec,
                "policyTypes",
                if egress {
                    json!(["Ingress", "Egress"])
                } else {
                    json!(["Ingress"])
                },
            );
        }),
        "horizontalpodautoscalers.autoscaling" => {
            with_spec(object, |spec| default(spec, "minReplicas", json!(1)));
        }
        "services" => with_spec(object, service),
        "persistentvolumeclaims" => with_spec(object, |spec| {
            default(spec, "volumeMode", json!("Filesystem"))
        }),
        "persistentvolumes" => with_spec(object, |spec| {
            default(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
            default(spec, "volumeMode", json!("Filesystem"));
        }),
        "secrets" => secret(fields(object)),
        "namespaces" => {
            let name = super::object::name(object).to_owned();
            let meta = super::object::meta_mut(object);
            child(meta, "labels").insert("kubernetes.io/metadata.name".into(), name.into());
            with_spec(object, |spec| {
                default(spec, "finalizers", json!(["kubernetes"]))
            });
        }
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => {
            for subject in fields(object)
                .get_mut("subjects")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                let subject = fields(subject);
                if matches!(
                    subject.get("kind").and_then(Value::as_str),
                    Some("User" | "Group")
                ) {
                    default(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
            }
            if let Some(role) = fields(object).get_mut("roleRef") {
                default(fields(role), "apiGroup", json!("rbac.authorization.k8s.io"));
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => with_spec(object, |spec| {
            default(spec, "conversion", json!({"strategy": "None"}));
            let names = child(spec, "names");
            let kind = names
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            default(names, "singular", json!(kind.to_lowercase()));
            default(names, "listKind", json!(format!("{kind}List")));
        }),
        "validatingwebhookconfigurations.admissionregistration.k8s.io"
        | "mutatingwebhookconfigurations.admissionregistration.k8s.io" => {
            let mutating = kind.starts_with("mutating");
            let webhooks = fields(object)
                .get_mut("webhooks")
                .and_then(Value::as_array_mut);
            for webhook in webhooks.into_iter().flatten() {
                webhook_defaults(fields(webhook), mutating);
            }
        }
        "apiservices.apiregistration.k8s.io" => with_spec(object, |spec| {
            if let Some(service) = spec.get_mut("service") {
                default(fields(service), "port", json!(443));
            }
        }),
        "storageclasses.storage.k8s.io" => {
            let fields = fields(object);
            default(fields, "reclaimPolicy", json!("Delete"));
            default(fields, "volumeBindingMode", json!("Immediate"));
        }
        _ => {}
    }
}

fn with_spec(object: &mut Value, set: impl FnOnce(&mut Map<String, Value>)) {
    set(child(fields(object), "spec"));
}

fn default(map: &mut Map<String, Value>, field: &str, value: Value) {
    map.entry(field).or_insert(value);
}

fn webhook_defaults(webhook: &mut Map<String, Value>, mutating: bool) {
    default(webhook, "failurePolicy", json!("Fail"));
    default(webhook, "matchPolicy", json!("Equivalent"));
    default(webhook, "namespaceSelector", json!({}));
    default(webhook, "objectSelector", json!({}));
    default(webhook, "timeoutSeconds", json!(10));
    if mutating {
        default(webhook, "reinvocationPolicy", json!("Never"));
    }
    if let Some(service) = webhook
        .get_mut("clientConfig")
        .and_then(|client| client.get_mut("service"))
    {
        default(fields(service), "port", json!(443));
    }
    let rules = webhook.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        default(fields(rule), "scope", json!("*"));
    }
}

fn template(spec: &mut Map<String, Value>, restart: &str) {
    if let Some(Value::Object(template)) = spec.get_mut("template") {
        child(template, "metadata");
        pod(child(template, "spec"), restart);
    }
}

fn pod(spec: &mut Map<String, Value>, restart: &str) {
    default(spec, "restartPolicy", json!(restart));
    default(spec, "terminationGracePeriodSeconds", json!(30));
    default(spec, "dnsPolicy", json!("ClusterFirst"));
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        default(spec, "serviceAccount", account);
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let volume = fields(volume);
        if !volume.keys().any(|source| source != "name") {
            volume.insert("emptyDir".into(), json!({}));
        }
    }
    for list in ["initContainers", "containers"] {
        for container in spec
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let container = fields(container);
            default(
                container,
                "terminationMessagePath",
                json!("/dev/termination-log"),
            );
            default(container, "terminationMessagePolicy", json!("File"));
            default(container, "resources", json!({}));
            let image = container
                .get("image")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let floating = image.ends_with(":latest")
                || !image
                    .rsplit('/')
                    .next()
                    .unwrap_or_default()
                    .contains([':', '@']);
            default(
                container,
                "imagePullPolicy",
                json!(if floating { "Always" } else { "IfNotPresent" }),
            );
            for port in container
                .get_mut("ports")
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                default(fields(port), "protocol", json!("TCP"));
            }
        }
    }
}

fn service(spec: &mut Map<String, Value>) {
    default(spec, "type", json!("ClusterIP"));
    default(spec, "sessionAffinity", json!("None"));
    if matches!(
        spec.get("type").and_then(Value::as_str),
        Some("NodePort" | "LoadBalancer")
    ) {
        default(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if spec.get("type").and_then(Value::as_str) != Some("ExternalName") {
        default(spec, "internalTrafficPolicy", json!("Cluster"));
        default(spec, "ipFamilies", json!(["IPv4"]));
        default(spec, "ipFamilyPolicy", json!("SingleStack"));
    }
    for port in spec
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let port = fields(port);
        default(port, "protocol", json!("TCP"));
        if let Some(number) = port.get("port").cloned() {
            default(port, "targetPort", number);
        }
    }
}

/// `stringData` is written as `data`.
fn secret(secret: &mut Map<String, Value>) {
    use base64::Engine;
    default(secret, "type", json!("Opaque"));
    if let Some(Value::Object(plain)) = secret.remove("stringData") {
        let data = child(secret, "data");
        for (key, value) in plain {
            let encoded = base64::engine::general_purpose::STANDARD
                .encode(value.as_str().unwrap_or_default());
            data.insert(key, encoded.into());
        }
    }
}
