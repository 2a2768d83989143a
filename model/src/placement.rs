//! Which app goes to which clusters (spec §5).

use crate::{
    document::{Dig, Placement, Selector},
    ids::ClusterId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Clusters with their labels, as registered.
pub type Clusters = BTreeMap<ClusterId, BTreeMap<String, String>>;

/// App → its clusters, in the order of their ids.
pub type Placed = BTreeMap<String, Vec<ClusterId>>;

/// A placement that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    #[error("app {app}: cluster {cluster} is not known; register it or name another one")]
    UnknownCluster { app: String, cluster: ClusterId },
    #[error("app {app}: no cluster has the label {key}={value}; label one or choose another label")]
    NoMatch {
        app: String,
        key: String,
        value: String,
    },
    #[error("app {app}: the label is empty; write it as key=value")]
    EmptyLabel { app: String },
    #[error("app {app} has no cluster; add a placement entry for it or for \"*\"")]
    NoCluster { app: String },
}

/// Resolves the placement of every app. An entry that names the app stands in for the one of `*`.
///
/// # Errors
/// The first entry that names an unknown cluster or a label nobody has, the first app that
/// would run nowhere.
pub fn resolve<'a>(
    dig: &Dig,
    apps: impl IntoIterator<Item = &'a str>,
    clusters: &Clusters,
) -> Result<Placed, PlacementError> {
    let mut placed = Placed::new();
    for app in apps {
        let entry = |name: &str| dig.placement.iter().find(|entry| entry.app == name);
        let found = match entry(app).or_else(|| entry("*")) {
            Some(entry) => clusters_of(app, entry, clusters)?,
            None => BTreeSet::new(),
        };
        if found.is_empty() {
            return Err(PlacementError::NoCluster {
                app: app.to_owned(),
            });
        }
        placed.insert(app.to_owned(), found.into_iter().collect());
    }
    Ok(placed)
}

fn clusters_of(
    app: &str,
    entry: &Placement,
    clusters: &Clusters,
) -> Result<BTreeSet<ClusterId>, PlacementError> {
    let mut chosen = BTreeSet::new();
    for selector in &entry.all_of {
        chosen.extend(matches(app, selector, clusters)?);
    }
    let mut candidates = BTreeSet::new();
    for selector in &entry.any_of {
        candidates.extend(matches(app, selector, clusters)?);
    }
    // One of the candidates is enough, and a mandatory one that is among them is that one.
    if candidates.is_disjoint(&chosen) {
        chosen.extend(candidates.into_iter().next());
    }
    Ok(chosen)
}

fn matches(
    app: &str,
    selector: &Selector,
    clusters: &Clusters,
) -> Result<Vec<ClusterId>, PlacementError> {
    let app = app.to_owned();
    match selector {
        Selector::Cluster(id) if clusters.contains_key(id) => Ok(vec![id.clone()]),
        Selector::Cluster(id) => Err(PlacementError::UnknownCluster {
            app,
            cluster: id.clone(),
        }),
        Selector::Label { key, .. } if key.is_empty() => Err(PlacementError::EmptyLabel { app }),
        Selector::Label { key, value } => {
            let found: Vec<ClusterId> = clusters
                .iter()
                .filter(|(_, labels)| labels.get(key) == Some(value))
                .map(|(id, _)| id.clone())
                .collect();
            if found.is_empty() {
                return Err(PlacementError::NoMatch {
                    app,
                    key: key.clone(),
                    value: value.clone(),
                });
            }
            Ok(found)
        }
    }
}

#[cfg(test)]
#[path = "placement/tests.rs"]
mod tests;
