//! The controllers: each looks at one object, does what is due, and says when to look again.

mod collect;
mod definitions;
mod namespaces;
mod pods;
mod rollout;
mod sets;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::object;
use super::state::State;
use super::status::Status;
use super::store::{Key, Stored};

pub use definitions::FINALIZER as DEFINITION_FINALIZER;
pub use namespaces::{found, furnish as furnish_namespace};

/// How many objects one look deletes or makes before others get their turn.
const AT_ONCE: usize = 250;

/// Looks at one object.
pub fn look(state: &mut State, key: &Key) -> Result<(), Status> {
    let Some(stored) = state.store.at(key).cloned() else {
        return Ok(());
    };
    let Some(kind) = state.kind(&key.kind) else {
        return Ok(());
    };
    if stored.deleting {
        return collect::finish(state, &kind, &stored);
    }
    if collect::is_left_over(state, &stored) {
        return collect::delete(state, &kind, &stored);
    }
    match &*key.kind {
        "customresourcedefinitions.apiextensions.k8s.io" => {
            definitions::establish(state, &kind, &stored)
        }
        "apiservices.apiregistration.k8s.io" => definitions::probe(state, &kind, &stored),
        "deployments.apps" => rollout::deployment(state, &kind, &stored),
        "replicasets.apps" => rollout::replica_set(state, &kind, &stored),
        "statefulsets.apps" => sets::stateful(state, &kind, &stored),
        "daemonsets.apps" => sets::daemon(state, &kind, &stored),
        "jobs.batch" => sets::job(state, &kind, &stored),
        "pods" => pods::run(state, &kind, &stored),
        "persistentvolumeclaims" => pods::bind(state, &kind, &stored),
        "services" => pods::endpoints(state, &stored),
        _ => Ok(()),
    }
}

/// Writes a status if it differs from the one that is there.
fn report(state: &mut State, kind: &Kind, stored: &Stored, status: Value) -> Result<(), Status> {
    let mut object = stored.object();
    if object.get("status") == Some(&status) {
        return Ok(());
    }
    object::fields(&mut object).insert("status".into(), status);
    state.put(kind, object).map(drop)
}

/// Makes an object that `owner` controls.
fn make(
    state: &mut State,
    kind: &str,
    owner: Option<(&Kind, &Stored)>,
    mut object: Value,
) -> Result<Arc<Stored>, Status> {
    let kind = state
        .kind(kind)
        .ok_or_else(|| Status::internal(format!("no kind {kind}")))?;
    object["apiVersion"] = kind.api_version(&kind.storage).into();
    object["kind"] = kind.kind.clone().into();
    let meta = object::meta_mut(&mut object);
    meta.insert("uid".into(), object::new_uid().into());
    meta.insert("creationTimestamp".into(), object::now().into());
    if kind.generation {
        meta.insert("generation".into(), 1.into());
    }
    if let Some((owner_kind, owner)) = owner {
        let reference = json!({
            "apiVersion": owner_kind.api_version(&owner_kind.storage), "kind": owner_kind.kind,
            "name": owner.key.name, "uid": owner.uid, "controller": true, "blockOwnerDeletion": true,
        });
        meta.insert("ownerReferences".into(), Value::Array(vec![reference]));
    }
    state.put(&kind, object)
}

/// The objects of a kind that `owner` controls and that are not going away, in order.
fn controlled(state: &State, kind: &str, owner: &Stored) -> Vec<Arc<Stored>> {
    let keys = state.store.dependents(&owner.uid);
    let of_kind = keys.iter().filter(|key| &*key.kind == kind);
    let objects = of_kind.filter_map(|key| state.store.at(key)).cloned();
    objects
        .filter(|stored| !stored.deleting && controls(stored, owner))
        .collect()
}

fn controls(stored: &Stored, owner: &Stored) -> bool {
    stored
        .owners
        .iter()
        .any(|one| one.controls && one.uid == owner.uid)
}

/// A Pod from a workload's template, not yet running.
fn pod(template: &Value, namespace: &str, name: &str, labels: &[(&str, &str)]) -> Value {
    let mut meta = Map::new();
    for field in ["labels", "annotations"] {
        if let Some(value) = template.pointer(&format!("/metadata/{field}")) {
            meta.insert(field.into(), value.clone());
        }
    }
    for (key, value) in labels {
        object::child(&mut meta, "labels").insert((*key).into(), (*value).into());
    }
    meta.insert("name".into(), name.into());
    meta.insert("namespace".into(), namespace.into());
    let mut spec = template.get("spec").cloned().unwrap_or_default();
    object::fields(&mut spec)
        .entry("nodeName")
        .or_insert_with(|| namespaces::NODE.into());
    json!({"metadata": meta, "spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}})
}

/// A condition as most kinds write it.
fn condition(kind: &str, is: bool, reason: &str, message: &str, now: &str) -> Value {
    json!({"type": kind, "status": if is { "True" } else { "False" }, "reason": reason, "message": message,
           "lastTransitionTime": now})
}

/// Puts a condition into a list, keeping the time of one that says the same.
fn set_condition(conditions: &mut Vec<Value>, fresh: Value) {
    match conditions
        .iter_mut()
        .find(|one| one["type"] == fresh["type"])
    {
        Some(one) if one["status"] == fresh["status"] && one["reason"] == fresh["reason"] => {}
        Some(one) => *one = fresh,
        None => conditions.push(fresh),
    }
}

/// The conditions that an object reports.
fn conditions(object: &Value) -> Vec<Value> {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}
