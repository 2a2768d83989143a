//! Which kinds a cluster serves: looked up per group and version, so that a group that does not
//! answer costs only itself.

use super::{
    answer::{Answer, NetError},
    link::Link,
};
use crate::request::Api;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A kind that was not there is not asked for again within this time: a burst of rows of a
/// missing kind makes one request.
const AGAIN: Duration = Duration::from_millis(300);

type Kinds = HashMap<String, Api>;

/// What is known of one cluster.
#[derive(Default)]
pub struct Discovery {
    versions: Mutex<HashMap<(String, String), (Instant, Kinds)>>,
}

/// Why a kind has no path.
#[derive(Debug)]
pub enum NoApi {
    /// The cluster answered, and does not serve it.
    NoMatch,
    /// The cluster (or the group's server) refused to say.
    Answer(Answer),
    Net(NetError),
}

impl Discovery {
    /// The path of a kind; one refresh when it is not known.
    pub async fn resolve(
        &self,
        link: &Link,
        group: &str,
        version: &str,
        kind: &str,
        within: Duration,
    ) -> Result<Api, NoApi> {
        let key = (group.to_owned(), version.to_owned());
        {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((read, kinds)) = versions.get(&key) {
                match kinds.get(kind) {
                    Some(api) => return Ok(api.clone()),
                    None if read.elapsed() < AGAIN => return Err(NoApi::NoMatch),
                    None => {}
                }
            }
        }
        let path = version_path(group, version);
        let answer = link.read(&path, within).await.map_err(NoApi::Net)?;
        let kinds = match answer.code {
            200 => kinds(&answer.json(), group, version),
            404 => Kinds::new(),
            _ => return Err(NoApi::Answer(answer)),
        };
        let found = kinds.get(kind).cloned();
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (Instant::now(), kinds));
        found.ok_or(NoApi::NoMatch)
    }

    /// Forgets a group, for example because one of its CRDs came or went.
    pub fn forget(&self, group: &str) {
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(g, _), _| g != group);
    }

    /// Every namespaced kind that can be listed, in one version each, read anew. Groups whose
    /// servers do not answer are left out.
    pub async fn listable(&self, link: &Link, within: Duration) -> Result<Vec<Api>, NetError> {
        let mut apis = listable(&link.read("/api/v1", within).await?.json(), "", "v1");
        let groups = link.read("/apis", within).await?.json();
        for (group, version) in preferred(&groups) {
            if let Ok(answer) = link.read(&version_path(&group, &version), within).await
                && answer.ok()
            {
                apis.extend(listable(&answer.json(), &group, &version));
            }
        }
        Ok(apis)
    }

    /// The kinds of a group with their versions: to find what a CRD serves.
    pub async fn served(
        &self,
        link: &Link,
        group: &str,
        plural: &str,
        within: Duration,
    ) -> Result<Option<Api>, NetError> {
        let groups = link.read("/apis", within).await?.json();
        for (name, version) in preferred(&groups) {
            if name == group {
                let answer = link.read(&version_path(&name, &version), within).await?;
                return Ok(kinds(&answer.json(), &name, &version)
                    .into_values()
                    .find(|api| api.plural == plural));
            }
        }
        Ok(None)
    }
}

fn version_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// Group and preferred version of an APIGroupList.
fn preferred(groups: &Value) -> Vec<(String, String)> {
    let list = groups["groups"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    list.iter()
        .filter_map(|group| {
            let version = group["preferredVersion"]["version"]
                .as_str()
                .or_else(|| group["versions"][0]["version"].as_str())?;
            Some((group["name"].as_str()?.to_owned(), version.to_owned()))
        })
        .collect()
}

/// The kinds of an APIResourceList, subresources left out.
fn resources<'a>(
    list: &'a Value,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = (Api, &'a Value)> {
    list["resources"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(move |resource| {
            let plural = resource["name"]
                .as_str()
                .filter(|name| !name.contains('/'))?;
            let api = Api {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: resource["kind"].as_str()?.to_owned(),
                plural: plural.to_owned(),
                namespaced: resource["namespaced"].as_bool()?,
            };
            Some((api, resource))
        })
}

fn kinds(list: &Value, group: &str, version: &str) -> Kinds {
    resources(list, group, version)
        .map(|(api, _)| (api.kind.clone(), api))
        .collect()
}

fn listable(list: &Value, group: &str, version: &str) -> Vec<Api> {
    resources(list, group, version)
        .filter(|(api, resource)| {
            let verbs = resource["verbs"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            api.namespaced
                && ["list", "get"]
                    .iter()
                    .all(|verb| verbs.iter().any(|v| v == verb))
        })
        .map(|(api, _)| api)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kinds_leave_subresources_out() {
        let list = json!({"resources": [
            {"name": "deployments", "kind": "Deployment", "namespaced": true, "verbs": ["get", "list"]},
            {"name": "deployments/scale", "kind": "Scale", "namespaced": true, "verbs": ["get"]},
            {"name": "tokenreviews", "kind": "TokenReview", "namespaced": true, "verbs": ["create"]},
            {"name": "nodes", "kind": "Node", "namespaced": false, "verbs": ["get", "list"]},
        ]});
        let mut names: Vec<_> = kinds(&list, "apps", "v1").into_keys().collect();
        names.sort();
        assert_eq!(names, ["Deployment", "Node", "TokenReview"]);
        assert_eq!(listable(&list, "apps", "v1").len(), 1);
    }

    #[test]
    fn a_group_without_a_preferred_version_is_read_in_its_first() {
        let groups = json!({"groups": [
            {"name": "apps", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1beta1"}]},
            {"name": "x.io", "versions": [{"version": "v1alpha1"}]},
            {"name": "empty.io", "versions": []},
        ]});
        assert_eq!(
            preferred(&groups),
            [
                ("apps".to_owned(), "v1".to_owned()),
                ("x.io".to_owned(), "v1alpha1".to_owned())
            ]
        );
    }
}
