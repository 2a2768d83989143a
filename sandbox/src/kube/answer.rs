//! Answers: objects, lists and watch events in the form that was asked for.

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::{Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::object;
use super::request::{Call, Form};
use super::status::Status;
use super::store::Stored;
use super::table;

/// What is sent back.
pub enum Answer {
    /// JSON with a code.
    Json(u16, Bytes),
    /// Text with a code.
    Text(u16, &'static str, Bytes),
    /// A watch: lines of JSON.
    Stream(Body),
    /// Any of them, with warnings.
    Warned(Box<Answer>, Vec<String>),
}

impl Answer {
    /// An object of our own making.
    pub fn value(code: u16, value: &Value) -> Self {
        Answer::Json(code, Bytes::from(value.to_string()))
    }

    /// With a warning for each field that was left away.
    pub fn warning(self, unknown: &[String]) -> Self {
        if unknown.is_empty() {
            return self;
        }
        let warnings = unknown
            .iter()
            .map(|field| format!("299 - \"unknown field \\\"{field}\\\"\""));
        Answer::Warned(Box::new(self), warnings.collect())
    }

    /// As an HTTP response.
    pub fn into_response(self) -> Response<Body> {
        let (code, media_type, body) = match self {
            Answer::Json(code, json) => (code, "application/json", Body::from(json)),
            Answer::Text(code, media_type, text) => (code, media_type, Body::from(text)),
            Answer::Stream(body) => (200, "application/json", body),
            Answer::Warned(answer, warnings) => {
                let mut response = answer.into_response();
                for warning in warnings {
                    if let Ok(value) = header::HeaderValue::from_str(&warning) {
                        response.headers_mut().append(header::WARNING, value);
                    }
                }
                return response;
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static(media_type),
        );
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-cache, private"),
        );
        if code == 429 || code == 504 {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        if status.is_plain() {
            let text = Bytes::from(format!("{}\n", status.message));
            return Answer::Text(status.code, "text/plain; charset=utf-8", text);
        }
        Answer::value(status.code, &status.to_json())
    }
}

/// One object in the version that was asked for.
pub fn in_version(kind: &Kind, version: &str, stored: &Stored) -> Bytes {
    if version == kind.storage {
        return stored.json.clone();
    }
    let mut object = stored.object();
    object::fields(&mut object).insert("apiVersion".into(), kind.api_version(version).into());
    Bytes::from(object.to_string())
}

/// One object in the form and version that were asked for.
pub fn one(call: &Call, kind: &Kind, version: &str, stored: &Stored) -> Bytes {
    match call.form {
        Form::Whole => in_version(kind, version, stored),
        Form::Metadata => Bytes::from(metadata(call, stored.metadata()).to_string()),
        Form::Table => {
            let include = call.parameter("includeObject").unwrap_or("Metadata");
            let rows = vec![table::row(call, kind, &stored.object(), include)];
            let meta = json!({"resourceVersion": stored.version.to_string()});
            Bytes::from(table::table(call, kind, meta, rows, true).to_string())
        }
    }
}

/// An object's metadata as an object.
pub fn metadata(call: &Call, metadata: Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{}", call.meta_version),
        "metadata": metadata,
    })
}

/// A list in the form and version that were asked for.
pub fn list(
    call: &Call,
    kind: &Kind,
    version: &str,
    meta: Map<String, Value>,
    items: &[&Stored],
) -> Bytes {
    if call.form == Form::Table {
        let include = call.parameter("includeObject").unwrap_or("Metadata");
        let rows = items
            .iter()
            .map(|stored| table::row(call, kind, &stored.object(), include))
            .collect();
        return Bytes::from(table::table(call, kind, Value::Object(meta), rows, true).to_string());
    }
    let (list_kind, api_version) = match call.form {
        Form::Metadata => (
            "PartialObjectMetadataList".to_owned(),
            format!("meta.k8s.io/{}", call.meta_version),
        ),
        _ => (kind.list.clone(), kind.api_version(version)),
    };
    let size: usize = items.iter().map(|stored| stored.json.len() + 1).sum();
    let mut body = BytesMut::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
        json!(list_kind),
        json!(api_version),
        Value::Object(meta)
    );
    body.put_slice(head.as_bytes());
    for (at, stored) in items.iter().enumerate() {
        if at > 0 {
            body.put_u8(b',');
        }
        match call.form {
            Form::Metadata => {
                body.put_slice(metadata(call, stored.metadata()).to_string().as_bytes());
            }
            _ => body.put_slice(&in_version(kind, version, stored)),
        }
    }
    body.put_slice(b"]}");
    body.freeze()
}

/// One line of a watch.
pub fn event(name: &str, object: &[u8]) -> Bytes {
    let mut line = BytesMut::with_capacity(object.len() + name.len() + 32);
    line.put_slice(format!("{{\"type\":\"{name}\",\"object\":").as_bytes());
    line.put_slice(object);
    line.put_slice(b"}\n");
    line.freeze()
}
