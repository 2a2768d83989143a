//! `metadata.managedFields`: who owns which fields, and how applies and updates change that.

use serde_json::{Value, json};

use super::set::Set;
use crate::kube::object;

/// How a manager writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The name, for example `kubectl`.
    pub name: String,
    /// How it writes.
    pub operation: Operation,
    /// The version of the object it wrote.
    pub api_version: String,
    /// `status`, or nothing for the object itself.
    pub subresource: String,
}

impl Manager {
    /// Whether both are one owner: an applier stays the same over versions.
    pub(super) fn is(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    pub(super) fn shown(&self) -> String {
        let mut shown = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            shown = format!("{shown} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            shown = format!("{shown} using {}", self.api_version);
        }
        shown
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owned {
    pub(super) manager: Manager,
    pub(super) time: String,
    pub(super) set: Set,
}

/// The owners of an object's fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managers(pub(super) Vec<Owned>);

impl Managers {
    /// From `metadata.managedFields`.
    pub fn read(object: &Value) -> Self {
        let listed = object::meta(object)
            .and_then(|meta| meta.get("managedFields"))
            .and_then(Value::as_array);
        let owned = listed.into_iter().flatten().filter_map(|entry| {
            let text = |name: &str| {
                entry
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let operation = match text("operation").as_str() {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            let (api_version, subresource) = (text("apiVersion"), text("subresource"));
            let manager = Manager {
                name: text("manager"),
                operation,
                api_version,
                subresource,
            };
            Some(Owned {
                manager,
                time: text("time"),
                set: Set::from_json(entry.get("fieldsV1")?),
            })
        });
        Self(owned.collect())
    }

    /// Into `metadata.managedFields`.
    pub fn write(&self, object: &mut Value) {
        let mut entries: Vec<&Owned> = self.0.iter().collect();
        entries.sort_by(|a, b| {
            let key = |owned: &Owned| {
                (
                    owned.manager.operation,
                    owned.time.clone(),
                    owned.manager.name.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        let entries: Vec<Value> = entries
            .into_iter()
            .map(|owned| {
                let mut entry = json!({
                    "manager": owned.manager.name,
                    "operation": format!("{:?}", owned.manager.operation),
                    "apiVersion": owned.manager.api_version,
                    "time": owned.time,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": owned.set.to_json(),
                });
                if !owned.manager.subresource.is_empty() {
                    entry["subresource"] = owned.manager.subresource.clone().into();
                }
                entry
            })
            .collect();
        let meta = object::meta_mut(object);
        if entries.is_empty() {
            meta.remove("managedFields");
        } else {
            meta.insert("managedFields".into(), Value::Array(entries));
        }
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn set(&self, manager: &Manager) -> Option<&Set> {
        self.0
            .iter()
            .find(|owned| owned.manager.is(manager))
            .map(|owned| &owned.set)
    }

    /// Gives `manager` exactly `set`.
    pub fn put(&mut self, manager: &Manager, set: Set, now: &str) {
        let at = self.0.iter().position(|owned| owned.manager.is(manager));
        match at {
            Some(at) if set.is_empty() => {
                self.0.remove(at);
            }
            Some(at) if self.0[at].set == set && self.0[at].manager == *manager => {}
            Some(at) => {
                self.0[at] = Owned {
                    manager: manager.clone(),
                    time: now.to_owned(),
                    set,
                }
            }
            None if set.is_empty() => {}
            None => self.0.push(Owned {
                manager: manager.clone(),
                time: now.to_owned(),
                set,
            }),
        }
    }
}
