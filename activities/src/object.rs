//! The metadata of an object on a cluster, and whose it is. Pure.

use crate::clusters::answer::Answer;
use model::{
    ids::ContextId,
    manifest::{CONTEXT_LABEL, INSTALLATION_LABEL},
};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// What the answer to a GET says of the object.
#[derive(Debug)]
pub enum Sight {
    There(Meta),
    Absent,
    /// Nothing: neither an object nor a stated absence.
    Nothing,
}

impl Sight {
    pub fn of(answer: &Answer) -> Self {
        if answer.absent() {
            return Self::Absent;
        }
        match Meta::read(&answer.body).filter(|_| answer.ok()) {
            Some(meta) => Self::There(meta),
            None => Self::Nothing,
        }
    }
}

/// What is looked at of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `resourceVersion`.
    pub version: String,
    pub labels: BTreeMap<String, String>,
    /// It carries a deletionTimestamp.
    pub deleting: bool,
    pub finalizers: Vec<String>,
    /// Uids of its owners.
    pub owners: Vec<String>,
    /// Field managers, for "exists, managed by X".
    pub managers: String,
}

/// An object as servers write it, as far as it is looked at.
#[derive(Deserialize)]
struct Object {
    metadata: Written,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    namespace: Option<String>,
    name: Option<String>,
    uid: String,
    resource_version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    deletion_timestamp: Option<IgnoredAny>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<Owner>>,
    managed_fields: Option<Vec<Managed>>,
}

#[derive(Deserialize)]
struct Owner {
    uid: String,
}

#[derive(Deserialize)]
struct Managed {
    manager: Option<String>,
}

impl From<Object> for Meta {
    fn from(Object { metadata }: Object) -> Self {
        let owners = metadata.owner_references.unwrap_or_default();
        let managed = metadata.managed_fields.unwrap_or_default();
        let managers: BTreeSet<String> = managed.into_iter().filter_map(|m| m.manager).collect();
        Self {
            namespace: metadata.namespace.unwrap_or_default(),
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid,
            version: metadata.resource_version.unwrap_or_default(),
            labels: metadata.labels.unwrap_or_default(),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.unwrap_or_default(),
            owners: owners.into_iter().map(|owner| owner.uid).collect(),
            managers: managers.into_iter().collect::<Vec<_>>().join(", "),
        }
    }
}

/// A page of a metadata list.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pub objects: Vec<Meta>,
    /// The continue token, if there is more.
    pub next: Option<String>,
}

#[derive(Deserialize)]
struct WrittenPage {
    kind: Option<String>,
    #[serde(default, deserialize_with = "present")]
    items: Option<Option<Vec<Object>>>,
    metadata: Option<PageMeta>,
}

#[derive(Deserialize)]
struct PageMeta {
    r#continue: Option<String>,
}

/// Tells `null` from nothing.
fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

impl Page {
    /// `None` if it is no list.
    pub fn read(body: &[u8]) -> Option<Self> {
        let page: WrittenPage = serde_json::from_slice(body).ok()?;
        let items = match page.items? {
            Some(items) => items,
            // An empty slice, as servers write it that do not care.
            None if page.kind?.ends_with("List") => Vec::new(),
            None => return None,
        };
        Some(Self {
            objects: items.into_iter().map(Meta::from).collect(),
            next: page
                .metadata
                .and_then(|metadata| metadata.r#continue)
                .filter(|next| !next.is_empty()),
        })
    }
}

impl Meta {
    /// `None` if it is no object (a Status, an error page).
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Object>(body).ok().map(Self::from)
    }

    /// … of what has been read as JSON.
    pub fn of(object: &Value) -> Option<Self> {
        Object::deserialize(object).ok().map(Self::from)
    }

    pub fn of_context(&self, context: &ContextId) -> bool {
        self.labels.get(CONTEXT_LABEL) == Some(&context.0)
    }

    pub fn of_installation(&self, installation: &str) -> bool {
        self.labels
            .get(INSTALLATION_LABEL)
            .is_some_and(|label| label == installation)
    }

    /// What keeps it there once it is deleted.
    pub fn waits_for(&self) -> String {
        if self.finalizers.is_empty() {
            "waiting until it is gone".to_owned()
        } else {
            format!("waiting for finalizers: {}", self.finalizers.join(", "))
        }
    }

    /// "managed by X", as far as it is known.
    pub fn managed_by(&self) -> String {
        if self.managers.is_empty() {
            "nobody known".to_owned()
        } else {
            self.managers.clone()
        }
    }
}

/// Objects of a namespace that are somebody else's: not ours, not owned by ours (however far
/// down), not made by Kubernetes itself (protocol §6). `ours` are uids known to be ours,
/// objects that are gone already included. What is being deleted does not count.
pub fn foreign<'a>(
    objects: &'a [(String, Meta)],
    context: &ContextId,
    ours: &HashSet<String>,
) -> Vec<&'a (String, Meta)> {
    let mut known: HashSet<&str> = ours.iter().map(String::as_str).collect();
    loop {
        let before = known.len();
        for (_, meta) in objects {
            if meta.of_context(context)
                || meta
                    .owners
                    .iter()
                    .any(|owner| known.contains(owner.as_str()))
            {
                known.insert(&meta.uid);
            }
        }
        if known.len() == before {
            break;
        }
    }
    objects
        .iter()
        .filter(|(kind, meta)| {
            !known.contains(meta.uid.as_str()) && !meta.deleting && !made_by_kubernetes(kind, meta)
        })
        .collect()
}

fn made_by_kubernetes(kind: &str, meta: &Meta) -> bool {
    match kind {
        "Event" | "Endpoints" | "EndpointSlice" | "Lease" | "PodMetrics" => true,
        "ServiceAccount" => meta.name == "default",
        "ConfigMap" => meta.name == "kube-root-ca.crt",
        // The token of a ServiceAccount on old clusters.
        "Secret" => meta.name.starts_with("default-token-"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;
    use serde_json::json;

    fn meta(name: &str, labels: Value, owners: Value) -> Meta {
        Meta::of(&json!({"metadata": {"name": name, "uid": format!("u-{name}"), "labels": labels, "ownerReferences": owners}}))
            .unwrap()
    }

    #[test]
    fn a_status_is_no_object() {
        assert_eq!(
            Meta::of(&json!({"kind": "Status", "metadata": {}, "status": "Success"})),
            None
        );
    }

    #[test]
    fn a_list_has_items() {
        let item = json!({"metadata": {"uid": "u"}});
        let cases = [
            (
                json!({"kind": "PartialObjectMetadataList", "items": [item]}),
                Some(1),
            ),
            (
                json!({"kind": "PartialObjectMetadataList", "items": []}),
                Some(0),
            ),
            (json!({"kind": "CartList", "items": null}), Some(0)),
            (json!({"items": null}), None),
            (
                json!({"kind": "PartialObjectMetadataList", "items": [{}]}),
                None,
            ),
            (json!({"kind": "PartialObjectMetadataList"}), None),
            (json!(null), None),
        ];
        for (list, expected) in cases {
            assert_eq!(
                Page::read(list.to_string().as_bytes()).map(|page| page.objects.len()),
                expected,
                "{list}"
            );
        }
    }

    #[test]
    fn metadata_is_read_as_far_as_it_is_there() {
        let read = Meta::of(&json!({"metadata": {
            "name": "a", "namespace": "shop", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["x/y", "z"], "labels": {"muster.dev/context": "c1", "muster.dev/installation": "i1"},
            "managedFields": [{"manager": "kubectl"}, {"manager": "helm"}, {"manager": "kubectl"}],
        }}))
        .unwrap();
        assert!(
            read.deleting && read.of_context(&ContextId("c1".into())) && read.of_installation("i1")
        );
        assert!(!read.of_context(&ContextId("c2".into())) && !read.of_installation("i2"));
        assert_eq!(read.managers, "helm, kubectl");
        assert_eq!(read.waits_for(), "waiting for finalizers: x/y, z");
    }

    #[test]
    fn foreign_is_what_is_neither_ours_nor_owned_by_ours_nor_kubernetes_own() {
        let context = ContextId("c1".into());
        let own = json!({"muster.dev/context": "c1"});
        let objects = vec![
            (
                "ConfigMap".to_owned(),
                meta("kube-root-ca.crt", json!({}), json!([])),
            ),
            (
                "ServiceAccount".to_owned(),
                meta("default", json!({}), json!([])),
            ),
            ("Event".to_owned(), meta("e1", json!({}), json!([]))),
            ("Deployment".to_owned(), meta("web", own, json!([]))),
            // Listed before its owner, to need a second round.
            (
                "Pod".to_owned(),
                meta("web-1-x", json!({}), json!([{"uid": "u-web-1"}])),
            ),
            (
                "ReplicaSet".to_owned(),
                meta("web-1", json!({}), json!([{"uid": "u-web"}])),
            ),
            (
                "Pod".to_owned(),
                meta("left", json!({}), json!([{"uid": "u-gone"}])),
            ),
            (
                "ConfigMap".to_owned(),
                meta("somebodys", json!({}), json!([])),
            ),
            (
                "ServiceAccount".to_owned(),
                meta("robot", json!({"muster.dev/context": "c2"}), json!([])),
            ),
        ];
        let ours = HashSet::from(["u-gone".to_owned()]);
        let names: Vec<_> = foreign(&objects, &context, &ours)
            .into_iter()
            .map(|(_, m)| m.name.as_str())
            .collect();
        assert_eq!(names, ["somebodys", "robot"]);
    }
}
