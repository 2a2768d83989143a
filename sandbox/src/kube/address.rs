//! Paths: what each one leads to.

use url::form_urlencoded;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz` and what is below them
    Health,
    /// `/api`
    Core,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1` and `/apis/GROUP/VERSION`
    Resources { group: String, version: String },
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3,
    /// `/openapi/v3/apis/GROUP/VERSION`
    OpenApiV3Group { group: String, version: String },
    /// Objects
    Objects(Address),
    /// Anything else
    Nothing,
}

/// The address of objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// Empty for the core group.
    pub group: String,
    /// The version asked for.
    pub version: String,
    /// The path segment of the kind.
    pub plural: String,
    /// The namespace, for addresses inside one.
    pub namespace: Option<String>,
    /// The name, for one object.
    pub name: Option<String>,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
}

/// Where a path leads.
pub fn target(path: &str) -> Target {
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decoded)
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let owned = |text: &str| text.to_owned();
    match segments.as_slice() {
        ["version"] => Target::Version,
        ["healthz" | "livez" | "readyz", ..] => Target::Health,
        ["api"] => Target::Core,
        ["apis"] => Target::Groups,
        ["apis", group] => Target::Group(owned(group)),
        ["openapi", "v2"] => Target::OpenApiV2,
        ["openapi", "v3"] => Target::OpenApiV3,
        ["openapi", "v3", "api", version] => Target::OpenApiV3Group {
            group: String::new(),
            version: owned(version),
        },
        ["openapi", "v3", "apis", group, version] => Target::OpenApiV3Group {
            group: owned(group),
            version: owned(version),
        },
        ["api", version] => Target::Resources {
            group: String::new(),
            version: owned(version),
        },
        ["apis", group, version] => Target::Resources {
            group: owned(group),
            version: owned(version),
        },
        ["api", version, rest @ ..] => objects("", version, rest),
        ["apis", group, version, rest @ ..] => objects(group, version, rest),
        _ => Target::Nothing,
    }
}

fn decoded(segment: &str) -> String {
    // A plus in a path is a plus; form decoding would make it a space.
    let escaped = segment.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned())
        .unwrap_or_default()
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Target {
    let address = Address {
        group: group.to_owned(),
        version: version.to_owned(),
        ..Address::default()
    };
    let in_namespace = |namespace: &str, plural: &str, name: Option<&str>, subresource: &[&str]| {
        Target::Objects(Address {
            plural: plural.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: name.map(str::to_owned),
            subresource: subresource.join("/"),
            ..address.clone()
        })
    };
    let outside = |plural: &str, name: Option<&str>, subresource: &[&str]| {
        Target::Objects(Address {
            plural: plural.to_owned(),
            name: name.map(str::to_owned),
            subresource: subresource.join("/"),
            ..address.clone()
        })
    };
    match rest {
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => {
            outside("namespaces", Some(name), &[sub])
        }
        ["namespaces", namespace, plural] => in_namespace(namespace, plural, None, &[]),
        ["namespaces", namespace, plural, name, sub @ ..] => {
            in_namespace(namespace, plural, Some(name), sub)
        }
        [plural] => outside(plural, None, &[]),
        [plural, name, sub @ ..] => outside(plural, Some(name), sub),
        [] => Target::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_kubernetes_says() {
        let address = |group: &str,
                       plural: &str,
                       namespace: Option<&str>,
                       name: Option<&str>,
                       subresource: &str| {
            Target::Objects(Address {
                group: group.into(),
                version: "v1".into(),
                plural: plural.into(),
                namespace: namespace.map(str::to_owned),
                name: name.map(str::to_owned),
                subresource: subresource.into(),
            })
        };
        for (path, leads_to) in [
            ("/version", Target::Version),
            ("/readyz/ping", Target::Health),
            (
                "/apis/apps/v1",
                Target::Resources {
                    group: "apps".into(),
                    version: "v1".into(),
                },
            ),
            (
                "/api/v1/namespaces",
                address("", "namespaces", None, None, ""),
            ),
            (
                "/api/v1/namespaces/a",
                address("", "namespaces", None, Some("a"), ""),
            ),
            (
                "/api/v1/namespaces/a/finalize",
                address("", "namespaces", None, Some("a"), "finalize"),
            ),
            (
                "/api/v1/namespaces/a/pods",
                address("", "pods", Some("a"), None, ""),
            ),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/status",
                address("apps", "deployments", Some("a"), Some("b"), "status"),
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa+b",
                address(
                    "rbac.authorization.k8s.io",
                    "clusterroles",
                    None,
                    Some("system:a+b"),
                    "",
                ),
            ),
            ("/metrics", Target::Nothing),
        ] {
            assert_eq!(target(path), leads_to, "{path}");
        }
    }
}
