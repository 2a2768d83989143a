//! What comes before what: waves of kinds (spec §2.2), order of apps.

use crate::{document::Dependency, state::Goal};
use std::collections::HashMap;

/// Namespaces: before everything that lives in them.
pub const NAMESPACE_WAVE: i32 = 0;
/// CustomResourceDefinitions: Established before their objects.
pub const CRD_WAVE: i32 = 1;
const FOUNDATION_WAVE: i32 = 2;
const BINDING_WAVE: i32 = 3;
const WORK_WAVE: i32 = 4;
/// Whatever can block other requests: applied last, so that it is deleted first.
pub const ADMISSION_WAVE: i32 = 5;

/// The wave of a kind. The order is helm's install order, drawn together to few waves, since each
/// costs a round trip: what pods refer to, then what selects or binds it, then what runs.
pub fn wave(group: &str, kind: &str) -> i32 {
    match (group, kind) {
        ("", "Namespace") => NAMESPACE_WAVE,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => CRD_WAVE,
        (
            "",
            "ServiceAccount"
            | "Secret"
            | "ConfigMap"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "ResourceQuota"
            | "LimitRange"
            | "Node",
        )
        | ("networking.k8s.io", "NetworkPolicy" | "IngressClass")
        | ("policy", "PodDisruptionBudget")
        | ("rbac.authorization.k8s.io", "ClusterRole" | "Role")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("node.k8s.io", "RuntimeClass")
        | ("storage.k8s.io", "StorageClass" | "CSIDriver" | "CSINode" | "VolumeAttributesClass")
        | ("flowcontrol.apiserver.k8s.io", _) => FOUNDATION_WAVE,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding" | "RoleBinding")
        | ("", "Service" | "Endpoints")
        | ("discovery.k8s.io", "EndpointSlice") => BINDING_WAVE,
        ("admissionregistration.k8s.io", _) | ("apiregistration.k8s.io", "APIService") => {
            ADMISSION_WAVE
        }
        _ => WORK_WAVE,
    }
}

/// Apps that wait for each other in a cycle, in ring order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("apps depend on each other in a cycle: {}", ring.join(" → "))]
pub struct Cycle {
    /// The first app is named again at the end.
    pub ring: Vec<String>,
}

/// The apps (by index) so that each comes after those it depends on; equal ones in given order.
/// Names that are not in the list are passed over.
///
/// # Errors
/// A ring of dependencies, a self-dependency too.
pub fn topological(apps: &[(&str, &[Dependency])]) -> Result<Vec<usize>, Cycle> {
    let index: HashMap<&str, usize> = apps.iter().enumerate().map(|(i, app)| (app.0, i)).collect();
    let needs: Vec<Vec<usize>> = apps
        .iter()
        .map(|app| {
            app.1
                .iter()
                .filter_map(|d| index.get(d.app.as_str()).copied())
                .collect()
        })
        .collect();
    let mut order = Vec::with_capacity(apps.len());
    let mut placed = vec![false; apps.len()];
    while order.len() < apps.len() {
        let ready = (0..apps.len())
            .find(|&app| !placed[app] && needs[app].iter().all(|&need| placed[need]));
        let Some(ready) = ready else {
            return Err(ring(apps, &needs, &placed));
        };
        placed[ready] = true;
        order.push(ready);
    }
    Ok(order)
}

/// Groups of apps (by index) that depend on each other, directly or not, each in the order of
/// [`topological`]; apps that stand alone are left out.
pub fn tied(apps: &[(&str, &[Dependency])]) -> Vec<Vec<usize>> {
    let mut group: Vec<usize> = (0..apps.len()).collect();
    for (app, needs) in predecessors(apps, Goal::Apply).into_iter().enumerate() {
        for (need, _) in needs {
            let (old, new) = (group[app], group[need]);
            for of in &mut group {
                if *of == old {
                    *of = new;
                }
            }
        }
    }
    // A cycle was refused when the application was stored; without an order the given one will do.
    let order = topological(apps).unwrap_or_else(|_| (0..apps.len()).collect());
    let group = &group;
    let members = |of: usize| order.iter().copied().filter(move |&app| group[app] == of);
    (0..apps.len())
        .map(|of| members(of).collect::<Vec<_>>())
        .filter(|apps| apps.len() > 1)
        .collect()
}

/// Walks from an app that cannot be placed along its unplaced dependencies until one repeats.
fn ring(apps: &[(&str, &[Dependency])], needs: &[Vec<usize>], placed: &[bool]) -> Cycle {
    let mut path: Vec<usize> = Vec::new();
    let mut at = placed.iter().position(|placed| !placed).unwrap_or_default();
    loop {
        if let Some(start) = path.iter().position(|&seen| seen == at) {
            let names = path[start..]
                .iter()
                .chain([&at])
                .map(|&app| apps[app].0.to_owned());
            return Cycle {
                ring: names.collect(),
            };
        }
        path.push(at);
        match needs[at].iter().find(|&&need| !placed[need]) {
            Some(&next) => at = next,
            None => {
                return Cycle {
                    ring: vec![apps[at].0.to_owned()],
                };
            }
        }
    }
}

/// For each app the apps (by index) that must be through before it starts, with the wait in ms
/// after that: its dependencies for Apply, its dependents (without a wait) for Delete.
pub fn predecessors(apps: &[(&str, &[Dependency])], goal: Goal) -> Vec<Vec<(usize, u64)>> {
    let index: HashMap<&str, usize> = apps.iter().enumerate().map(|(i, app)| (app.0, i)).collect();
    let mut out = vec![Vec::new(); apps.len()];
    for (app, (_, depends_on)) in apps.iter().enumerate() {
        for dependency in *depends_on {
            let Some(&on) = index.get(dependency.app.as_str()) else {
                continue;
            };
            match goal {
                Goal::Apply => out[app].push((on, dependency.wait_ms)),
                Goal::Delete => out[on].push((app, 0)),
            }
        }
    }
    out
}
