//! The metadata of an object on a cluster, and whose it is. Pure.

use crate::clusters::answer::Answer;
use model::{
    ids::ContextId,
    manifest::{CONTEXT_LABEL, INSTALLATION_LABEL},
};
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
        match Meta::read(&answer.json()).filter(|_| answer.ok()) {
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

impl Meta {
    /// `None` if it is no object (a Status, an error page).
    pub fn read(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        let uid = metadata["uid"].as_str()?.to_owned();
        let labels = metadata["labels"].as_object().map(|labels| {
            labels
                .iter()
                .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
                .collect()
        });
        let finalizers = strings(&metadata["finalizers"], |f| f.as_str());
        let owners = strings(&metadata["ownerReferences"], |o| o["uid"].as_str());
        let managers: BTreeSet<String> =
            strings(&metadata["managedFields"], |m| m["manager"].as_str())
                .into_iter()
                .collect();
        Some(Self {
            namespace: text("namespace"),
            name: text("name"),
            uid,
            version: text("resourceVersion"),
            labels: labels.unwrap_or_default(),
            deleting: metadata["deletionTimestamp"].is_string(),
            finalizers,
            owners,
            managers: managers.into_iter().collect::<Vec<_>>().join(", "),
        })
    }

    /// The items of a metadata list; `None` if it is no list.
    pub fn list(list: &Value) -> Option<Vec<Self>> {
        match list.get("items")? {
            Value::Array(items) => items.iter().map(Self::read).collect(),
            // An empty slice, as servers write it that do not care.
            Value::Null if list["kind"].as_str()?.ends_with("List") => Some(Vec::new()),
            _ => None,
        }
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

fn strings(list: &Value, of: impl Fn(&Value) -> Option<&str>) -> Vec<String> {
    list.as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(|v| of(v).map(str::to_owned))
        .collect()
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
        Meta::read(&json!({"metadata": {"name": name, "uid": format!("u-{name}"), "labels": labels, "ownerReferences": owners}}))
            .unwrap()
    }

    #[test]
    fn a_status_is_no_object() {
        assert_eq!(
            Meta::read(&json!({"kind": "Status", "metadata": {}, "status": "Success"})),
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
                Meta::list(&list).map(|items| items.len()),
                expected,
                "{list}"
            );
        }
    }

    #[test]
    fn metadata_is_read_as_far_as_it_is_there() {
        let read = Meta::read(&json!({"metadata": {
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
