//! From documents and a placement to the plan (spec §2.1, §2.2).

use super::{Class, NAMESPACE_WAVE, Plan, PlanApp, PlanManifest, PlanRow, order::wave};
use crate::{
    document::{CompositeApp, Dig},
    ids::{ClusterId, ResourceKey, RowId},
    manifest::{self, Object, Scope, Scopes},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A plan that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error(
        "{object} on {cluster} is named by app {first} and again by app {second}; keep one of them"
    )]
    Duplicate {
        object: String,
        cluster: ClusterId,
        first: String,
        second: String,
    },
    #[error("{object} stands twice in app {app}; keep one of them")]
    Twice { object: String, app: String },
    #[error("app {0} has no objects; add manifests")]
    NoObjects(String),
    #[error("app {0} has no cluster; add a placement for it")]
    NotPlaced(String),
    #[error("the plan has more than {} resources", RowId::MAX)]
    TooLarge,
}

/// Namespaces every cluster has: never made for a DIG.
const GIVEN_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// What the server owns: an object that carries it could not be applied twice.
const SERVER_FIELDS: &[&str] = &[
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// An object, ready but for its cluster.
struct Prepared {
    group: String,
    version: String,
    kind: String,
    namespace: String,
    name: String,
    wave: i32,
    class: Class,
    keep: bool,
    digest: String,
}

impl Prepared {
    fn key(&self, cluster: &ClusterId) -> ResourceKey {
        ResourceKey {
            cluster: cluster.clone(),
            group: self.group.clone(),
            kind: self.kind.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    fn row(&self, app: &str, cluster: &ClusterId) -> PlanRow {
        PlanRow {
            id: 0,
            app: app.to_owned(),
            key: self.key(cluster),
            version: self.version.clone(),
            wave: self.wave,
            class: self.class,
            digest: self.digest.clone(),
            implicit: false,
            keep: self.keep,
        }
    }

    fn identity(&self) -> (&str, &str, &str, &str) {
        (&self.group, &self.kind, &self.namespace, &self.name)
    }
}

/// Renders the plan of one revision: every object on every cluster of its app, namespaces
/// filled in, the DIG's namespace added where no manifest brings it.
///
/// # Errors
/// An object that stands twice on a cluster, an app without objects or clusters.
pub fn render(
    dig: &Dig,
    app: &CompositeApp,
    placed: &BTreeMap<String, Vec<ClusterId>>,
) -> Result<Plan, RenderError> {
    let mut manifests = BTreeMap::new();
    let prepared = prepare_all(dig, app, &mut manifests)?;
    let mut apps = Vec::with_capacity(app.apps.len());
    for app in &app.apps {
        let clusters: BTreeSet<ClusterId> = placed
            .get(&app.name)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        if clusters.is_empty() {
            return Err(RenderError::NotPlaced(app.name.clone()));
        }
        apps.push(PlanApp {
            name: app.name.clone(),
            depends_on: app.depends_on.clone(),
            clusters: clusters.into_iter().collect(),
        });
    }
    refuse_duplicates(&apps, &prepared)?;

    let mut shared: Vec<PlanRow> = implicit_namespaces(dig, &apps, &prepared, &mut manifests);
    let mut own: Vec<PlanRow> = Vec::new();
    for (app, objects) in apps.iter().zip(&prepared) {
        for cluster in &app.clusters {
            for object in objects {
                match object.class {
                    Class::Shared => shared.push(object.row(&app.name, cluster)),
                    Class::Own => own.push(object.row(&app.name, cluster)),
                }
            }
        }
    }
    // Stable: inside a wave the order of apps and documents stays.
    shared.sort_by(|a, b| (&a.key.cluster, a.wave).cmp(&(&b.key.cluster, b.wave)));
    let mut rows = shared;
    rows.append(&mut own);
    for (number, row) in rows.iter_mut().enumerate() {
        row.id = RowId::try_from(number).map_err(|_| RenderError::TooLarge)?;
    }
    Ok(Plan {
        apps,
        rows,
        manifests: manifests.into_values().collect(),
    })
}

/// What can be said of a plan before clusters are chosen: no app without objects, no object twice
/// in an app once namespaces are filled in.
///
/// # Errors
/// As [`render`].
pub fn check(dig: &Dig, app: &CompositeApp) -> Result<(), RenderError> {
    prepare_all(dig, app, &mut BTreeMap::new()).map(drop)
}

fn prepare_all(
    dig: &Dig,
    app: &CompositeApp,
    manifests: &mut BTreeMap<String, PlanManifest>,
) -> Result<Vec<Vec<Prepared>>, RenderError> {
    let scopes = Scopes::learn(app.apps.iter().flat_map(|app| &app.objects));
    let mut prepared: Vec<Vec<Prepared>> = Vec::with_capacity(app.apps.len());
    for app in &app.apps {
        if app.objects.is_empty() {
            return Err(RenderError::NoObjects(app.name.clone()));
        }
        let mut objects: Vec<Prepared> = app
            .objects
            .iter()
            .map(|object| prepare(object, &dig.namespace, &scopes, manifests))
            .collect();
        refuse_twice(&app.name, &objects)?;
        objects.sort_by_key(|object| object.wave);
        prepared.push(objects);
    }
    Ok(prepared)
}

fn refuse_twice(app: &str, objects: &[Prepared]) -> Result<(), RenderError> {
    let mut seen = HashSet::with_capacity(objects.len());
    match objects
        .iter()
        .find(|object| !seen.insert(object.identity()))
    {
        None => Ok(()),
        Some(object) => Err(RenderError::Twice {
            object: describe(object),
            app: app.to_owned(),
        }),
    }
}

fn prepare(
    object: &Object,
    default_namespace: &str,
    scopes: &Scopes,
    manifests: &mut BTreeMap<String, PlanManifest>,
) -> Prepared {
    let mut json = object.json.clone();
    let namespace = match scopes.of(&object.group, &object.kind) {
        Scope::Cluster => String::new(),
        Scope::Namespaced | Scope::Unknown => object
            .namespace
            .clone()
            .unwrap_or_else(|| default_namespace.to_owned()),
    };
    if let Some(metadata) = json["metadata"].as_object_mut() {
        for field in SERVER_FIELDS {
            metadata.remove(*field);
        }
        if namespace.is_empty() {
            metadata.remove("namespace");
        } else {
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
    }
    let digest = store(
        &json,
        manifests,
        (object.group.as_str(), object.kind.as_str()) == ("", "Secret"),
    );
    Prepared {
        group: object.group.clone(),
        version: object.version.clone(),
        kind: object.kind.clone(),
        namespace,
        name: object.name.clone(),
        wave: wave(&object.group, &object.kind),
        class: class(&object.group, &object.kind),
        keep: manifest::is_kept(&object.json),
        digest,
    }
}

fn class(group: &str, kind: &str) -> Class {
    if manifest::is_shared_kind(group, kind) {
        Class::Shared
    } else {
        Class::Own
    }
}

fn store(json: &Value, manifests: &mut BTreeMap<String, PlanManifest>, secret: bool) -> String {
    let json = manifest::canonical(json);
    let digest = manifest::digest(&json);
    manifests
        .entry(digest.clone())
        .or_insert_with(|| PlanManifest {
            digest: digest.clone(),
            secret,
            json,
        });
    digest
}

/// One row for each cluster on which something lands in the DIG's namespace and no manifest
/// brings it.
fn implicit_namespaces(
    dig: &Dig,
    apps: &[PlanApp],
    prepared: &[Vec<Prepared>],
    manifests: &mut BTreeMap<String, PlanManifest>,
) -> Vec<PlanRow> {
    if GIVEN_NAMESPACES.contains(&dig.namespace.as_str()) {
        return Vec::new();
    }
    let mut wanted: BTreeSet<&ClusterId> = BTreeSet::new();
    let mut declared: BTreeSet<&ClusterId> = BTreeSet::new();
    for (app, objects) in apps.iter().zip(prepared) {
        if objects
            .iter()
            .any(|object| object.namespace == dig.namespace)
        {
            wanted.extend(&app.clusters);
        }
        if objects
            .iter()
            .any(|o| o.identity() == ("", "Namespace", "", &dig.namespace))
        {
            declared.extend(&app.clusters);
        }
    }
    let missing: Vec<&ClusterId> = wanted.difference(&declared).copied().collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let json = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": dig.namespace},
    });
    let digest = store(&json, manifests, false);
    let row = |cluster: &ClusterId| PlanRow {
        id: 0,
        app: String::new(),
        key: ResourceKey {
            cluster: cluster.clone(),
            group: String::new(),
            kind: "Namespace".to_owned(),
            namespace: String::new(),
            name: dig.namespace.clone(),
        },
        version: "v1".to_owned(),
        wave: NAMESPACE_WAVE,
        class: Class::Shared,
        digest: digest.clone(),
        implicit: true,
        keep: false,
    };
    missing.into_iter().map(row).collect()
}

/// Objects are compared once per pair of apps, not once per cluster.
fn refuse_duplicates(apps: &[PlanApp], prepared: &[Vec<Prepared>]) -> Result<(), RenderError> {
    let mut seen: HashMap<(&str, &str, &str, &str), Vec<usize>> = HashMap::new();
    let clusters: Vec<HashSet<&ClusterId>> = apps
        .iter()
        .map(|app| app.clusters.iter().collect())
        .collect();
    for (app, objects) in prepared.iter().enumerate() {
        for object in objects {
            let holders = seen.entry(object.identity()).or_default();
            for &other in holders.iter() {
                let both = apps[app]
                    .clusters
                    .iter()
                    .find(|c| clusters[other].contains(c));
                if let Some(cluster) = both {
                    return Err(RenderError::Duplicate {
                        object: describe(object),
                        cluster: cluster.clone(),
                        first: apps[other].name.clone(),
                        second: apps[app].name.clone(),
                    });
                }
            }
            holders.push(app);
        }
    }
    Ok(())
}

fn describe(object: &Prepared) -> String {
    let kind = if object.group.is_empty() {
        object.kind.clone()
    } else {
        format!("{}.{}", object.kind, object.group)
    };
    if object.namespace.is_empty() {
        format!("{kind} {}", object.name)
    } else {
        format!("{kind} {}/{}", object.namespace, object.name)
    }
}
