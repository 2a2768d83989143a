//! What a server says about a refused object, without the object's values.
//!
//! Kubernetes echoes values ("Invalid value: \"hunter2\""), and values may be secrets. So nothing
//! is passed through: the sentence is built from words known here, and from names that have the
//! shape of a field path, a kind or a manager.

use super::{ServerStatus, StatusCause};
use std::collections::BTreeSet;

/// Causes shown; the rest is counted.
const MAX_CAUSES: usize = 5;

/// One sentence for users.
pub fn sanitize(status: &ServerStatus) -> String {
    let managers = conflicting_managers(status);
    if !managers.is_empty() {
        let fields: Vec<String> = status
            .causes
            .iter()
            .filter_map(|cause| field_path(&cause.field))
            .collect();
        let fields = match fields.len() {
            0 => String::new(),
            _ => format!(" over {}", some_of(&fields)),
        };
        return format!("conflict with {}{fields}", managers.join(", "));
    }
    let causes: Vec<String> = status.causes.iter().filter_map(cause).collect();
    let what = known_sentence(status).unwrap_or_else(|| base(status).to_owned());
    let schema = schema_fields(&status.message);
    match (causes.is_empty(), schema.is_empty()) {
        (false, _) => format!("{what}: {}", some_of(&causes)),
        (true, false) => format!("{what}: {}", some_of(&schema)),
        (true, true) => what,
    }
}

fn some_of(list: &[String]) -> String {
    let shown = list
        .iter()
        .take(MAX_CAUSES)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match list.len().saturating_sub(MAX_CAUSES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The managers that own a field we set.
pub fn conflicting_managers(status: &ServerStatus) -> Vec<String> {
    let texts = status
        .causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| cause.message.as_str())
        .chain(
            status
                .message
                .starts_with("Apply failed with")
                .then_some(status.message.as_str()),
        );
    let mut out = BTreeSet::new();
    for text in texts {
        for part in text
            .split("conflict with \"")
            .skip(1)
            .chain(text.split("conflicts with \"").skip(1))
        {
            if let Some(manager) = part.split('"').next().and_then(name) {
                out.insert(manager.to_owned());
            }
        }
    }
    if out.is_empty()
        && status
            .causes
            .iter()
            .any(|c| c.reason == "FieldManagerConflict")
    {
        out.insert("another field manager".to_owned());
    }
    out.into_iter().collect()
}

/// What the code and reason alone say.
fn base(status: &ServerStatus) -> &'static str {
    match status.reason.as_str() {
        "Invalid" => "the object is invalid",
        "Forbidden" => "the cluster forbids it",
        "Unauthorized" => "the credentials are not accepted",
        "AlreadyExists" => "the object exists already",
        "BadRequest" => "the cluster cannot read the object",
        "MethodNotAllowed" => "the kind does not allow it",
        "RequestEntityTooLarge" => "the object is too large",
        "TooManyRequests" => "the cluster asks for patience",
        "Timeout" | "ServerTimeout" => "the cluster was too slow",
        "ServiceUnavailable" => "the cluster is not ready",
        "InternalError" => "the cluster failed",
        "Conflict" => "the object changed meanwhile",
        "NotFound" if status.about == "namespaces" => "the namespace does not exist",
        "NotFound" => "not found",
        "Expired" | "Gone" => "the version is gone",
        // What we send is always JSON, and what we apply a server-side apply.
        "UnsupportedMediaType" => {
            "the cluster refused it: it does not know server-side apply, which Kubernetes before 1.22 may not"
        }
        "NotAcceptable" => "the cluster refused it: it does not speak this format",
        _ => match status.code {
            400 => "the cluster cannot read the object",
            401 => "the credentials are not accepted",
            403 => "the cluster forbids it",
            404 => "not found",
            405 => "the kind does not allow it",
            408 => "the request timed out",
            409 => "the object changed meanwhile",
            413 => "the object is too large",
            422 => "the object is invalid",
            429 => "the cluster asks for patience",
            500 => "the cluster failed",
            502 => "bad gateway",
            503 => "the cluster is not ready",
            504 => "the cluster was too slow",
            _ => "the cluster refused it",
        },
    }
}

/// Messages whose form is known, with the names in them that are no values.
fn known_sentence(status: &ServerStatus) -> Option<String> {
    let message = status.message.as_str();
    if let Some(rest) = message.split("failed calling webhook \"").nth(1) {
        let webhook = rest.split('"').next().and_then(name);
        return Some(format!(
            "the webhook {} does not answer",
            webhook.unwrap_or("of the cluster")
        ));
    }
    if let Some(rest) = message.split("admission webhook \"").nth(1)
        && let Some((webhook, after)) = rest.split_once('"')
        && after.starts_with(" denied the request")
    {
        let webhook = name(webhook).unwrap_or("of the cluster");
        return Some(format!("the admission webhook {webhook} denied it"));
    }
    if let Some(rest) = message.split("exceeded quota: ").nth(1) {
        let quota = rest.split(',').next().and_then(name);
        return Some(match quota {
            Some(quota) => format!("the quota {quota} of the namespace is exceeded"),
            None => "a quota of the namespace is exceeded".to_owned(),
        });
    }
    if message.contains("because it is being terminated")
        || status
            .causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating")
    {
        return Some("the namespace is being terminated".to_owned());
    }
    if status.code == 403
        && let Some(rest) = message.split(" cannot ").nth(1)
        && let Some((verb, rest)) = rest.split_once(" resource \"")
        && let (Some(verb), Some(resource)) = (name(verb), rest.split('"').next().and_then(name))
    {
        let after = |mark: &str| message.split(mark).nth(1).and_then(|r| r.split('"').next());
        let group = after(" in API group \"").and_then(name);
        let namespace = after(" in the namespace \"").and_then(name);
        return Some(may_not(verb, resource, group, namespace));
    }
    if message.contains("uid mismatch") || message.contains("UID in precondition") {
        return Some("another object has taken the name".to_owned());
    }
    if message.contains("failed to create typed patch object") {
        return Some("the object does not fit the schema".to_owned());
    }
    None
}

/// A permission that is missing; no group means the core group.
pub fn may_not(verb: &str, resource: &str, group: Option<&str>, namespace: Option<&str>) -> String {
    let group = group.map(|group| format!(".{group}")).unwrap_or_default();
    let place = namespace
        .map(|namespace| format!(" in namespace {namespace}"))
        .unwrap_or_default();
    format!("the credentials may not {verb} {resource}{group}{place}")
}

/// `.spec.replcas: field not declared in schema` → `.spec.replcas is not declared in the schema`.
fn schema_fields(message: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for part in message.split(": field not declared in schema") {
        let path = part.rsplit([' ', '\n', '\t']).next().unwrap_or_default();
        if part.len() == message.len() || !path.starts_with('.') {
            continue;
        }
        if let Some(path) = field_path(path) {
            out.push(format!("{path} is not declared in the schema"));
        }
    }
    out
}

fn cause(cause: &StatusCause) -> Option<String> {
    let what = match cause.reason.as_str() {
        "FieldValueRequired" => "Required value",
        "FieldValueInvalid" => "Invalid value",
        "FieldValueNotSupported" => "Unsupported value",
        "FieldValueForbidden" => "Forbidden",
        "FieldValueDuplicate" => "Duplicate value",
        "FieldValueNotFound" => "Not found",
        "FieldValueTooLong" => "Too long",
        "FieldValueTooMany" => "Too many",
        "FieldValueTypeInvalid" => "Invalid type",
        "InternalError" => "Internal error",
        "UnexpectedServerResponse" | "NamespaceTerminating" => return None,
        _ => "refused",
    };
    match field_path(&cause.field) {
        Some(field) => Some(format!("{field}: {what}")),
        None if what == "refused" => None,
        None => Some(what.to_owned()),
    }
}

/// A field's path. Names of fields are no values, but keys in brackets are: they are cut to `[…]`,
/// numbers stay. Anything of another shape is dropped.
fn field_path(field: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = field.trim();
    while let Some(open) = rest.find('[') {
        out.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let close = closing(inside)?;
        let key = &inside[..close];
        if !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit()) {
            out.push_str(&format!("[{key}]"));
        } else {
            out.push_str("[…]");
        }
        rest = &inside[close + 1..];
    }
    out.push_str(rest);
    let shaped = out
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '[' | ']' | '…'));
    (!out.is_empty() && out.len() <= 200 && shaped && out != "<nil>").then_some(out)
}

/// The end of a key in brackets; quoted text in it may hold brackets of its own.
fn closing(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// The name of a webhook, a manager, a resource, a verb: letters, digits and a few marks.
fn name(text: &str) -> Option<&str> {
    let shaped = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':'));
    (!text.is_empty() && text.len() <= 128 && shaped).then_some(text)
}
