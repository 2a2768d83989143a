//! The garbage collector: deletions that wait, and objects whose owners are gone.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{AT_ONCE, definitions, namespaces};
use crate::kube::kinds::Kind;
use crate::kube::object;
use crate::kube::remove::{self, Propagation};
use crate::kube::state::State;
use crate::kube::status::Status;
use crate::kube::store::{Key, Stored};

/// Whether all owners of an object are gone.
pub fn is_left_over(state: &State, stored: &Stored) -> bool {
    !stored.owners.is_empty()
        && stored.owners.iter().all(|owner| {
            if state.gone.contains(&owner.uid) {
                return true;
            }
            // A kind that is not served could come back; the real collector waits too.
            let Some(kind) = state.kind_named(&owner.group, &owner.kind) else {
                return false;
            };
            let key = state.owner_key(&kind.id, &stored.key.namespace, &owner.name);
            state.store.at(&key).is_none_or(|at| at.uid != owner.uid)
        })
}

/// Deletes an object whose owners are gone.
pub fn delete(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    remove::begin(state, kind, stored, Propagation::Background).map(drop)
}

/// Does what the finalizers of an object ask for that are ours to serve.
pub fn finish(state: &mut State, kind: &Arc<Kind>, stored: &Arc<Stored>) -> Result<(), Status> {
    if &*kind.id == "namespaces" {
        return namespaces::finish(state, kind, stored);
    }
    let object = stored.object();
    for finalizer in object::finalizers(&object) {
        let done = match finalizer {
            "foregroundDeletion" => dependents_gone(state, stored)?,
            "orphan" => dependents_released(state, stored)?,
            definitions::FINALIZER => definitions::instances_gone(state, stored)?,
            _ => continue,
        };
        if done {
            return release(state, kind, object.clone(), finalizer);
        }
    }
    Ok(())
}

/// Removes a finalizer, and the object with the last one.
fn release(
    state: &mut State,
    kind: &Arc<Kind>,
    mut object: Value,
    finalizer: &str,
) -> Result<(), Status> {
    object::remove_finalizer(&mut object, finalizer);
    if object::finalizers(&object).is_empty() {
        let key = Key::new(
            kind.id.clone(),
            object::namespace(&object),
            object::name(&object),
        );
        return state.remove(&key).map(drop);
    }
    state.put(kind, object).map(drop)
}

/// Deletes the dependents; answers whether none that blocks is left.
fn dependents_gone(state: &mut State, owner: &Stored) -> Result<bool, Status> {
    let dependents: Vec<Arc<Stored>> = state
        .store
        .dependents(&owner.uid)
        .iter()
        .filter_map(|key| state.store.at(key))
        .cloned()
        .collect();
    let waiting = dependents
        .iter()
        .filter(|stored| !stored.deleting)
        .take(AT_ONCE);
    for stored in waiting {
        let Some(kind) = state.kind(&stored.key.kind) else {
            continue;
        };
        let has_own = !state.store.dependents(&stored.uid).is_empty();
        let propagation = if has_own {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        remove::begin(state, &kind, stored, propagation)?;
    }
    let left = state.store.dependents(&owner.uid);
    let left: Vec<&Arc<Stored>> = left.iter().filter_map(|key| state.store.at(key)).collect();
    if left.iter().any(|stored| !stored.deleting) {
        state.look_at(owner.key.clone(), Duration::ZERO);
        return Ok(false);
    }
    let blocks = |stored: &Stored| {
        stored
            .owners
            .iter()
            .any(|one| one.uid == owner.uid && one.blocks)
    };
    Ok(!left.iter().any(|stored| blocks(stored)))
}

/// Takes the owner out of its dependents.
fn dependents_released(state: &mut State, owner: &Stored) -> Result<bool, Status> {
    for key in state.store.dependents(&owner.uid) {
        let (Some(kind), Some(stored)) = (state.kind(&key.kind), state.store.at(&key).cloned())
        else {
            continue;
        };
        let mut object = stored.object();
        let meta = object::meta_mut(&mut object);
        if let Some(Value::Array(owners)) = meta.get_mut("ownerReferences") {
            owners.retain(|one| one["uid"] != owner.uid.as_str());
            if owners.is_empty() {
                meta.remove("ownerReferences");
            }
        }
        state.put(&kind, object)?;
    }
    Ok(true)
}
