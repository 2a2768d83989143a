//! Rules of single kinds that no schema says: what belongs together, ranges, names of keys.

use serde_json::{Map, Value, json};

use super::pods::{NOT_NEGATIVE, list, pod, port};
use crate::kube::kinds::Kind;
use crate::kube::names;
use crate::kube::object::text;
use crate::kube::status::Cause;

/// Checks an object by the rules of its kind.
pub fn check(kind: &Kind, new: &Value, causes: &mut Vec<Cause>) {
    match &*kind.id {
        "services" => service(new, causes),
        "configmaps" | "secrets" => keys(new, causes),
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps" => {
            workload(&kind.id, new, causes);
        }
        "pods" => pod(new.get("spec"), "spec", causes),
        "jobs.batch" => {
            let counts = [
                "parallelism",
                "completions",
                "activeDeadlineSeconds",
                "backoffLimit",
                "ttlSecondsAfterFinished",
            ];
            counted(new, &counts, causes);
            pod(
                new.pointer("/spec/template/spec"),
                "spec.template.spec",
                causes,
            );
        }
        "cronjobs.batch" => schedule(new, causes),
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            rules(kind.namespaced, new, causes);
        }
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io" => subjects(new, causes),
        "ingresses.networking.k8s.io" => ingress(new, causes),
        "horizontalpodautoscalers.autoscaling" => {
            let most = new.pointer("/spec/maxReplicas").and_then(Value::as_i64);
            if most.unwrap_or(0) < 1 {
                let why = "must be set and greater than 0";
                causes.push(Cause::required("spec.maxReplicas", why));
            }
            let least = new.pointer("/spec/minReplicas").and_then(Value::as_i64);
            if most.unwrap_or(0) < least.unwrap_or(1) {
                let why = "must be greater than or equal to `minReplicas`";
                causes.push(Cause::invalid(
                    "spec.maxReplicas",
                    &json!(most.unwrap_or(0)),
                    why,
                ));
            }
        }
        "poddisruptionbudgets.policy" => {
            let spec = |field: &str| new.pointer(&format!("/spec/{field}"));
            if let (Some(least), Some(most)) = (spec("minAvailable"), spec("maxUnavailable")) {
                let shown = json!({"MinAvailable": least, "MaxUnavailable": most});
                let why = "minAvailable and maxUnavailable cannot be both set";
                causes.push(Cause::invalid("spec", &shown, why));
            }
        }
        _ => {}
    }
}

fn service(new: &Value, causes: &mut Vec<Cause>) {
    let spec = new.get("spec").unwrap_or(&Value::Null);
    let ports = list(spec, "ports");
    for (at, one) in ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{at}].{name}");
        let name = text(one, "/name");
        if name.is_empty() && ports.len() > 1 {
            causes.push(Cause::required(field("name"), ""));
        } else if !name.is_empty() && !names::is_label(name) {
            causes.push(Cause::invalid(field("name"), &name.into(), names::LABEL));
        } else if !name.is_empty() && ports[..at].iter().any(|other| text(other, "/name") == name) {
            causes.push(Cause::duplicate(field("name"), &name.into()));
        }
        let number = one.get("port").cloned().unwrap_or(json!(0));
        port(&number, &field("port"), causes);
        if let Some(target) = one.get("targetPort") {
            port(target, &field("targetPort"), causes);
        }
        let typed = text(spec, "/type");
        if one.get("nodePort").is_some_and(|port| port != 0)
            && matches!(typed, "ClusterIP" | "ExternalName")
        {
            let why = format!("may not be used when `type` is '{typed}'");
            causes.push(Cause::forbidden(field("nodePort"), &why));
        }
    }
    match text(spec, "/type") {
        "ExternalName" if text(spec, "/externalName").is_empty() => {
            causes.push(Cause::required("spec.externalName", ""));
        }
        "ClusterIP" if spec.get("externalTrafficPolicy").is_some() => {
            let why = "may only be set for externally-accessible services";
            let said = &spec["externalTrafficPolicy"];
            causes.push(Cause::invalid("spec.externalTrafficPolicy", said, why));
        }
        _ => {}
    }
    let address = text(spec, "/clusterIP");
    if !matches!(address, "" | "None") && address.parse::<std::net::IpAddr>().is_err() {
        let why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &address.into(), why));
    }
    let selector = spec.get("selector").and_then(Value::as_object);
    for value in selector.into_iter().flat_map(Map::values) {
        if value
            .as_str()
            .is_some_and(|value| !names::is_label_value(value))
        {
            causes.push(Cause::invalid("spec.selector", value, names::LABEL_VALUE));
        }
    }
}

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or \
    'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// Names in a ConfigMap or Secret, and those that a type of Secret must have.
fn keys(new: &Value, causes: &mut Vec<Cause>) {
    for map in ["data", "binaryData"] {
        let entries = new.get(map).and_then(Value::as_object);
        for key in entries.into_iter().flat_map(Map::keys) {
            let inner = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
            let field = format!("{map}[{key}]");
            if key.is_empty() || !key.bytes().all(inner) {
                causes.push(Cause::invalid(field, &key.as_str().into(), KEY));
            } else if key == "." || key.starts_with("..") {
                let why = format!("must not be '{key}'");
                causes.push(Cause::invalid(field, &key.as_str().into(), &why));
            }
        }
    }
    let wanted: &[&str] = match text(new, "/type") {
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in wanted {
        if new.get("data").and_then(|data| data.get(key)).is_none() {
            causes.push(Cause::required(format!("data[{key}]"), ""));
        }
    }
}

/// Numbers of the spec that may not be negative.
fn counted(new: &Value, fields: &[&str], causes: &mut Vec<Cause>) {
    for field in fields {
        let value = new.pointer(&format!("/spec/{field}"));
        if let Some(value) = value.filter(|value| value.as_i64().is_some_and(|n| n < 0)) {
            causes.push(Cause::invalid(format!("spec.{field}"), value, NOT_NEGATIVE));
        }
    }
}

fn workload(id: &str, new: &Value, causes: &mut Vec<Cause>) {
    counted(
        new,
        &["replicas", "minReadySeconds", "revisionHistoryLimit"],
        causes,
    );
    let how = match id {
        "deployments.apps" => "strategy",
        _ => "updateStrategy",
    };
    let said = text(new, &format!("/spec/{how}/type"));
    let shown = json!({"Type": said, "RollingUpdate": null});
    let field = format!("spec.{how}");
    match (id, said) {
        ("deployments.apps", other) if !matches!(other, "" | "Recreate" | "RollingUpdate") => {
            // As Go writes the object: the type first.
            let shown = format!("{{\"Type\":{other:?},\"RollingUpdate\":null}}");
            causes.push(Cause::unsupported_text(
                field,
                &shown,
                &["Recreate", "RollingUpdate"],
            ));
        }
        ("daemonsets.apps", other) if !matches!(other, "" | "OnDelete" | "RollingUpdate") => {
            let shown = format!("{{\"Type\":{other:?},\"RollingUpdate\":null}}");
            causes.push(Cause::unsupported_text(
                field,
                &shown,
                &["RollingUpdate", "OnDelete"],
            ));
        }
        ("statefulsets.apps", other) if !matches!(other, "" | "OnDelete" | "RollingUpdate") => {
            let why = "must be 'RollingUpdate' or 'OnDelete'";
            causes.push(Cause::invalid(field, &shown, why));
        }
        _ => {}
    }
    let policy = text(new, "/spec/podManagementPolicy");
    if !matches!(policy, "" | "OrderedReady" | "Parallel") {
        let why = "must be 'OrderedReady' or 'Parallel'";
        causes.push(Cause::invalid(
            "spec.podManagementPolicy",
            &policy.into(),
            why,
        ));
    }
    let restart = text(new, "/spec/template/spec/restartPolicy");
    if matches!(restart, "Never" | "OnFailure") {
        let field = "spec.template.spec.restartPolicy";
        causes.push(Cause::unsupported(field, &restart.into(), &["Always"]));
    }
    pod(
        new.pointer("/spec/template/spec"),
        "spec.template.spec",
        causes,
    );
}

fn schedule(new: &Value, causes: &mut Vec<Cause>) {
    let said = text(new, "/spec/schedule");
    let fields: Vec<&str> = said.split_whitespace().collect();
    if !said.is_empty() && !said.starts_with('@') && fields.len() != 5 {
        let why = format!(
            "expected exactly 5 fields, found {}: [{}]",
            fields.len(),
            fields.join(" ")
        );
        causes.push(Cause::invalid("spec.schedule", &said.into(), &why));
    }
}

fn rules(namespaced: bool, new: &Value, causes: &mut Vec<Cause>) {
    for (at, rule) in list(new, "rules").iter().enumerate() {
        let field = |name: &str| format!("rules[{at}].{name}");
        let urls = list(rule, "nonResourceURLs");
        if list(rule, "verbs").is_empty() {
            let why = "verbs must contain at least one value";
            causes.push(Cause::required(field("verbs"), why));
        }
        if !urls.is_empty() {
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                causes.push(Cause::invalid(field("nonResourceURLs"), &urls.into(), why));
            }
            continue;
        }
        if list(rule, "apiGroups").is_empty() {
            let why = "resource rules must supply at least one api group";
            causes.push(Cause::required(field("apiGroups"), why));
        }
        if list(rule, "resources").is_empty() {
            let why = "resource rules must supply at least one resource";
            causes.push(Cause::required(field("resources"), why));
        }
    }
}

fn subjects(new: &Value, causes: &mut Vec<Cause>) {
    let kinds = ["ServiceAccount", "User", "Group"];
    for (at, subject) in list(new, "subjects").iter().enumerate() {
        let kind = text(subject, "/kind");
        if !kinds.contains(&kind) {
            let field = format!("subjects[{at}].kind");
            causes.push(Cause::unsupported(field, &kind.into(), &kinds));
        }
        if text(subject, "/name").is_empty() {
            causes.push(Cause::required(format!("subjects[{at}].name"), ""));
        }
    }
}

fn ingress(new: &Value, causes: &mut Vec<Cause>) {
    let spec = new.get("spec").unwrap_or(&Value::Null);
    if list(spec, "rules").is_empty() && spec.get("defaultBackend").is_none() {
        let why = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid("spec", &Value::Null, why));
    }
    for (at, rule) in list(spec, "rules").iter().enumerate() {
        let paths = rule.pointer("/http/paths").and_then(Value::as_array);
        for (number, path) in paths.into_iter().flatten().enumerate() {
            let said = text(path, "/path");
            if !said.starts_with('/') && matches!(text(path, "/pathType"), "Exact" | "Prefix") {
                let field = format!("spec.rules[{at}].http.paths[{number}].path");
                let why = "must be an absolute path";
                causes.push(Cause::invalid(field, &said.into(), why));
            }
        }
    }
}
