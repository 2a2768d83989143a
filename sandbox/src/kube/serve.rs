//! From a request to its answer: one match over paths, one over methods.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::address::{Address, Target, target};
use super::answer::{self, Answer};
use super::kinds::{self, Kind, Verbs};
use super::request::Call;
use super::ssa::Shape;
use super::state::State;
use super::status::{Cause, Status};
use super::write::{Write, Written};
use super::{Inner, body, discovery, openapi, patch, questions, read, remove, scale, watch};

const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

/// Answers one request.
pub fn answer(cluster: &Arc<Inner>, request: Request<Bytes>) -> Answer {
    let wants_protobuf = request
        .headers()
        .get(http::header::ACCEPT)
        .is_some_and(|accept| {
            accept
                .to_str()
                .is_ok_and(|accept| accept.contains("proto-openapi") && !accept.contains("json"))
        });
    let answered = Call::read(request).and_then(|call| route(cluster, call, wants_protobuf));
    answered.unwrap_or_else(Answer::from)
}

fn route(cluster: &Arc<Inner>, call: Call, wants_protobuf: bool) -> Result<Answer, Status> {
    if call.method == Method::HEAD {
        return Err(Status::method_not_allowed());
    }
    let target = target(&call.path);
    if let Target::Objects(address) = target {
        return objects(cluster, call, &address);
    }
    if call.method != Method::GET {
        return Err(Status::method_not_allowed());
    }
    let state = cluster.lock();
    match target {
        Target::Version => Ok(version()),
        Target::Health => Ok(Answer::Text(
            200,
            "text/plain; charset=utf-8",
            Bytes::from_static(b"ok"),
        )),
        Target::Core => Ok(discovery::core(&state, &call)),
        Target::Groups => Ok(discovery::groups(&state, &call)),
        Target::Group(group) => discovery::group(&state, &group),
        Target::Resources { group, version } => discovery::resources(&state, &group, &version),
        Target::OpenApiV2 => Ok(openapi::v2(wants_protobuf)),
        Target::OpenApiV3 => Ok(openapi::v3(&state)),
        Target::OpenApiV3Group { group, version } => openapi::group(&state, &group, &version),
        Target::Nothing | Target::Objects(_) => Err(Status::no_such_path()),
    }
}

fn version() -> Answer {
    Answer::value(
        200,
        &json!({
            "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
            "minCompatibilityMajor": "1", "minCompatibilityMinor": "35", "gitVersion": super::VERSION, "gitCommit": super::VERSION,
            "gitTreeState": "clean", "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.26",
            "compiler": "gc", "platform": "linux/amd64",
        }),
    )
}

fn objects(cluster: &Arc<Inner>, call: Call, address: &Address) -> Result<Answer, Status> {
    let mut state = cluster.lock();
    let id = kinds::id(&address.group, &address.plural);
    let kind = state
        .kind(&id)
        .filter(|kind| kind.version(&address.version).is_some());
    let Some(kind) = kind else {
        return Err(discovery::nothing_served(
            &state,
            &address.group,
            &address.version,
        ));
    };
    if kind.namespaced != address.namespace.is_some()
        && (kind.namespaced == address.name.is_some() || !kind.namespaced)
    {
        return Err(discovery::nothing_at(&kind.group));
    }
    if !address.subresource.is_empty() {
        return subresource(&mut state, &call, &kind, address);
    }
    let namespace = address.namespace.as_deref();
    let place = namespace.unwrap_or_default();
    let version = address.version.as_str();
    let is_watch = call.flag("watch");
    match (&call.method, address.name.as_deref(), kind.verbs) {
        (&Method::POST, None, Verbs::CreateOnly) => questions::answer(&call, &kind, version, place),
        (_, _, Verbs::CreateOnly) => Err(Status::method_not_allowed()),
        (&Method::GET, None, Verbs::ReadOnly) => {
            read::list(&state, &call, &kind, version, namespace, None)
        }
        (&Method::GET, Some(name), Verbs::ReadOnly) => {
            read::get(&state, &call, &kind, version, place, name)
        }
        (_, _, Verbs::ReadOnly) => Err(Status::method_not_allowed()),
        (&Method::GET, name, Verbs::All) if is_watch => watch::watch(
            cluster,
            &state,
            call.clone(),
            kind.clone(),
            version,
            namespace,
            name,
        ),
        (&Method::GET, Some(name), Verbs::All) => {
            read::get(&state, &call, &kind, version, place, name)
        }
        (&Method::GET, None, Verbs::All) => {
            read::list(&state, &call, &kind, version, namespace, None)
        }
        (&Method::POST, None, Verbs::All) => {
            if kind.namespaced && namespace.is_none() {
                return Err(Status::method_not_allowed());
            }
            let object = body::object(&call)?;
            let written = write(&call, &kind, version, place, "")?.create(&mut state, object)?;
            Ok(written_answer(&call, &kind, version, &written))
        }
        (&Method::PUT, Some(name), Verbs::All) => {
            let object = body::object(&call)?;
            let write = write(&call, &kind, version, place, "")?;
            let written = write.replace(&mut state, name, object)?;
            Ok(written_answer(&call, &kind, version, &written))
        }
        (&Method::PATCH, Some(name), Verbs::All) => patched(
            &mut state,
            &call,
            &write(&call, &kind, version, place, "")?,
            name,
        ),
        (&Method::DELETE, Some(name), Verbs::All) => {
            remove::one(&mut state, &call, &kind, version, place, name)
        }
        (&Method::DELETE, None, Verbs::All) => {
            if &*kind.id == "namespaces" || kind.namespaced && namespace.is_none() {
                return Err(Status::method_not_allowed());
            }
            remove::all(&mut state, &call, &kind, version, namespace)
        }
        _ => Err(Status::method_not_allowed()),
    }
}

fn write<'a>(
    call: &Call,
    kind: &'a Arc<Kind>,
    version: &'a str,
    namespace: &'a str,
    subresource: &'a str,
) -> Result<Write<'a>, Status> {
    Ok(Write {
        kind,
        version,
        namespace,
        manager: call.manager(),
        subresource,
        dry_run: call.dry_run()?,
        validation: call.validation()?,
    })
}

fn written_answer(call: &Call, kind: &Kind, version: &str, written: &Written) -> Answer {
    let code = if written.created { 201 } else { 200 };
    let answer = Answer::Json(code, answer::one(call, kind, version, &written.stored));
    answer.warning(&written.unknown)
}

fn patched(
    state: &mut State,
    call: &Call,
    write: &Write<'_>,
    name: &str,
) -> Result<Answer, Status> {
    let kind = write.kind;
    let accepted = if kind.custom { CUSTOM_PATCHES } else { PATCHES };
    if !accepted.contains(&call.media_type.as_str()) {
        return Err(match kind.custom {
            true => Status::unsupported_media_type(accepted),
            false => Status::unsupported_patch(),
        });
    }
    let refuse = |cause: Cause| Status::invalid_as("meta.k8s.io", "PatchOptions", "", &[cause]);
    if call.media_type == "application/apply-patch+yaml" {
        if call.parameter("fieldManager").is_none() {
            return Err(refuse(Cause::required(
                "fieldManager",
                "is required for apply patch",
            )));
        }
        let config = body::yaml(&call.body)?;
        let written = write.apply(state, name, config, call.flag("force"))?;
        return Ok(written_answer(call, kind, write.version, &written));
    }
    if call.query.contains_key("force") {
        return Err(refuse(Cause::forbidden(
            "force",
            "may not be specified for non-apply patch",
        )));
    }
    let stored = state.store.get(&kind.id, write.namespace, name).cloned();
    let stored = stored.ok_or_else(|| Status::not_found(kind, name))?;
    let bytes = answer::in_version(kind, write.version, &stored);
    let mut object: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
    let change = body::yaml(&call.body)?;
    match call.media_type.as_str() {
        "application/json-patch+json" => {
            patch::json(&mut object, &change).map_err(|_| Status::unprocessable())?;
        }
        "application/merge-patch+json" => patch::merge(&mut object, &change),
        _ => patch::strategic(&mut object, &change, Shape::built_in(&kind.kind)),
    }
    let written = write.update(state, name, object)?;
    Ok(written_answer(call, kind, write.version, &written))
}

fn subresource(
    state: &mut State,
    call: &Call,
    kind: &Arc<Kind>,
    address: &Address,
) -> Result<Answer, Status> {
    let name = address.name.as_deref().unwrap_or_default();
    let place = address.namespace.as_deref().unwrap_or_default();
    let version = address.version.as_str();
    let served = kind.version(version);
    let has_status = served.is_some_and(|version| version.status);
    match (address.subresource.as_str(), &call.method) {
        ("status", &Method::GET) if has_status => {
            read::get(state, call, kind, version, place, name)
        }
        ("status", &Method::PUT) if has_status => {
            let object = body::object(call)?;
            let written =
                write(call, kind, version, place, "status")?.update(state, name, object)?;
            Ok(written_answer(call, kind, version, &written))
        }
        ("status", &Method::PATCH) if has_status => patched(
            state,
            call,
            &write(call, kind, version, place, "status")?,
            name,
        ),
        ("scale", &Method::GET | &Method::PUT | &Method::PATCH)
            if served.is_some_and(|version| version.scale) =>
        {
            scale::serve(
                state,
                call,
                &write(call, kind, version, place, "scale")?,
                name,
            )
        }
        ("eviction", &Method::POST) if &*kind.id == "pods" => {
            remove::evict(state, call, kind, place, name)
        }
        ("log", &Method::GET) if &*kind.id == "pods" => {
            read::get(state, call, kind, version, place, name)?;
            Ok(Answer::Text(200, "text/plain; charset=utf-8", Bytes::new()))
        }
        ("token", &Method::POST) if &*kind.id == "serviceaccounts" => {
            questions::token(call, name, place)
        }
        ("finalize", &Method::PUT) if &*kind.id == "namespaces" => {
            // The namespace controller serves the one finalizer there is; what is written here changes nothing.
            read::get(state, call, kind, version, place, name)
        }
        // A custom resource is looked up by whatever stands behind its kind.
        _ if kind.custom => Err(Status::not_found(kind, name)),
        _ => Err(discovery::nothing_at(&kind.group)),
    }
}
