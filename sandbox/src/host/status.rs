//! Kubernetes `Status` answers that do not come from the cluster.

use axum::body::Body;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::request::Asked;

/// The answer an API server gives with this code, about the object that was asked for.
pub(crate) fn status(code: u16, message: &str, asked: &Asked) -> Response<Body> {
    let http_code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut details = json!({});
    for (key, value) in [
        ("name", asked.name.as_deref()),
        ("kind", asked.resource.as_deref()),
        (
            "group",
            Some(asked.group.as_str()).filter(|group| !group.is_empty()),
        ),
    ] {
        if let Some(value) = value {
            details[key] = value.into();
        }
    }
    if code == 429 {
        details["retryAfterSeconds"] = 1.into();
    }
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason(code),
        "details": details,
        "code": code,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = http_code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match code {
        401 => {
            let scheme = HeaderValue::from_static("Bearer realm=\"sandbox\"");
            headers.insert(WWW_AUTHENTICATE, scheme);
        }
        429 | 503 => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        408 | 504 => "Timeout",
        409 => "Conflict",
        410 => "Expired",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        _ => "Unknown",
    }
}
