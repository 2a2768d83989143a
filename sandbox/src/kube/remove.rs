//! DELETE: conditions, propagation, finalizers.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::admission;
use super::answer::{self, Answer};
use super::body;
use super::control;
use super::kinds::Kind;
use super::object::{self, text};
use super::request::{self, Call};
use super::state::State;
use super::status::{self, Status};
use super::store::Stored;

/// What becomes of the objects that the deleted one owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They go later.
    Background,
    /// They go first.
    Foreground,
    /// They stay.
    Orphan,
}

/// What a delete came to.
pub enum Outcome {
    /// The object is gone.
    Gone(Arc<Stored>),
    /// It goes when its finalizers are done.
    Waiting(Arc<Stored>),
}

/// What `DeleteOptions` say, in the body or in the query.
struct Options {
    uid: Option<String>,
    version: Option<String>,
    propagation: Propagation,
    dry_run: bool,
}

impl Options {
    fn read(call: &Call) -> Result<Self, Status> {
        let body = body::options(call)?;
        let asked = |pointer: &str| {
            body.pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let policy = asked("/propagationPolicy")
            .or_else(|| call.parameter("propagationPolicy").map(str::to_owned));
        let orphans = body.get("orphanDependents").and_then(Value::as_bool);
        let propagation = match policy.as_deref() {
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            Some("Background") => Propagation::Background,
            None if orphans == Some(true) => Propagation::Orphan,
            None => Propagation::Background,
            Some(other) => {
                let cause = status::Cause::unsupported(
                    "propagationPolicy",
                    &other.into(),
                    &["Foreground", "Background", "Orphan", "nil"],
                );
                return Err(Status::invalid_as(
                    "meta.k8s.io",
                    "DeleteOptions",
                    "",
                    &[cause],
                ));
            }
        };
        let said = body
            .pointer("/dryRun/0")
            .and_then(Value::as_str)
            .map(str::to_owned);
        Ok(Self {
            uid: asked("/preconditions/uid"),
            version: asked("/preconditions/resourceVersion"),
            propagation,
            dry_run: call.dry_run()? || request::dry_run(said.as_deref())?,
        })
    }
}

/// Deletes one object.
pub fn one(
    state: &mut State,
    call: &Call,
    kind: &Arc<Kind>,
    version: &str,
    namespace: &str,
    name: &str,
) -> Result<Answer, Status> {
    let options = Options::read(call)?;
    let stored = state.store.get(&kind.id, namespace, name).cloned();
    let stored = stored.ok_or_else(|| Status::not_found(kind, name))?;
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != stored.uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            stored.uid
        );
        return Err(Status::unmet(kind, name, &why));
    }
    if let Some(wanted) = options
        .version
        .as_ref()
        .filter(|version| **version != stored.version.to_string())
    {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            stored.version
        );
        return Err(Status::unmet(kind, name, &why));
    }
    if &*kind.id == "namespaces" && matches!(name, "default" | "kube-system" | "kube-public") {
        return Err(Status::forbidden(
            kind,
            name,
            "this namespace may not be deleted",
        ));
    }
    admission::check_webhooks(state, kind, version, "DELETE", &stored.object())?;
    if options.dry_run {
        return Ok(Answer::value(
            200,
            &status::deleted(kind, name, &stored.uid),
        ));
    }
    match begin(state, kind, &stored, options.propagation)? {
        Outcome::Gone(last) => Ok(Answer::value(200, &status::deleted(kind, name, &last.uid))),
        Outcome::Waiting(stored) => {
            Ok(Answer::Json(200, answer::one(call, kind, version, &stored)))
        }
    }
}

/// Deletes what a list would list.
pub fn all(
    state: &mut State,
    call: &Call,
    kind: &Arc<Kind>,
    version: &str,
    namespace: Option<&str>,
) -> Result<Answer, Status> {
    let options = Options::read(call)?;
    let (labels, fields) = call.selectors(kind)?;
    let listed: Vec<Arc<Stored>> = state
        .store
        .list(&kind.id, namespace, None)
        .filter(|stored| labels.matches(&stored.labels))
        .filter(|stored| {
            fields.matches(&stored.key.namespace, &stored.key.name, || stored.object())
        })
        .cloned()
        .collect();
    if !options.dry_run {
        for stored in &listed {
            admission::check_webhooks(state, kind, version, "DELETE", &stored.object())?;
            begin(state, kind, stored, options.propagation)?;
        }
    }
    let mut meta = Map::new();
    meta.insert(
        "resourceVersion".into(),
        state.store.version().to_string().into(),
    );
    let items: Vec<&Stored> = listed.iter().map(|stored| &**stored).collect();
    Ok(Answer::Json(
        200,
        answer::list(call, kind, version, meta, &items),
    ))
}

/// Begins a deletion, and ends it when nothing holds it up.
pub fn begin(
    state: &mut State,
    kind: &Arc<Kind>,
    stored: &Arc<Stored>,
    propagation: Propagation,
) -> Result<Outcome, Status> {
    let mut object = stored.object();
    object::remove_finalizer(&mut object, "foregroundDeletion");
    object::remove_finalizer(&mut object, "orphan");
    match propagation {
        Propagation::Foreground => object::add_finalizer(&mut object, "foregroundDeletion"),
        Propagation::Orphan => object::add_finalizer(&mut object, "orphan"),
        Propagation::Background => {}
    }
    let is_namespace = &*kind.id == "namespaces";
    let is_definition = &*kind.id == "customresourcedefinitions.apiextensions.k8s.io";
    if is_definition {
        object::add_finalizer(&mut object, control::DEFINITION_FINALIZER);
    }
    if object::finalizers(&object).is_empty() && !is_namespace {
        let last = state.remove(&stored.key)?;
        return Ok(Outcome::Gone(last.unwrap_or_else(|| stored.clone())));
    }
    if !stored.deleting {
        let generation = object::number(&object, "/metadata/generation");
        let meta = object::meta_mut(&mut object);
        meta.insert("deletionTimestamp".into(), object::now().into());
        if !is_namespace && !is_definition {
            meta.insert("deletionGracePeriodSeconds".into(), 0.into());
        }
        if let Some(generation) = generation.filter(|_| !is_definition) {
            meta.insert("generation".into(), (generation + 1).into());
        }
        if is_namespace {
            object::child(object::fields(&mut object), "status")
                .insert("phase".into(), "Terminating".into());
        }
    }
    if object == stored.object() {
        state.touched(stored, false);
        return Ok(Outcome::Waiting(stored.clone()));
    }
    Ok(Outcome::Waiting(state.put(kind, object)?))
}

/// `pods/NAME/eviction`: a delete with an answer of its own.
pub fn evict(
    state: &mut State,
    call: &Call,
    kind: &Arc<Kind>,
    namespace: &str,
    name: &str,
) -> Result<Answer, Status> {
    let stored = state.store.get(&kind.id, namespace, name).cloned();
    let stored = stored.ok_or_else(|| Status::not_found(kind, name))?;
    let _ = text(&body::options(call)?, "/kind");
    begin(state, kind, &stored, Propagation::Background)?;
    Ok(Answer::value(
        201,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}
