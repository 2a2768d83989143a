//! The checks a kube-apiserver makes that applications run into: required and immutable fields.

use serde_json::Value;

use super::immutable;
use super::kinds::Kind;
use super::names;
use super::object::{self, text};
use super::schema;
use super::status::{Cause, Status};

mod pods;
mod specific;

/// Refuses an object that is not valid, or that changes what may not change.
pub fn check(kind: &Kind, version: &str, old: Option<&Value>, new: &Value) -> Result<(), Status> {
    let mut causes = Vec::new();
    if old.is_none() {
        names::check(kind, new, &mut causes);
    } else {
        let mut all = Vec::new();
        names::check(kind, new, &mut all);
        causes.extend(
            all.into_iter()
                .filter(|cause| cause.field != "metadata.name"),
        );
    }
    owners(new, &mut causes);
    sizes(kind, new, &mut causes);
    required(kind, new, &mut causes);
    specific::check(kind, new, &mut causes);
    allowed(kind, version, new, &mut causes);
    if let Some(old) = old {
        immutable::check(kind, old, new, &mut causes);
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(kind, object::name(new), &causes))
    }
}

/// What the schema allows.
fn allowed(kind: &Kind, version: &str, new: &Value, causes: &mut Vec<Cause>) {
    if kind.custom {
        let schema = kind.version(version).and_then(|one| one.schema.as_deref());
        if let Some(schema) = schema {
            schema::faults(new, schema, causes);
        }
        return;
    }
    // A definition holds a schema, which has rules of its own.
    if &*kind.id == "customresourcedefinitions.apiextensions.k8s.io" {
        return;
    }
    let name = format!("{}/{version}/{}", kind.group, kind.kind);
    if let Some(form) = schema::of(&name) {
        schema::check_values(new, form, causes);
    }
}

/// The largest content of a ConfigMap or Secret.
const CONTENT_LIMIT: usize = 1 << 20;

fn sizes(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let maps: &[&str] = match &*kind.id {
        "configmaps" => &["data", "binaryData"],
        "secrets" => &["data"],
        _ => return,
    };
    let entries = maps
        .iter()
        .filter_map(|map| object.get(map)?.as_object())
        .flatten();
    let sizes = entries
        .filter_map(|(_, value)| value.as_str())
        .map(str::len);
    if sizes.sum::<usize>() > CONTENT_LIMIT {
        // The field of a ConfigMap has no name in the real message either.
        let field = if &*kind.id == "secrets" { "data" } else { "[]" };
        causes.push(Cause::too_long(field, CONTENT_LIMIT));
    }
}

fn owners(object: &Value, causes: &mut Vec<Cause>) {
    let listed = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    for (at, owner) in listed.into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if text(owner, &format!("/{field}")).is_empty() {
                let path = format!("metadata.ownerReferences[{at}].{field}");
                causes.push(Cause::invalid(path, &"".into(), "must not be empty"));
            }
        }
    }
}

fn required(kind: &Kind, new: &Value, causes: &mut Vec<Cause>) {
    match &*kind.id {
        "deployments.apps" | "replicasets.apps" | "statefulsets.apps" | "daemonsets.apps" => {
            let labels = new.pointer("/spec/template/metadata/labels");
            match new.pointer("/spec/selector").and_then(Value::as_object) {
                None => {
                    causes.push(Cause::required("spec.selector", ""));
                    let why = "`selector` does not match template `labels`";
                    let shown = labels.cloned().unwrap_or_default();
                    causes.push(Cause::invalid("spec.template.metadata.labels", &shown, why));
                }
                Some(selector) if selector.is_empty() => {
                    let why = "empty selector is invalid for deployment";
                    causes.push(Cause::invalid(
                        "spec.selector",
                        &Value::Object(selector.clone()),
                        why,
                    ));
                }
                Some(selector) => {
                    let wanted = selector.get("matchLabels").and_then(Value::as_object);
                    let has = |key: &str, value: &Value| {
                        labels.and_then(|labels| labels.get(key)) == Some(value)
                    };
                    if !wanted
                        .into_iter()
                        .flatten()
                        .all(|(key, value)| has(key, value))
                    {
                        let why = "`selector` does not match template `labels`";
                        let shown = labels.cloned().unwrap_or_default();
                        causes.push(Cause::invalid("spec.template.metadata.labels", &shown, why));
                    }
                }
            }
            let strategy = new.pointer("/spec/strategy");
            if strategy.is_some_and(|all| {
                text(all, "/type") == "Recreate" && all.get("rollingUpdate").is_some()
            }) {
                let why = "may not be specified when strategy `type` is 'Recreate'";
                causes.push(Cause::forbidden("spec.strategy.rollingUpdate", why));
            }
            pod(new, "/spec/template/spec", "spec.template.spec", causes);
        }
        "jobs.batch" => {
            pod(new, "/spec/template/spec", "spec.template.spec", causes);
            if text(new, "/spec/template/spec/restartPolicy") == "Always" {
                let field = "spec.template.spec.restartPolicy";
                let why = "valid values: \"OnFailure\", \"Never\"";
                causes.push(Cause::required(field, why));
            }
        }
        "pods" => pod(new, "/spec", "spec", causes),
        "services" if lacks_ports(new) => causes.push(Cause::required("spec.ports", "")),
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
            if text(new, "/roleRef/name").is_empty() =>
        {
            causes.push(Cause::required("roleRef.name", ""));
        }
        "persistentvolumeclaims" => {
            if new.pointer("/spec/accessModes").is_none() {
                causes.push(Cause::required(
                    "spec.accessModes",
                    "at least 1 access mode is required",
                ));
            }
            if new.pointer("/spec/resources/requests/storage").is_none() {
                causes.push(Cause::required("spec.resources[storage]", ""));
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => definition(new, causes),
        "apiservices.apiregistration.k8s.io" => {
            let (group, version) = (text(new, "/spec/group"), text(new, "/spec/version"));
            if object::name(new) != format!("{version}.{group}") {
                let why = format!("must be `spec.version+\".\"+spec.group`: \"{version}.{group}\"");
                causes.push(Cause::invalid(
                    "metadata.name",
                    &object::name(new).into(),
                    &why,
                ));
            }
        }
        _ => {}
    }
}

fn lacks_ports(service: &Value) -> bool {
    text(service, "/spec/type") != "ExternalName"
        && text(service, "/spec/clusterIP") != "None"
        && service
            .pointer("/spec/ports")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
}

fn pod(object: &Value, pointer: &str, field: &str, causes: &mut Vec<Cause>) {
    let containers = object
        .pointer(pointer)
        .and_then(|spec| spec.get("containers"))
        .and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{field}.containers"), ""));
    }
    let spec = object.pointer(pointer);
    let volumes = spec
        .and_then(|spec| spec.get("volumes"))
        .and_then(Value::as_array);
    let claims = object
        .pointer("/spec/volumeClaimTemplates")
        .and_then(Value::as_array);
    let mut volumes: Vec<&str> = volumes
        .into_iter()
        .flatten()
        .map(|volume| text(volume, "/name"))
        .collect();
    volumes.extend(claims.into_iter().flatten().map(object::name));
    for (at, container) in containers.into_iter().flatten().enumerate() {
        let mounts = container.get("volumeMounts").and_then(Value::as_array);
        for (mount_at, mount) in mounts.into_iter().flatten().enumerate() {
            let name = text(mount, "/name");
            if !volumes.contains(&name) {
                let path = format!("{field}.containers[{at}].volumeMounts[{mount_at}].name");
                causes.push(Cause::not_found(path, name));
            }
        }
        for required in ["name", "image"] {
            if text(container, &format!("/{required}")).is_empty() {
                causes.push(Cause::required(
                    format!("{field}.containers[{at}].{required}"),
                    "",
                ));
            }
        }
        let name = container.get("name").unwrap_or(&Value::Null);
        if name
            .as_str()
            .is_some_and(|name| !name.is_empty() && !names::is_label(name))
        {
            let why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
            causes.push(Cause::invalid(
                format!("{field}.containers[{at}].name"),
                name,
                why,
            ));
        }
    }
}

fn definition(new: &Value, causes: &mut Vec<Cause>) {
    let (group, plural) = (text(new, "/spec/group"), text(new, "/spec/names/plural"));
    if object::name(new) != format!("{plural}.{group}") {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid(
            "metadata.name",
            &object::name(new).into(),
            why,
        ));
    }
    for (pointer, field) in [
        ("/spec/group", "spec.group"),
        ("/spec/names/plural", "spec.names.plural"),
        ("/spec/names/kind", "spec.names.kind"),
    ] {
        if text(new, pointer).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    match text(new, "/spec/scope") {
        "Namespaced" | "Cluster" => {}
        "" => causes.push(Cause::required("spec.scope", "")),
        other => {
            let allowed = ["Cluster", "Namespaced"];
            causes.push(Cause::unsupported("spec.scope", &other.into(), &allowed));
        }
    }
    let versions = new.pointer("/spec/versions").and_then(Value::as_array);
    let storage = versions
        .into_iter()
        .flatten()
        .filter(|version| version["storage"] == true)
        .count();
    if storage != 1 {
        let shown = versions.cloned().map(Value::Array).unwrap_or_default();
        causes.push(Cause::invalid(
            "spec.versions",
            &shown,
            "must have exactly one version marked as storage version",
        ));
    }
    for (at, version) in versions.into_iter().flatten().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            let field = format!("spec.versions[{at}].schema.openAPIV3Schema");
            causes.push(Cause::required(field, ""));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed lookup is a failed test")]
    use super::*;
    use crate::kube::kinds::built_in;
    use serde_json::json;

    fn deployment(app: &str) -> Value {
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": app}}, "template": {
            "metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    }

    #[test]
    fn a_selector_can_be_neither_left_away_nor_changed() {
        let kind = built_in("deployments.apps").unwrap();
        assert_eq!(check(kind, "v1", None, &deployment("a")), Ok(()));
        let mut without = deployment("a");
        without["spec"].as_object_mut().unwrap().remove("selector");
        let refused = check(kind, "v1", None, &without).unwrap_err();
        assert_eq!(
            refused.message,
            "Deployment.apps \"d\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: \
             Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`]"
        );
        let refused = check(kind, "v1", Some(&deployment("a")), &deployment("b")).unwrap_err();
        assert_eq!(
            refused.message,
            "Deployment.apps \"d\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"
        );
        assert_eq!(refused.code, 422);
    }

    #[test]
    fn several_faults_are_named_together() {
        let kind = built_in("deployments.apps").unwrap();
        let refused = check(
            kind,
            "v1",
            None,
            &json!({"metadata": {"name": "d"}, "spec": {}}),
        )
        .unwrap_err();
        assert_eq!(
            refused.message,
            "Deployment.apps \"d\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: \
             Invalid value: null: `selector` does not match template `labels`, spec.template.spec.containers: \
             Required value]"
        );
    }
}
