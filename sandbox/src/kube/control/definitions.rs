//! CustomResourceDefinitions and APIServices: what is served besides the built-in kinds.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{AT_ONCE, condition, conditions, report, set_condition};
use crate::kube::kinds::{self, Kind};
use crate::kube::object;
use crate::kube::remove::{self, Propagation};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::Stored;

/// Holds a definition until its objects are gone.
pub const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Accepts the names of a definition and, after a while, serves it.
pub fn establish(state: &mut State, kind: &Kind, stored: &Arc<Stored>) -> Result<(), Status> {
    let mut object = stored.object();
    let mut listed = conditions(&object);
    let has = |listed: &[Value], name: &str| {
        listed
            .iter()
            .any(|one| one["type"] == name && one["status"] == "True")
    };
    let now = object::now();
    let clash = clash(state, &object);
    if let Some(why) = &clash {
        set_condition(
            &mut listed,
            condition("NamesAccepted", false, "KindConflict", why, &now),
        );
        set_condition(
            &mut listed,
            condition(
                "Established",
                false,
                "NotAccepted",
                "not all names are accepted",
                &now,
            ),
        );
    } else if !has(&listed, "Established") {
        set_condition(
            &mut listed,
            condition(
                "NamesAccepted",
                true,
                "NoConflicts",
                "no conflicts found",
                &now,
            ),
        );
        if state.waited(&stored.key, state.config.established_after) {
            let message = "the initial names have been accepted";
            set_condition(
                &mut listed,
                condition("Established", true, "InitialNamesAccepted", message, &now),
            );
        }
    }
    let names = object.pointer("/spec/names").cloned().unwrap_or_default();
    let mut stored_versions: Vec<Value> = object
        .pointer("/status/storedVersions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let versions = object
        .pointer("/spec/versions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for version in versions.iter().filter(|version| version["storage"] == true) {
        if !stored_versions.contains(&version["name"]) {
            stored_versions.push(version["name"].clone());
        }
    }
    let accepted = if clash.is_some() {
        json!({"plural": "", "kind": ""})
    } else {
        names
    };
    let status =
        json!({"conditions": listed, "acceptedNames": accepted, "storedVersions": stored_versions});
    if object.get("status") == Some(&status) {
        return Ok(());
    }
    object::fields(&mut object).insert("status".into(), status);
    state.put(kind, object).map(drop)
}

/// Why the names of a definition cannot be accepted.
fn clash(state: &State, definition: &Value) -> Option<String> {
    let kind = kinds::defined_by(definition)?;
    let other = state.served().find(|other| {
        other.group == kind.group
            && other.id != kind.id
            && (other.kind == kind.kind || other.plural == kind.plural)
    })?;
    Some(format!("\"{}\" is already in use", other.kind))
}

/// Deletes the objects that a definition defines; answers whether none is left.
pub fn instances_gone(state: &mut State, stored: &Arc<Stored>) -> Result<bool, Status> {
    let Some(kind) = kinds::defined_by(&stored.object()).map(Arc::new) else {
        return Ok(true);
    };
    let instances: Vec<Arc<Stored>> = state.store.list(&kind.id, None, None).cloned().collect();
    for instance in instances
        .iter()
        .filter(|instance| !instance.deleting)
        .take(AT_ONCE)
    {
        remove::begin(state, &kind, instance, Propagation::Background)?;
    }
    if state
        .store
        .list(&kind.id, None, None)
        .any(|instance| !instance.deleting)
    {
        state.look_at(stored.key.clone(), Duration::ZERO);
    }
    if state.store.list(&kind.id, None, None).next().is_none() {
        return Ok(true);
    }
    let mut object = stored.object();
    let mut listed = conditions(&object);
    let message = "CustomResource deletion is in progress";
    set_condition(
        &mut listed,
        condition(
            "Terminating",
            true,
            "InstanceDeletionInProgress",
            message,
            &object::now(),
        ),
    );
    if conditions(&object) != listed
        && let Some(definitions) = state.kind(&stored.key.kind)
    {
        object::child(object::fields(&mut object), "status")
            .insert("conditions".into(), Value::Array(listed));
        state.put(&definitions, object)?;
    }
    Ok(false)
}

/// Reports that the backend of an APIService does not answer, or that it is served here.
pub fn probe(state: &mut State, kind: &Kind, stored: &Stored) -> Result<(), Status> {
    let object = stored.object();
    let remote = object
        .pointer("/spec/service")
        .is_some_and(Value::is_object);
    let mut listed = conditions(&object);
    let now = object::now();
    set_condition(
        &mut listed,
        match remote {
            true => {
                let (namespace, name) = (
                    object::text(&object, "/spec/service/namespace"),
                    object::text(&object, "/spec/service/name"),
                );
                if state.store.get("services", namespace, name).is_some() {
                    let message = format!(
                        "failing or missing response from https://{name}.{namespace}.svc: no endpoints"
                    );
                    condition("Available", false, "FailedDiscoveryCheck", &message, &now)
                } else {
                    let message = format!("service/{name} in \"{namespace}\" is not present");
                    condition("Available", false, "ServiceNotFound", &message, &now)
                }
            }
            false => condition(
                "Available",
                true,
                "Local",
                "Local APIServices are always available",
                &now,
            ),
        },
    );
    report(state, kind, stored, json!({"conditions": listed}))
}
