//! GET and LIST.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer};
use super::kinds::Kind;
use super::request::Call;
use super::state::State;
use super::status::{Cause, Status};
use super::store::Stored;

/// One object.
pub fn get(
    state: &State,
    call: &Call,
    kind: &Kind,
    version: &str,
    namespace: &str,
    name: &str,
) -> Result<Answer, Status> {
    let stored = state
        .store
        .get(&kind.id, namespace, name)
        .ok_or_else(|| Status::not_found(kind, name))?;
    if let Some(wanted) = call.since()? {
        reached(state, wanted)?;
    }
    Ok(Answer::Json(200, answer::one(call, kind, version, stored)))
}

/// The objects of a kind, or a page of them.
pub fn list(
    state: &State,
    call: &Call,
    kind: &Kind,
    version: &str,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Answer, Status> {
    let (labels, fields) = call.selectors(kind)?;
    let limit = call.number("limit")?.filter(|limit| *limit > 0);
    let refuse = |why: &str| {
        let cause = Cause::forbidden("resourceVersionMatch", why);
        Status::invalid_as("meta.k8s.io", "ListOptions", "", &[cause])
    };
    if call.parameter("resourceVersionMatch").is_some()
        && call.parameter("resourceVersion").is_none()
    {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        return Err(refuse(why));
    }
    let mut at_version = state.store.version();
    let mut after = None;
    if let Some(token) = call.parameter("continue") {
        let (token_version, namespace, name) = read_token(token)?;
        if call.since()?.is_some() {
            let why = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(why));
        }
        if token_version < state.store.oldest() {
            let mut status = Status::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a \
                 new list without the continue parameter, or use the continue token in this response to retrieve \
                 the remainder of the results. Continuing with the provided token results in an inconsistent list \
                 - objects that were created, modified, or deleted between the time the first chunk was returned \
                 and now may show up in the list.",
            );
            status.go_on = Some(write_token(at_version, &namespace, &name));
            return Err(status);
        }
        at_version = token_version;
        after = Some((namespace, name));
    } else if let Some(wanted) = call.since()? {
        reached(state, wanted)?;
        if call.parameter("resourceVersionMatch") == Some("Exact") && wanted < state.store.oldest()
        {
            return Err(Status::expired(
                "The resourceVersion for the provided list is too old.",
            ));
        }
    }
    let after = after
        .as_ref()
        .map(|(namespace, name)| (namespace.as_str(), name.as_str()));
    let wanted_name = name.or_else(|| fields.name());
    let selected = |stored: &Stored| {
        labels.matches(&stored.labels)
            && fields.matches(&stored.key.namespace, &stored.key.name, || stored.object())
    };
    let mut items: Vec<&Stored> = Vec::new();
    let mut more = false;
    if let (Some(name), Some(namespace)) = (
        wanted_name,
        namespace.or(if kind.namespaced { None } else { Some("") }),
    ) {
        // One name in one place needs no walk.
        items.extend(
            state
                .store
                .get(&kind.id, namespace, name)
                .map(|stored| &**stored)
                .filter(|stored| selected(stored)),
        );
    } else {
        for stored in state.store.list(&kind.id, namespace, after) {
            if wanted_name.is_some_and(|name| name != stored.key.name) || !selected(stored) {
                continue;
            }
            if limit.is_some_and(|limit| items.len() as u64 >= limit) {
                more = true;
                break;
            }
            items.push(stored);
        }
    }
    let mut meta = Map::new();
    if kind.custom {
        meta.insert("continue".into(), "".into());
    }
    meta.insert("resourceVersion".into(), at_version.to_string().into());
    if let Some(last) = items.last().filter(|_| more) {
        meta.insert(
            "continue".into(),
            write_token(at_version, &last.key.namespace, &last.key.name).into(),
        );
        if labels.is_empty() && fields.is_empty() {
            let behind = Some((last.key.namespace.as_str(), last.key.name.as_str()));
            let rest = state.store.list(&kind.id, namespace, behind).count();
            meta.insert("remainingItemCount".into(), rest.into());
        }
    }
    Ok(Answer::Json(
        200,
        answer::list(call, kind, version, meta, &items),
    ))
}

/// Refuses a version that this cluster has not reached.
fn reached(state: &State, wanted: u64) -> Result<(), Status> {
    let current = state.store.version();
    if wanted > current {
        Err(Status::version_too_large(wanted, current))
    } else {
        Ok(())
    }
}

fn write_token(version: u64, namespace: &str, name: &str) -> String {
    let start = if namespace.is_empty() {
        format!("{name}\0")
    } else {
        format!("{namespace}/{name}\0")
    };
    URL_SAFE_NO_PAD
        .encode(json!({"v": "meta.k8s.io/v1", "rv": version, "start": start}).to_string())
}

fn read_token(token: &str) -> Result<(u64, String, String), Status> {
    let refuse = || {
        Status::bad_request(
            "invalid continue token: continue key is not valid: the token cannot be read",
        )
    };
    let bytes = URL_SAFE_NO_PAD
        .decode(token.trim_end_matches('='))
        .map_err(|_| refuse())?;
    let token: Value = serde_json::from_slice(&bytes).map_err(|_| refuse())?;
    let version = token["rv"].as_u64().ok_or_else(refuse)?;
    let start = token["start"]
        .as_str()
        .ok_or_else(refuse)?
        .trim_end_matches('\0');
    let (namespace, name) = start.split_once('/').unwrap_or(("", start));
    Ok((version, namespace.to_owned(), name.to_owned()))
}
