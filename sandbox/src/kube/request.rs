//! What a request says besides its path: the query, the body's type, the forms of answer it takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use url::form_urlencoded;

use super::kinds::Kind;
use super::selector::{Fields, Labels};
use super::status::Status;
use super::write::Validation;

/// The largest body that is read.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The form in which objects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As they are.
    Whole,
    /// As rows of a table.
    Table,
    /// Their metadata only.
    Metadata,
}

/// What the request says besides path and body.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path, for messages.
    pub path: String,
    /// The query.
    pub query: BTreeMap<String, String>,
    /// The form of answer.
    pub form: Form,
    /// The version of `meta.k8s.io` that tables and metadata are answered in.
    pub meta_version: &'static str,
    /// The version of aggregated discovery that is understood, if any.
    pub aggregated: Option<&'static str>,
    /// The media type of the body, lower case and without parameters.
    pub media_type: String,
    /// The name a write goes by when it names no field manager.
    pub agent: String,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// Reads the head of a request.
    pub fn read(request: Request<Bytes>) -> Result<Self, Status> {
        let (parts, body) = request.into_parts();
        if body.len() > BODY_LIMIT {
            return Err(Status::too_large(BODY_LIMIT));
        }
        let query = parts.uri.query().unwrap_or_default();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        if let Some(text) = query.get("timeout")
            && !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            return Err(Status::bad_request(format!(
                "invalid timeout specified in the request URL - time: invalid duration \"{text}\""
            )));
        }
        let text = |name| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let media_type = text(header::CONTENT_TYPE)
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        let agent = text(header::USER_AGENT)
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let (form, meta_version) = form(&parts.headers)?;
        Ok(Self {
            path: parts.uri.path().to_owned(),
            query,
            form,
            meta_version,
            aggregated: aggregated(&parts.headers),
            media_type,
            agent: if agent.is_empty() {
                "unknown".into()
            } else {
                agent
            },
            method: parts.method,
            body,
        })
    }

    /// A query parameter that is there and not empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Whether a boolean parameter is set.
    pub fn flag(&self, name: &str) -> bool {
        self.query
            .get(name)
            .is_some_and(|value| matches!(value.as_str(), "true" | "1" | "True" | "t"))
    }

    /// Whether nothing is to be kept.
    pub fn dry_run(&self) -> Result<bool, Status> {
        dry_run(self.query.get("dryRun").map(String::as_str))
    }

    /// What becomes of fields that no schema knows.
    pub fn validation(&self) -> Result<Validation, Status> {
        match self.parameter("fieldValidation") {
            None | Some("Warn") => Ok(Validation::Warn),
            Some("Ignore") => Ok(Validation::Ignore),
            Some("Strict") => Ok(Validation::Strict),
            Some(other) => {
                let allowed = ["", "Ignore", "Strict", "Warn"];
                let cause =
                    super::status::Cause::unsupported("fieldValidation", &other.into(), &allowed);
                let options = match self.method {
                    Method::POST => "CreateOptions",
                    Method::PUT => "UpdateOptions",
                    _ => "PatchOptions",
                };
                Err(Status::invalid_as("meta.k8s.io", options, "", &[cause]))
            }
        }
    }

    /// The field manager: as named, else the client's name.
    pub fn manager(&self) -> String {
        self.parameter("fieldManager")
            .unwrap_or(&self.agent)
            .to_owned()
    }

    /// `labelSelector` and `fieldSelector`.
    pub fn selectors(&self, kind: &Kind) -> Result<(Labels, Fields), Status> {
        let text = |name| self.parameter(name).unwrap_or_default();
        let fields = Fields::parse(text("fieldSelector"))?;
        fields.check(kind)?;
        Ok((Labels::parse(text("labelSelector"))?, fields))
    }

    /// A number among the query parameters.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let refuse = |_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing \"{text}\": invalid syntax"
            ))
        };
        text.parse().map(Some).map_err(refuse)
    }

    /// `resourceVersion` among the query parameters; none when absent, empty or `0`.
    pub fn since(&self) -> Result<Option<u64>, Status> {
        let Some(text) = self.parameter("resourceVersion") else {
            return Ok(None);
        };
        let refuse = |_| {
            Status::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax"
            ))
        };
        text.parse()
            .map(|version| Some(version).filter(|version| *version > 0))
            .map_err(refuse)
    }
}

/// Whether `dryRun` says that nothing is to be kept.
pub fn dry_run(value: Option<&str>) -> Result<bool, Status> {
    match value {
        None | Some("") => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let value = serde_json::json!([other]);
            let cause = super::status::Cause::unsupported("dryRun", &value, &["All"]);
            Err(Status::invalid_as(
                "meta.k8s.io",
                "PatchOptions",
                "",
                &[cause],
            ))
        }
    }
}

fn accepted(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let texts = headers
        .get_all(header::ACCEPT)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let types: Vec<String> = texts
        .flat_map(|text| text.split(','))
        .map(|one| one.split_whitespace().collect::<String>())
        .collect();
    types.into_iter()
}

fn form(headers: &HeaderMap) -> Result<(Form, &'static str), Status> {
    let mut any = false;
    for accepted in accepted(headers) {
        let mut parts = accepted.split(';');
        let media = parts.next().unwrap_or_default().to_lowercase();
        let parameters: Vec<&str> = parts.collect();
        let parameter = |name: &str| {
            parameters.iter().find_map(|part| {
                part.split_once('=')
                    .filter(|(key, _)| *key == name)
                    .map(|(_, value)| value)
            })
        };
        any = true;
        if !matches!(
            media.as_str(),
            "application/json" | "application/*" | "*/*" | "text/plain" | "text/*"
        ) {
            continue;
        }
        let version = match parameter("v") {
            Some("v1beta1") => "v1beta1",
            _ => "v1",
        };
        match (parameter("as"), parameter("g")) {
            (Some("Table"), _) => return Ok((Form::Table, version)),
            (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), _) => {
                return Ok((Form::Metadata, version));
            }
            (Some("APIGroupDiscoveryList"), _) | (None, _) => return Ok((Form::Whole, version)),
            (Some(_), _) => {}
        }
    }
    // OpenAPI clients ask for their own protobuf form and take what comes.
    let lenient = accepted(headers)
        .any(|one| one.contains("com.github.proto-openapi") || one.contains("application/yaml"));
    if any && !lenient {
        Err(Status::not_acceptable())
    } else {
        Ok((Form::Whole, "v1"))
    }
}

fn aggregated(headers: &HeaderMap) -> Option<&'static str> {
    for accepted in accepted(headers) {
        if !accepted.starts_with("application/json") {
            continue;
        }
        if accepted.contains("as=APIGroupDiscoveryList")
            && accepted.contains("g=apidiscovery.k8s.io")
        {
            if accepted.contains("v=v2beta1") {
                return Some("v2beta1");
            }
            if accepted.contains("v=v2") {
                return Some("v2");
            }
        } else {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        reason = "a request that does not parse is a failed test"
    )]
    use super::*;

    #[test]
    fn accept_headers_choose_the_form() {
        let call = |accept: &str| {
            Call::read(
                Request::get("/x")
                    .header("accept", accept)
                    .body(Bytes::new())
                    .unwrap(),
            )
        };
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(call(kubectl).unwrap().form, Form::Table);
        let lister = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(call(lister).unwrap().form, Form::Metadata);
        assert_eq!(
            call("application/vnd.kubernetes.protobuf,application/json")
                .unwrap()
                .form,
            Form::Whole
        );
        assert_eq!(
            call("application/vnd.kubernetes.protobuf")
                .unwrap_err()
                .code,
            406
        );
        let discovery =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(call(discovery).unwrap().aggregated, Some("v2"));
        assert_eq!(call("application/json").unwrap().aggregated, None);
    }
}
