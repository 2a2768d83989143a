//! Requests to a Kubernetes API server, and what objects are called there. Pure.

use crate::object::Meta;
use kube::core::{
    Request,
    params::{
        DeleteParams, GetParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy,
        WatchParams,
    },
};
use serde_json::{Value, json};

/// Requests in the form `kube` builds them.
pub type Built = http::Request<Vec<u8>>;

/// A request could not be built: a name that no server would accept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{verb} {name}: {cause}")]
pub struct Unbuildable {
    verb: &'static str,
    name: String,
    cause: String,
}

/// One kind as a cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Api {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

impl Api {
    /// The collection's path; an empty namespace of a namespaced kind means all namespaces.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }
}

fn built(
    verb: &'static str,
    name: &str,
    request: Result<Built, kube::core::request::Error>,
) -> Result<Built, Unbuildable> {
    request.map_err(|e| Unbuildable {
        verb,
        name: name.to_owned(),
        cause: e.to_string(),
    })
}

/// Server-side apply of an object, as JSON (which is YAML). Only its metadata is answered: the rest
/// would be what was sent. Nor need the server parse it a second time to warn of duplicate keys: JSON
/// of ours has none.
pub fn apply(
    api: &Api,
    namespace: &str,
    name: &str,
    manager: &str,
    force: bool,
    object: &Value,
) -> Result<Built, Unbuildable> {
    let mut params = PatchParams::apply(manager).validation_ignore();
    params.force = force;
    built(
        "apply",
        name,
        Request::new(api.path(namespace)).patch_metadata(name, &params, &Patch::Apply(object)),
    )
}

/// Merge patch that takes labels off.
pub fn remove_labels(
    api: &Api,
    namespace: &str,
    name: &str,
    labels: &[&str],
) -> Result<Built, Unbuildable> {
    let labels: Value = labels
        .iter()
        .map(|label| ((*label).to_owned(), Value::Null))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    let params = PatchParams {
        field_manager: Some("muster".to_owned()),
        ..PatchParams::default()
    };
    built(
        "patch",
        name,
        Request::new(api.path(namespace)).patch(name, &params, &patch),
    )
}

/// Consistent GET of the whole object.
pub fn get(api: &Api, namespace: &str, name: &str) -> Result<Built, Unbuildable> {
    built(
        "get",
        name,
        Request::new(api.path(namespace)).get(name, &GetParams::default()),
    )
}

/// Consistent GET of the metadata.
pub fn get_metadata(api: &Api, namespace: &str, name: &str) -> Result<Built, Unbuildable> {
    built(
        "get",
        name,
        Request::new(api.path(namespace)).get_metadata(name, &GetParams::default()),
    )
}

/// Objects per page of a list.
const PAGE: u32 = 500;

/// One page of a consistent LIST of metadata.
pub fn list_metadata(
    api: &Api,
    namespace: &str,
    labels: Option<&str>,
    page: Option<&str>,
) -> Result<Built, Unbuildable> {
    let params = ListParams {
        label_selector: labels.map(str::to_owned),
        limit: Some(PAGE),
        continue_token: page.map(str::to_owned),
        ..ListParams::default()
    };
    built(
        "list",
        &api.plural,
        Request::new(api.path(namespace)).list_metadata(&params),
    )
}

/// One page of a consistent LIST over all namespaces: whole objects, or their metadata.
pub fn list_page(
    api: &Api,
    labels: &str,
    page: Option<&str>,
    whole: bool,
) -> Result<Built, Unbuildable> {
    let params = ListParams {
        label_selector: Some(labels.to_owned()),
        limit: Some(PAGE),
        continue_token: page.map(str::to_owned),
        ..ListParams::default()
    };
    let request = Request::new(api.path(""));
    let request = match whole {
        true => request.list(&params),
        false => request.list_metadata(&params),
    };
    built("list", &api.plural, request)
}

/// A server ends a watch after so long, in seconds; it is taken up again where it was.
const WATCH_SECONDS: u32 = 280;

/// WATCH over all namespaces after a version: whole objects, or their metadata.
pub fn watch(api: &Api, labels: &str, version: &str, metadata: bool) -> Result<Built, Unbuildable> {
    let params = WatchParams {
        label_selector: Some(labels.to_owned()),
        timeout: Some(WATCH_SECONDS),
        bookmarks: true,
        ..WatchParams::default()
    };
    let request = Request::new(api.path(""));
    let request = match metadata {
        true => request.watch_metadata(&params, version),
        false => request.watch(&params, version),
    };
    built("watch", &api.plural, request)
}

/// DELETE of an object if nobody changed it since it was seen.
pub fn delete_as_seen(api: &Api, namespace: &str, seen: &Meta) -> Result<Built, Unbuildable> {
    let version = (!seen.version.is_empty()).then_some(seen.version.as_str());
    delete(api, namespace, &seen.name, &seen.uid, version)
}

/// DELETE of exactly the object with this uid; with a version, only while it has that.
pub fn delete(
    api: &Api,
    namespace: &str,
    name: &str,
    uid: &str,
    version: Option<&str>,
) -> Result<Built, Unbuildable> {
    let propagation = if owns_others(&api.group, &api.kind) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    };
    let params = DeleteParams {
        propagation_policy: Some(propagation),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    built(
        "delete",
        name,
        Request::new(api.path(namespace)).delete(name, &params),
    )
}

/// Whether objects of a kind own others, so that their delete must be in the foreground: a
/// foreground delete of anything else only waits for the garbage collector (real-cluster.md).
pub fn owns_others(group: &str, kind: &str) -> bool {
    match group {
        "apps" | "batch" => true,
        "" => kind == "ReplicationController",
        // Groups of Kubernetes itself; every other group is somebody's custom resource.
        "policy" | "autoscaling" | "extensions" | "events.k8s.io" => false,
        group => !(group.ends_with(".k8s.io") && is_builtin(group)),
    }
}

fn is_builtin(group: &str) -> bool {
    [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
        "internal.apiserver.k8s.io",
    ]
    .contains(&group)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;

    fn api(group: &str, kind: &str, plural: &str, namespaced: bool) -> Api {
        Api {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            plural: plural.into(),
            namespaced,
        }
    }

    #[test]
    fn paths_follow_group_and_scope() {
        let cases = [
            (
                api("", "ConfigMap", "configmaps", true),
                "shop",
                "/api/v1/namespaces/shop/configmaps",
            ),
            (
                api("", "ConfigMap", "configmaps", true),
                "",
                "/api/v1/configmaps",
            ),
            (
                api("", "Namespace", "namespaces", false),
                "",
                "/api/v1/namespaces",
            ),
            (
                api("apps", "Deployment", "deployments", true),
                "shop",
                "/apis/apps/v1/namespaces/shop/deployments",
            ),
            (
                api(
                    "rbac.authorization.k8s.io",
                    "ClusterRole",
                    "clusterroles",
                    false,
                ),
                "",
                "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            ),
        ];
        for (api, namespace, expected) in cases {
            assert_eq!(api.path(namespace), expected);
        }
    }

    #[test]
    fn apply_names_the_manager_and_never_forces_unasked() {
        let api = api("", "ConfigMap", "configmaps", true);
        let request = apply(
            &api,
            "shop",
            "a",
            "muster-x",
            false,
            &json!({"kind": "ConfigMap"}),
        )
        .unwrap();
        assert_eq!(request.method(), "PATCH");
        assert_eq!(
            request.uri(),
            "/api/v1/namespaces/shop/configmaps/a?&fieldManager=muster-x&fieldValidation=Ignore"
        );
        assert_eq!(
            request.headers()["content-type"],
            "application/apply-patch+yaml"
        );
        let forced = apply(&api, "shop", "a", "muster-x", true, &json!({})).unwrap();
        assert!(forced.uri().to_string().contains("force=true"));
    }

    #[test]
    fn delete_carries_the_uid_and_the_propagation_of_its_kind() {
        let cases = [
            (api("", "ConfigMap", "configmaps", true), "Background"),
            (api("", "Service", "services", true), "Background"),
            (api("apps", "Deployment", "deployments", true), "Foreground"),
            (api("batch", "Job", "jobs", true), "Foreground"),
            (api("shop.example.com", "Cart", "carts", true), "Foreground"),
            (
                api("gateway.networking.k8s.io", "Gateway", "gateways", true),
                "Foreground",
            ),
            (
                api("networking.k8s.io", "Ingress", "ingresses", true),
                "Background",
            ),
            (
                api(
                    "apiextensions.k8s.io",
                    "CustomResourceDefinition",
                    "customresourcedefinitions",
                    false,
                ),
                "Background",
            ),
        ];
        for (api, policy) in cases {
            let request = delete(&api, "", "a", "u-1", None).unwrap();
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(body["preconditions"]["uid"], "u-1", "{}", api.kind);
            assert_eq!(body["preconditions"]["resourceVersion"], Value::Null);
            assert_eq!(body["propagationPolicy"], policy, "{}", api.kind);
            let request = delete(&api, "", "a", "u-1", Some("7")).unwrap();
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(body["preconditions"]["resourceVersion"], "7");
        }
    }
}
