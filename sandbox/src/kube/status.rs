//! Refusals in the shape and the words of a kube-apiserver.

use serde_json::{Map, Value, json};

use super::kinds::Kind;

/// A refusal: a `Status` object with its HTTP code.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, for example `NotFound`.
    pub reason: &'static str,
    /// The sentence for people.
    pub message: String,
    /// `details`, left away when empty.
    pub details: Map<String, Value>,
    /// A token with which a list that cannot go on consistently goes on all the same.
    pub go_on: Option<String>,
    /// How it is written.
    pub style: Style,
}

/// How a refusal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As a `Status`.
    Object,
    /// As a `Status` with `details` even when there are none, as the generic layers of the API server do.
    WithDetails,
    /// As plain text.
    Text,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// For example `FieldValueInvalid`.
    pub reason: &'static str,
    /// What is wrong, without the field.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

impl Cause {
    /// A field whose value cannot be.
    pub fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Self {
        let shown = match value {
            Value::String(_) => value.to_string(),
            Value::Null => "null".to_owned(),
            other => other.to_string(),
        };
        Self {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {shown}: {why}"),
            field: field.into(),
        }
    }

    /// A reference to something that is not there.
    pub fn not_found(field: impl Into<String>, name: &str) -> Self {
        let message = format!("Not found: {name:?}");
        Self {
            reason: "FieldValueNotFound",
            message,
            field: field.into(),
        }
    }

    /// A value that is too long.
    pub fn too_long(field: impl Into<String>, limit: usize) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self {
            reason: "FieldValueTooLong",
            message,
            field: field.into(),
        }
    }

    /// A list with too many items.
    pub fn too_many(field: impl Into<String>, items: usize, limit: f64) -> Self {
        Self {
            reason: "FieldValueTooMany",
            message: format!("Too many: {items}: must have at most {limit} items"),
            field: field.into(),
        }
    }

    /// A value that comes twice.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {value}"),
            field: field.into(),
        }
    }

    /// A field that is missing.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            message,
            field: field.into(),
        }
    }

    /// A field that may not be set or changed.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            message: format!("Forbidden: {why}"),
            field: field.into(),
        }
    }

    /// A field whose value is not one of the allowed ones.
    pub fn unsupported(field: impl Into<String>, value: &Value, allowed: &[&str]) -> Self {
        Self::unsupported_text(field, &value.to_string(), allowed)
    }

    /// The same with the value as it is shown.
    pub fn unsupported_text(field: impl Into<String>, value: &str, allowed: &[&str]) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|one| format!("\"{one}\"")).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            allowed.join(", ")
        );
        Self {
            reason: "FieldValueNotSupported",
            message,
            field: field.into(),
        }
    }
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            go_on: None,
            style: Style::Object,
        }
    }

    fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        if !name.is_empty() {
            self.details.insert("name".into(), name.into());
        }
        if !kind.group.is_empty() {
            self.details
                .insert("group".into(), kind.group.clone().into());
        }
        self.details
            .insert("kind".into(), kind.plural.clone().into());
        self
    }

    /// 404 for a path that nothing serves; answered in plain text.
    pub fn no_such_path() -> Self {
        Self::new(404, "", "404 page not found").styled(Style::Text)
    }

    /// 404 for a path in a group that is served.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(404, "NotFound", message).styled(Style::WithDetails)
    }

    /// Whether the answer is plain text rather than JSON.
    pub fn is_plain(&self) -> bool {
        self.style == Style::Text
    }

    /// 404 for an object.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} \"{name}\" not found", kind.id)).about(kind, name)
    }

    /// 409 for a create of something that is there.
    pub fn already_exists(kind: &Kind, name: &str, deleting: bool) -> Self {
        let prefix = if deleting {
            "object is being deleted: "
        } else {
            ""
        };
        Self::new(
            409,
            "AlreadyExists",
            format!("{prefix}{} \"{name}\" already exists", kind.id),
        )
        .about(kind, name)
    }

    /// 409 for a write whose condition does not hold.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.id
        );
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// 409 for a delete whose precondition does not hold; it names the kind where others name the resource.
    pub fn unmet(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            kind.qualified()
        );
        let mut status = Self::new(409, "Conflict", message).about(kind, name);
        status
            .details
            .insert("kind".into(), kind.kind.clone().into());
        status
    }

    /// 409 for a write that builds on an older version.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind, name, why)
    }

    /// 409 for a server-side apply that other managers' fields stand against.
    pub fn apply_conflict(message: String, causes: &[Cause]) -> Self {
        let mut status = Self::new(409, "Conflict", message);
        status.details.insert("causes".into(), causes_json(causes));
        status
    }

    /// 422 for an object that is not valid.
    pub fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        Self::invalid_as(&kind.group, &kind.kind, name, causes)
    }

    /// 422 for something that has a group and a kind but is not kept, such as `PatchOptions`.
    pub fn invalid_as(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut all: Vec<String> = Vec::new();
        for cause in causes {
            let line = format!("{}: {}", cause.field, cause.message);
            if !all.contains(&line) {
                all.push(line);
            }
        }
        let list = if all.len() == 1 {
            all.concat()
        } else {
            format!("[{}]", all.join(", "))
        };
        let qualified = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let mut status = Self::new(
            422,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {list}"),
        );
        if !name.is_empty() {
            status.details.insert("name".into(), name.into());
        }
        if !group.is_empty() {
            status.details.insert("group".into(), group.into());
        }
        status.details.insert("kind".into(), kind.into());
        status.details.insert("causes".into(), causes_json(causes));
        status
    }

    /// 403 with the words of an admission controller.
    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.id);
        Self::new(403, "Forbidden", message).about(kind, name)
    }

    /// 403 for a create in a namespace that is going away.
    pub fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = Self::forbidden(kind, name, &why);
        let cause = Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".into(),
        };
        status
            .details
            .insert("causes".into(), causes_json(&[cause]));
        status
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(405, "MethodNotAllowed", message).styled(Style::WithDetails)
    }

    /// 406 for an `Accept` that names nothing we can write.
    pub fn not_acceptable() -> Self {
        let message = "406: Not Acceptable\n\nAvailable representations: application/json";
        Self::new(406, "NotAcceptable", message).styled(Style::WithDetails)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 415 for a patch.
    pub fn unsupported_patch() -> Self {
        let message = "415: Unsupported Media Type";
        Self::new(415, "UnsupportedMediaType", message).styled(Style::WithDetails)
    }

    /// 422 for a patch that does not fit the object.
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(422, "Invalid", message).styled(Style::WithDetails)
    }

    /// 410 for a version whose history is gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// 504 for a version this cluster has not reached.
    pub fn version_too_large(wanted: u64, current: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        let mut status = Self::new(504, "Timeout", message.clone());
        let cause =
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]);
        status.details.insert("causes".into(), cause);
        status.details.insert("retryAfterSeconds".into(), 1.into());
        status
    }

    /// 500.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        let mut status = Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        );
        status
            .details
            .insert("causes".into(), json!([{"message": message.to_string()}]));
        status
    }

    /// 500 without a known reason, as for a patch that no schema fits.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// 503 for an aggregated API whose backend does not answer.
    pub fn unavailable() -> Self {
        Self::new(503, "", "service unavailable").styled(Style::Text)
    }

    /// The `Status` object.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if let Some(token) = &self.go_on {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if !self.details.is_empty() || self.style == Style::WithDetails {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}

/// The `Status` object that answers a delete.
pub fn deleted(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), name.into());
    if !kind.group.is_empty() {
        details.insert("group".into(), kind.group.clone().into());
    }
    details.insert("kind".into(), kind.plural.clone().into());
    details.insert("uid".into(), uid.into());
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn causes_json(causes: &[Cause]) -> Value {
    causes
        .iter()
        .map(
            |cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}),
        )
        .collect()
}
