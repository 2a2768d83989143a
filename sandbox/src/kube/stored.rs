//! An object as it is kept, and how it is found.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::object;

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The kind's id.
    pub kind: Arc<str>,
    /// Empty for objects outside namespaces.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// Of a kind in a namespace.
    pub fn new(kind: impl Into<Arc<str>>, namespace: &str, name: &str) -> Self {
        Self {
            kind: kind.into(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// An owner reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The kind's id, as far as it could be told.
    pub group: String,
    /// The owner's kind.
    pub kind: String,
    /// The owner's name.
    pub name: String,
    /// The owner's uid.
    pub uid: String,
    /// Whether a foreground deletion of the owner waits for this object.
    pub blocks: bool,
    /// Whether the owner is the controller of this object.
    pub controls: bool,
}

/// An object as it is kept: its JSON, and what is asked of it often.
#[derive(Debug)]
pub struct Stored {
    /// Which object.
    pub key: Key,
    /// `metadata.resourceVersion`.
    pub version: u64,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: Vec<(String, String)>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<Owner>,
    /// Whether a deletion has begun.
    pub deleting: bool,
    /// The object.
    pub json: Bytes,
}

impl Stored {
    /// The object at `key`, written at `version`.
    pub fn new(key: Key, version: u64, object: &Value) -> Self {
        let json = Bytes::from(object.to_string());
        let (uid, labels) = (object::uid(object).to_owned(), object::labels(object));
        Self {
            key,
            version,
            uid,
            labels,
            owners: owners(object),
            deleting: object::is_deleting(object),
            json,
        }
    }

    /// An object as it would be kept.
    pub fn preview(key: Key, object: &Value) -> Self {
        let version = object::meta_text(object, "resourceVersion")
            .parse()
            .unwrap_or(0);
        Self::new(key, version, object)
    }

    /// The object, parsed.
    pub fn object(&self) -> Value {
        serde_json::from_slice(&self.json).unwrap_or_default()
    }

    /// Its metadata, parsed; the rest is only skipped.
    pub fn metadata(&self) -> Value {
        #[derive(Default, serde::Deserialize)]
        struct Only {
            metadata: Value,
        }
        let only: Only = serde_json::from_slice(&self.json).unwrap_or_default();
        only.metadata
    }
}

/// The owner references of an object.
pub fn owners(object: &Value) -> Vec<Owner> {
    let listed = object::meta(object)
        .and_then(|meta| meta.get("ownerReferences"))
        .and_then(Value::as_array);
    let flag =
        |owner: &Value, name: &str| owner.get(name).and_then(Value::as_bool).unwrap_or(false);
    let text = |owner: &Value, name: &str| {
        owner
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let listed = listed.into_iter().flatten().map(|owner| Owner {
        group: text(owner, "apiVersion")
            .split_once('/')
            .map(|(group, _)| group.to_owned())
            .unwrap_or_default(),
        kind: text(owner, "kind"),
        name: text(owner, "name"),
        uid: text(owner, "uid"),
        blocks: flag(owner, "blockOwnerDeletion"),
        controls: flag(owner, "controller"),
    });
    listed.collect()
}
