//! Fields that may not change once an object exists.

use serde_json::Value;

use super::kinds::Kind;
use super::object::{self, text};
use super::status::Cause;

/// Fields that may not change, by kind.
const IMMUTABLE: &[(&str, &str)] = &[
    ("deployments.apps", "/spec/selector"),
    ("replicasets.apps", "/spec/selector"),
    ("daemonsets.apps", "/spec/selector"),
    ("jobs.batch", "/spec/selector"),
    ("jobs.batch", "/spec/template"),
    ("jobs.batch", "/spec/completions"),
    ("secrets", "/type"),
    ("storageclasses.storage.k8s.io", "/provisioner"),
    ("storageclasses.storage.k8s.io", "/parameters"),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "/spec/scope",
    ),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "/spec/group",
    ),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "/spec/names/plural",
    ),
    (
        "customresourcedefinitions.apiextensions.k8s.io",
        "/spec/names/kind",
    ),
    ("priorityclasses.scheduling.k8s.io", "/value"),
];

/// What of a StatefulSet may change.
const STATEFULSET_MAY: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// What `new` changes of `old` that may not change.
pub fn check(kind: &Kind, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    if object::is_deleting(old) {
        let before = object::finalizers(old);
        let fresh: Vec<String> = object::finalizers(new)
            .iter()
            .filter(|one| !before.contains(one))
            .map(|one| format!("{one:?}"))
            .collect();
        if !fresh.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                fresh.join(", ")
            );
            causes.push(Cause::forbidden("metadata.finalizers", &why));
        }
    }
    for (_, pointer) in IMMUTABLE.iter().filter(|(id, _)| *id == &*kind.id) {
        let (before, after) = (old.pointer(pointer), new.pointer(pointer));
        if before != after && before.is_some() {
            let field = pointer[1..].replace('/', ".");
            causes.push(Cause::invalid(
                field,
                after.unwrap_or(&Value::Null),
                "field is immutable",
            ));
        }
    }
    let spec_field =
        |object: &Value, field: &str| object.get("spec").and_then(|spec| spec.get(field)).cloned();
    match &*kind.id {
        "statefulsets.apps" => {
            let fields = |object: &Value| -> Vec<(String, Value)> {
                let spec = object
                    .get("spec")
                    .and_then(Value::as_object)
                    .cloned()
                    .unwrap_or_default();
                spec.into_iter()
                    .filter(|(name, _)| !STATEFULSET_MAY.contains(&name.as_str()))
                    .collect()
            };
            if fields(old) != fields(new) {
                causes.push(Cause::forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                     'minReadySeconds' are forbidden",
                ));
            }
        }
        "rolebindings.rbac.authorization.k8s.io"
        | "clusterrolebindings.rbac.authorization.k8s.io"
            if old.get("roleRef") != new.get("roleRef") =>
        {
            let role = new.get("roleRef").unwrap_or(&Value::Null);
            causes.push(Cause::invalid("roleRef", role, "cannot change roleRef"));
        }
        "configmaps" | "secrets" if old.get("immutable") == Some(&Value::Bool(true)) => {
            if new.get("immutable") != Some(&Value::Bool(true)) {
                causes.push(Cause::forbidden(
                    "immutable",
                    "field is immutable when `immutable` is set",
                ));
            }
            for field in ["data", "binaryData"] {
                if old.get(field) != new.get(field) {
                    causes.push(Cause::forbidden(
                        field,
                        "field is immutable when `immutable` is set",
                    ));
                }
            }
        }
        "services" => {
            let (before, after) = (text(old, "/spec/clusterIP"), text(new, "/spec/clusterIP"));
            let stays = text(old, "/spec/type") != "ExternalName"
                && text(new, "/spec/type") != "ExternalName";
            if stays && !before.is_empty() && before != after {
                let why = "may not change once set";
                causes.push(Cause::invalid(
                    "spec.clusterIPs[0]",
                    &serde_json::json!([after]),
                    why,
                ));
            }
        }
        "persistentvolumeclaims" => {
            for field in ["accessModes", "selector", "storageClassName", "volumeMode"] {
                let before = spec_field(old, field);
                if before.is_some() && before != spec_field(new, field) {
                    causes.push(Cause::forbidden(
                        "spec",
                        "spec is immutable after creation except resources.requests and volumeAttributesClassName \
                         for bound claims",
                    ));
                    break;
                }
            }
        }
        "pods" => {
            let images = |object: &Value| {
                let mut spec = object.get("spec").cloned().unwrap_or_default();
                for list in ["containers", "initContainers"] {
                    for container in spec
                        .get_mut(list)
                        .and_then(Value::as_array_mut)
                        .into_iter()
                        .flatten()
                    {
                        object::fields(container).remove("image");
                    }
                }
                for field in [
                    "tolerations",
                    "activeDeadlineSeconds",
                    "terminationGracePeriodSeconds",
                    "nodeName",
                ] {
                    object::fields(&mut spec).remove(field);
                }
                spec
            };
            if images(old) != images(new) {
                causes.push(Cause::forbidden(
                    "spec",
                    "pod updates may not change fields other than \
                     `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                     `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` \
                     (allow it to be set to 1 if it was previously negative)",
                ));
            }
        }
        _ => {}
    }
}
