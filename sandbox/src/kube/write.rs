//! CREATE, UPDATE and server-side apply: from a decoded body to a stored object.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admission;
use super::body;
use super::kinds::Kind;
use super::object;
use super::schema::{self, Place};
use super::ssa::{By, Manager, Managers, Operation, Refused, Shape};
use super::state::State;
use super::status::{Cause, Status};
use super::store::{Key, Stored};
use super::validate;

/// Who writes what, and how.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The kind.
    pub kind: &'a Arc<Kind>,
    /// The version the request speaks.
    pub version: &'a str,
    /// The namespace, empty outside.
    pub namespace: &'a str,
    /// The field manager.
    pub manager: String,
    /// `status`, or empty for the object itself.
    pub subresource: &'a str,
    /// Whether nothing is kept.
    pub dry_run: bool,
    /// What becomes of fields that no schema knows.
    pub validation: Validation,
}

/// What becomes of fields that no schema knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validation {
    /// They are dropped.
    Ignore,
    /// They are dropped and told.
    Warn,
    /// They are refused.
    Strict,
}

/// A write that was done.
pub struct Written {
    /// The object as it is now.
    pub stored: Arc<Stored>,
    /// Whether it is new.
    pub created: bool,
    /// What was left away, to be told in warnings.
    pub unknown: Vec<String>,
}

impl Write<'_> {
    fn by(&self, operation: Operation) -> Manager {
        Manager {
            name: self.manager.clone(),
            operation,
            api_version: self.kind.api_version(self.version),
            subresource: self.subresource.to_owned(),
        }
    }

    pub(super) fn shape(&self) -> Shape<'_> {
        if self.kind.custom {
            Shape::custom(
                self.kind
                    .version(self.version)
                    .and_then(|version| version.schema.as_deref()),
            )
        } else {
            Shape::built_in(&self.kind.kind)
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        if self.kind.custom {
            let version = self.kind.version(self.version);
            let schema = version.and_then(|version| version.schema.as_deref());
            return schema.map_or(Place::Open, Place::Root);
        }
        let name = format!("{}/{}/{}", self.kind.group, self.version, self.kind.kind);
        schema::of(&name).map_or(Place::Open, Place::Known)
    }

    pub(super) fn has_status(&self) -> bool {
        self.kind
            .version(self.version)
            .is_some_and(|version| version.status)
    }

    /// POST.
    pub fn create(&self, state: &mut State, mut new: Value) -> Result<Written, Status> {
        body::check_kind(&new, self.kind, self.version)?;
        let unknown = self.understand(&mut new)?;
        body::settle_namespace(&mut new, self.kind, self.namespace)?;
        if object::name(&new).is_empty() {
            let stem = object::meta_text(&new, "generateName").to_owned();
            if !stem.is_empty() {
                let name = format!("{stem}{}", object::suffix(rand::random(), 5));
                object::meta_mut(&mut new).insert("name".into(), name.into());
            }
        }
        let name = object::name(&new).to_owned();
        self.check_create(state, &name)?;
        if !matches!(object::meta_text(&new, "resourceVersion"), "" | "0") {
            return Err(Status::unknown(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        admission::check_webhooks(state, self.kind, self.version, "CREATE", &new)?;
        object::meta_mut(&mut new).remove("managedFields");
        let given = new.get("spec").cloned().unwrap_or_default();
        self.drop_empties(&mut new);
        self.settle(state, None, &mut new);
        let mut managers = Managers::default();
        let (writer, now) = (self.by(Operation::Update), object::now());
        managers.update(
            None,
            &self.said(&new, &given),
            &By {
                writer: &writer,
                shape: self.shape(),
                now: &now,
            },
        );
        managers.write(&mut new);
        validate::check(self.kind, self.version, None, &new)?;
        if let Some(existing) = state.store.get(&self.kind.id, self.namespace, &name) {
            return Err(Status::already_exists(self.kind, &name, existing.deleting));
        }
        let written = self.keep(state, None, new)?;
        Ok(Written { unknown, ..written })
    }

    /// What is asked before anything new: its namespace, and that its kind is not going away.
    fn check_create(&self, state: &State, name: &str) -> Result<(), Status> {
        if self.kind.terminating {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(self.kind, name, why));
        }
        admission::check_namespace(state, self.kind, self.namespace, name)
    }

    /// PUT.
    pub fn replace(
        &self,
        state: &mut State,
        name: &str,
        mut new: Value,
    ) -> Result<Written, Status> {
        let is_there = state
            .store
            .get(&self.kind.id, self.namespace, name)
            .is_some();
        if is_there || !self.kind.put_creates {
            return self.update(state, name, new);
        }
        body::settle_name(&mut new, name)?;
        self.create(state, new)
    }

    /// The end of every PUT, and of every patch that is not an apply.
    pub fn update(&self, state: &mut State, name: &str, mut new: Value) -> Result<Written, Status> {
        let stored = state
            .store
            .get(&self.kind.id, self.namespace, name)
            .cloned();
        let stored = stored.ok_or_else(|| Status::not_found(self.kind, name))?;
        body::check_kind(&new, self.kind, self.version)?;
        let unknown = self.understand(&mut new)?;
        body::settle_name(&mut new, name)?;
        body::settle_namespace(&mut new, self.kind, self.namespace)?;
        let old = stored.object();
        let (version, uid) = (
            object::meta_text(&new, "resourceVersion"),
            object::uid(&new),
        );
        if !uid.is_empty() && uid != stored.uid {
            let registry = if self.kind.custom {
                format!("{}/", self.kind.group)
            } else {
                String::new()
            };
            let (plural, place) = (&self.kind.plural, self.namespace);
            let place = if place.is_empty() {
                String::new()
            } else {
                format!("{place}/")
            };
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{registry}{plural}/{place}{name}, \
                 ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in \
                 object meta: {}",
                stored.uid
            );
            return Err(Status::conflict(self.kind, name, &why));
        }
        if self.kind.custom && version.is_empty() {
            let cause = Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: 0: must be specified for an update".into(),
                field: "metadata.resourceVersion".into(),
            };
            return Err(Status::invalid_as(
                &self.kind.group,
                &self.kind.plural,
                name,
                &[cause],
            ));
        }
        if !matches!(version, "" | "0") && version != stored.version.to_string() {
            return Err(Status::modified(self.kind, name));
        }
        admission::check_webhooks(state, self.kind, self.version, "UPDATE", &new)?;
        let said = new.pointer("/metadata/managedFields").cloned();
        object::meta_mut(&mut new).remove("managedFields");
        let mut bare = old.clone();
        object::meta_mut(&mut bare).remove("managedFields");
        self.drop_empties(&mut new);
        self.settle(state, Some(&bare), &mut new);
        let reset = said
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(|list| matches!(list.as_slice(), [one] if one == &json!({})));
        let mut managers = match said {
            _ if reset => Managers::default(),
            Some(said) if said.as_array().is_some_and(|list| !list.is_empty()) => {
                Managers::read(&json!({"metadata": {"managedFields": said}}))
            }
            _ => Managers::read(&old),
        };
        if !reset {
            let (writer, now) = (self.by(Operation::Update), object::now());
            managers.update(
                Some(&bare),
                &new,
                &By {
                    writer: &writer,
                    shape: self.shape(),
                    now: &now,
                },
            );
        }
        managers.write(&mut new);
        validate::check(self.kind, self.version, Some(&old), &new)?;
        let written = self.keep(state, Some((&stored, &old)), new)?;
        Ok(Written { unknown, ..written })
    }

    /// Server-side apply.
    pub fn apply(
        &self,
        state: &mut State,
        name: &str,
        mut config: Value,
        force: bool,
    ) -> Result<Written, Status> {
        self.check_applied(&config)?;
        self.check_declared(&mut config)?;
        if object::name(&config).is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        let said_namespace = object::namespace(&config).to_owned();
        body::settle_name(&mut config, name)?;
        body::settle_namespace(&mut config, self.kind, self.namespace)?;
        let stored = state
            .store
            .get(&self.kind.id, self.namespace, name)
            .cloned();
        let old = stored.as_ref().map(|stored| stored.object());
        let (uid, version) = (
            object::uid(&config).to_owned(),
            object::meta_text(&config, "resourceVersion").to_owned(),
        );
        match &stored {
            None if !self.subresource.is_empty() => return Err(Status::not_found(self.kind, name)),
            None => {
                self.check_create(state, name)?;
                if !uid.is_empty() {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    );
                    return Err(Status::conflict(self.kind, name, &why));
                }
            }
            Some(stored) => {
                if !uid.is_empty() && uid != stored.uid {
                    let cause = Cause::invalid("metadata.uid", &uid.into(), "field is immutable");
                    // The real server says it twice: once for every object, once for every update.
                    return Err(Status::invalid(self.kind, name, &[cause.clone(), cause]));
                }
                if !matches!(version.as_str(), "" | "0") && version != stored.version.to_string() {
                    return Err(Status::modified(self.kind, name));
                }
            }
        }
        let operation = if stored.is_some() { "UPDATE" } else { "CREATE" };
        admission::check_webhooks(state, self.kind, self.version, operation, &config)?;
        self.trim(&mut config);
        let now = object::now();
        let mut bare = old.clone().unwrap_or_else(|| json!({}));
        if old.is_some() {
            object::meta_mut(&mut bare).remove("managedFields");
        }
        let mut managers = old.as_ref().map(Managers::read).unwrap_or_default();
        if managers.is_empty() && old.is_some() {
            let before = Manager {
                name: "before-first-apply".into(),
                ..self.by(Operation::Update)
            };
            let by = By {
                writer: &before,
                shape: self.shape(),
                now: &now,
            };
            managers.update(None, &bare, &by);
        }
        let live = old.as_ref().map(|_| &bare);
        let writer = self.by(Operation::Apply);
        let by = By {
            writer: &writer,
            shape: self.shape(),
            now: &now,
        };
        let applied = managers.apply(&bare, &config, &by, force, |new| {
            self.settle(state, live, new)
        });
        let mut new = applied.map_err(|refused| match refused {
            Refused::Conflict { message, causes } => Status::apply_conflict(message, &causes),
            Refused::Misshapen(why) => Status::unknown(format!(
                "failed to create typed patch object ({}/{name}; {}/{}, Kind={}): {why}",
                said_namespace, self.kind.group, self.version, self.kind.kind
            )),
        })?;
        if self.kind.custom {
            schema::prune(&mut new, self.place());
        }
        // Only now: an empty map that is applied is a field like others until it is decoded.
        self.drop_empties(&mut new);
        managers.write(&mut new);
        validate::check(self.kind, self.version, old.as_ref(), &new)?;
        let before = stored.as_ref().zip(old.as_ref());
        self.keep(state, before, new)
    }

    /// Keeps the object, unless nothing changed, nothing is to be kept, or it only waited for its last finalizer.
    fn keep(
        &self,
        state: &mut State,
        old: Option<(&Arc<Stored>, &Value)>,
        new: Value,
    ) -> Result<Written, Status> {
        if let Some((stored, old)) = old {
            if *old == new {
                return Ok(Written {
                    stored: stored.clone(),
                    created: false,
                    unknown: Vec::new(),
                });
            }
            if stored.deleting
                && object::finalizers(&new).is_empty()
                && &*self.kind.id != "namespaces"
            {
                if !self.dry_run {
                    state.remove(&stored.key)?;
                }
                let last = Stored::preview(stored.key.clone(), &new);
                return Ok(Written {
                    stored: Arc::new(last),
                    created: false,
                    unknown: Vec::new(),
                });
            }
        }
        if self.dry_run {
            let stored = Stored::preview(
                Key::new(self.kind.id.clone(), self.namespace, object::name(&new)),
                &new,
            );
            return Ok(Written {
                stored: Arc::new(stored),
                created: old.is_none(),
                unknown: Vec::new(),
            });
        }
        let stored = state.put(self.kind, new)?;
        if old.is_none() && &*self.kind.id == "namespaces" {
            super::control::furnish_namespace(state, &stored.key.name)?;
        }
        Ok(Written {
            stored,
            created: old.is_none(),
            unknown: Vec::new(),
        })
    }
}
