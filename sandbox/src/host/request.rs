//! What a request asks of a Kubernetes API server, read from its method, path and query alone.

use std::fmt;
use std::str::FromStr;

use http::header::CONTENT_TYPE;
use http::{Method, request::Parts};
use serde::{Deserialize, Serialize};

/// What a request does, in Kubernetes' words; `apply` is a server-side apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are the documentation")]
pub enum Verb {
    Apply,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
    Get,
    List,
    Watch,
}

impl Verb {
    const ALL: [(Verb, &'static str); 9] = [
        (Verb::Apply, "apply"),
        (Verb::Create, "create"),
        (Verb::Update, "update"),
        (Verb::Patch, "patch"),
        (Verb::Delete, "delete"),
        (Verb::DeleteCollection, "deletecollection"),
        (Verb::Get, "get"),
        (Verb::List, "list"),
        (Verb::Watch, "watch"),
    ];

    /// Whether the cluster may be different afterwards.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(verb, _)| verb == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

impl FromStr for Verb {
    type Err = UnknownVerb;

    fn from_str(text: &str) -> Result<Self, UnknownVerb> {
        Self::ALL
            .iter()
            .find(|(_, name)| *name == text)
            .map(|(verb, _)| *verb)
            .ok_or_else(|| UnknownVerb(text.to_owned()))
    }
}

/// A verb that requests do not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no verb is called {0:?}; there are apply, create, update, patch, delete, deletecollection, get, list and watch"
)]
pub struct UnknownVerb(String);

/// A request, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub verb: Verb,
    /// API group, empty for the core group.
    pub group: String,
    pub version: String,
    /// The plural in the path; `None` for paths that are about no resource (`/version`, discovery).
    pub resource: Option<String>,
    pub subresource: Option<String>,
    pub namespace: Option<String>,
    pub name: Option<String>,
    /// Filled in by whoever knows the kinds of the cluster.
    pub kind: Option<String>,
    pub field_manager: Option<String>,
    pub path: String,
}

impl Asked {
    /// Classifies a request by its head.
    pub fn read(head: &Parts) -> Self {
        let path = head.uri.path();
        let query = Query(head.uri.query().unwrap_or(""));
        let mut asked = Self {
            verb: Verb::Get,
            group: String::new(),
            version: String::new(),
            resource: None,
            subresource: None,
            namespace: None,
            name: None,
            kind: None,
            field_manager: query.value("fieldManager"),
            path: path.to_owned(),
        };
        let parts: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decoded)
            .collect();
        let rest = match parts.first().map(String::as_str) {
            Some("api") if parts.len() > 2 => {
                asked.version.clone_from(&parts[1]);
                &parts[2..]
            }
            Some("apis") if parts.len() > 3 => {
                asked.group.clone_from(&parts[1]);
                asked.version.clone_from(&parts[2]);
                &parts[3..]
            }
            _ => &[],
        };
        asked.read_resource(rest);
        asked.verb = verb(head, &query, asked.resource.is_some(), asked.name.is_some());
        asked
    }

    fn read_resource(&mut self, parts: &[String]) {
        // `namespaces/x` is the object x; `namespaces/x/pods` is about pods in x.
        let own = |word: &str| matches!(word, "status" | "finalize");
        let parts = match parts {
            [word, namespace, next, ..] if word == "namespaces" && !own(next) => {
                self.namespace = Some(namespace.clone());
                &parts[2..]
            }
            _ => parts,
        };
        self.resource = parts.first().cloned();
        self.name = parts.get(1).cloned();
        self.subresource = parts.get(2).cloned();
    }

    /// Whether this is the hello that clients use to see if a cluster is there.
    pub fn is_version(&self) -> bool {
        self.path.trim_end_matches('/') == "/version"
    }

    /// Whether a hanging finalizer could be put on the object in question.
    pub fn may_hang(&self) -> bool {
        matches!(self.verb, Verb::Apply | Verb::Create | Verb::Delete)
            && self.resource.is_some()
            && self.subresource.is_none()
    }

    /// The path of the object, which for a create is not the path of the request.
    pub fn object_path(&self) -> Option<String> {
        let name = self.name.as_deref()?;
        if self.verb == Verb::Create {
            Some(format!("{}/{name}", self.path.trim_end_matches('/')))
        } else {
            Some(self.path.clone())
        }
    }
}

fn verb(head: &Parts, query: &Query<'_>, is_resource: bool, is_named: bool) -> Verb {
    let content = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    match head.method {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH if content.starts_with("application/apply-patch") => Verb::Apply,
        Method::PATCH => Verb::Patch,
        Method::DELETE if is_resource && !is_named => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ if !is_resource => Verb::Get,
        _ if matches!(query.value("watch").as_deref(), Some("1" | "true" | "")) => Verb::Watch,
        _ if is_named => Verb::Get,
        _ => Verb::List,
    }
}

/// The query part of a URI.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn value(&self, key: &str) -> Option<String> {
        self.0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| decoded(&value.replace('+', " ")))
    }
}

/// Undoes percent-encoding; what is not valid stays as it is.
fn decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn line(method: &str, uri: &str, content: &str) -> String {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header(CONTENT_TYPE, content)
            .body(())
            .unwrap();
        let asked = Asked::read(&request.into_parts().0);
        let show = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        format!(
            "{} {} {} {} {} {}",
            asked.verb,
            show(asked.resource),
            show(asked.namespace),
            show(asked.name),
            show(asked.subresource),
            show(asked.field_manager)
        )
    }

    #[test]
    fn requests_are_told_apart_by_method_path_and_query() {
        let json = "application/json";
        for (method, uri, content, expected) in [
            ("GET", "/version", json, "get - - - - -"),
            ("GET", "/apis/apps/v1", json, "get - - - - -"),
            ("GET", "/api/v1/namespaces", json, "list namespaces - - - -"),
            (
                "GET",
                "/api/v1/namespaces/a",
                json,
                "get namespaces - a - -",
            ),
            (
                "PUT",
                "/api/v1/namespaces/a/finalize",
                json,
                "update namespaces - a finalize -",
            ),
            (
                "GET",
                "/api/v1/namespaces/a/pods?watch=true",
                json,
                "watch pods a - - -",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/b?fieldManager=muster%2Dx&force=true",
                "application/apply-patch+yaml",
                "apply deployments a b - muster-x",
            ),
            (
                "PATCH",
                "/api/v1/nodes/n/status",
                "application/merge-patch+json",
                "patch nodes - n status -",
            ),
            (
                "POST",
                "/api/v1/namespaces/a/configmaps",
                json,
                "create configmaps a - - -",
            ),
            (
                "DELETE",
                "/api/v1/namespaces/a/configmaps",
                json,
                "deletecollection configmaps a - - -",
            ),
            (
                "DELETE",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Ax",
                json,
                "delete clusterroles - system:x - -",
            ),
        ] {
            assert_eq!(line(method, uri, content), expected, "{method} {uri}");
        }
    }
}
