//! What the server makes of an object before it keeps it: its own metadata, status, defaults, generation.

use serde_json::{Value, json};

use super::defaults;
use super::kinds::Kind;
use super::object;
use super::schema::{self, Place};
use super::state::State;
use super::write::Write;

impl Write<'_> {
    /// Leaves away what typed objects leave away. What a definition says is a schema, in which an empty list
    /// means something.
    pub(super) fn drop_empties(&self, new: &mut Value) {
        if !self.kind.custom && &*self.kind.id != "customresourcedefinitions.apiextensions.k8s.io" {
            object::drop_empties(new);
        }
        if &*self.kind.id == "services" && new.pointer("/spec/selector") == Some(&json!({})) {
            object::child(object::fields(new), "spec").remove("selector");
        }
    }

    /// Makes `new` what the server would keep: server-owned metadata, status, defaults, generation.
    pub(super) fn settle(&self, state: &mut State, old: Option<&Value>, new: &mut Value) {
        object::drop_nulls(new);
        let root = object::fields(new);
        root.insert(
            "apiVersion".into(),
            self.kind.api_version(&self.kind.storage).into(),
        );
        root.insert("kind".into(), self.kind.kind.clone().into());
        if self.subresource == "status" {
            let status = root.remove("status");
            *new = old.cloned().unwrap_or_default();
            if let Some(status) = status {
                object::fields(new).insert("status".into(), status);
            }
        } else if self.has_status() {
            let status = old.and_then(|old| old.get("status")).cloned();
            match status {
                Some(status) => root.insert("status".into(), status),
                None => root.remove("status"),
            };
        }
        settle_metadata(self.kind, old, new);
        if self.subresource != "status" {
            if let Place::Root(schema) = self.place() {
                schema::defaults(new, schema);
            } else if !self.kind.custom {
                defaults::set(&self.kind.id, new);
            }
            if &*self.kind.id == "jobs.batch" && old.is_none() {
                settle_job(new);
            }
            if &*self.kind.id == "services" {
                settle_address(state, old, new);
            }
            if let (Some(old), true) = (old, self.kind.generation)
                && self.wanted(old) != self.wanted(new)
            {
                let generation = object::number(old, "/metadata/generation").unwrap_or(0) + 1;
                object::meta_mut(new).insert("generation".into(), generation.into());
            }
        }
    }

    /// What an object wants: everything but metadata and the status that others report.
    fn wanted<'v>(&self, object: &'v Value) -> Vec<(&'v String, &'v Value)> {
        let fields = object.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| *name != "metadata" && (*name != "status" || !self.has_status()))
            .collect()
    }
}

/// Gives `new` the metadata that the server owns.
fn settle_metadata(kind: &Kind, old: Option<&Value>, new: &mut Value) {
    let meta = object::meta_mut(new);
    match old {
        None => {
            for field in [
                "resourceVersion",
                "generation",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "selfLink",
            ] {
                meta.remove(field);
            }
            meta.insert("uid".into(), object::new_uid().into());
            meta.insert("creationTimestamp".into(), object::now().into());
            if kind.generation {
                meta.insert("generation".into(), 1.into());
            }
        }
        Some(old) => {
            let old = object::meta(old);
            for field in [
                "name",
                "namespace",
                "uid",
                "creationTimestamp",
                "resourceVersion",
                "generation",
                "generateName",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            ] {
                match old.and_then(|old| old.get(field)) {
                    Some(value) => meta.insert(field.into(), value.clone()),
                    None => meta.remove(field),
                };
            }
        }
    }
}

fn settle_address(state: &mut State, old: Option<&Value>, new: &mut Value) {
    let spec = object::child(object::fields(new), "spec");
    let typed = spec.get("type").and_then(Value::as_str);
    // What the former type was given by default goes with it.
    let policy = old.and_then(|old| old.pointer("/spec/externalTrafficPolicy"));
    let is_internal = matches!(typed, Some("ClusterIP" | "ExternalName"));
    let is_named = typed == Some("ExternalName");
    if is_internal && policy.is_some() && spec.get("externalTrafficPolicy") == policy {
        spec.remove("externalTrafficPolicy");
    }
    if is_named {
        return;
    }
    if !spec.contains_key("clusterIP") {
        let kept = old.and_then(|old| old.pointer("/spec/clusterIP")).cloned();
        let address = kept.unwrap_or_else(|| state.next_address().into());
        spec.insert("clusterIP".into(), address);
    }
    if !spec.contains_key("clusterIPs") {
        let address = spec.get("clusterIP").cloned().unwrap_or_default();
        spec.insert("clusterIPs".into(), Value::Array(vec![address]));
    }
    object::fields(new)
        .entry("status")
        .or_insert_with(|| json!({"loadBalancer": {}}));
}

/// Gives a Job the selector and labels by which it knows its Pods.
fn settle_job(job: &mut Value) {
    if job.pointer("/spec/manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let (uid, name) = (object::uid(job).to_owned(), object::name(job).to_owned());
    let labels = [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ];
    let spec = object::child(object::fields(job), "spec");
    spec.insert(
        "selector".into(),
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}),
    );
    let meta = object::child(object::child(spec, "template"), "metadata");
    for (label, value) in labels {
        object::child(meta, "labels").insert(label.into(), value.clone().into());
    }
    // The real server lets the Job share its template's labels.
    for (label, value) in labels {
        object::child(object::meta_mut(job), "labels").insert(label.into(), value.clone().into());
    }
}
