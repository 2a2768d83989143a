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
    sync::{Arc, Mutex, PoisonError},
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
    /// The versions of every group, preferred ones first.
    groups: Mutex<Option<(Instant, Groups)>>,
}

type Groups = Arc<Vec<(String, Vec<String>)>>;

/// Why a kind has no path.
#[derive(Debug)]
pub enum NoApi {
    /// The cluster stated that it does not serve it.
    NoMatch,
    /// The cluster (or the group's server) did not say.
    Answer(Answer),
    Net(NetError),
}

impl Discovery {
    /// The path of a kind in exactly this version; one refresh when it is not known.
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
        let answer = ask(link, &version_path(group, version), within).await?;
        let kinds = match resource_list(&answer) {
            Some(list) => kinds(&list, group, version),
            // That nothing is served there is for the list of groups to say.
            None if answer.code == 404 => {
                let served = self.versions_of(link, group, within).await?;
                if served.iter().any(|served| served == version) {
                    return Err(NoApi::Answer(answer));
                }
                Kinds::new()
            }
            None => return Err(NoApi::Answer(answer)),
        };
        let found = kinds.get(kind).cloned();
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, (Instant::now(), kinds));
        found.ok_or(NoApi::NoMatch)
    }

    /// The path of a kind in this version, or else in any that serves it: objects that were applied
    /// in a version that is gone are still there in the others.
    pub async fn resolve_any(
        &self,
        link: &Link,
        group: &str,
        version: &str,
        kind: &str,
        within: Duration,
    ) -> Result<Api, NoApi> {
        match self.resolve(link, group, version, kind, within).await {
            Err(NoApi::NoMatch) => {}
            found => return found,
        }
        for other in self.versions_of(link, group, within).await? {
            if other != version {
                match self.resolve(link, group, &other, kind, within).await {
                    Err(NoApi::NoMatch) => {}
                    found => return found,
                }
            }
        }
        Err(NoApi::NoMatch)
    }

    /// The versions in which a group is served; none if it is not.
    async fn versions_of(
        &self,
        link: &Link,
        group: &str,
        within: Duration,
    ) -> Result<Vec<String>, NoApi> {
        if group.is_empty() {
            let answer = ask(link, "/api", within).await?;
            return core_versions(&answer).ok_or(NoApi::Answer(answer));
        }
        let groups = self.groups(link, within).await?;
        let found = groups.iter().find(|(name, _)| name == group);
        Ok(found
            .map(|(_, versions)| versions.clone())
            .unwrap_or_default())
    }

    async fn groups(&self, link: &Link, within: Duration) -> Result<Groups, NoApi> {
        if let Some((read, groups)) = &*self.groups.lock().unwrap_or_else(PoisonError::into_inner)
            && read.elapsed() < AGAIN
        {
            return Ok(groups.clone());
        }
        let groups = Arc::new(read_groups(link, within).await?);
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), groups.clone()));
        Ok(groups)
    }

    /// Forgets a group, for example because one of its CRDs came or went.
    pub fn forget(&self, group: &str) {
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(g, _), _| g != group);
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A 404 that is not about an object may mean that the kind is not served any more.
    pub fn doubt(&self, group: &str, answer: &Answer) {
        if answer.code == 404 {
            self.forget(group);
        }
    }

    /// What a CRD serves, in one version; `None` if the cluster states that it serves nothing.
    pub async fn served(
        &self,
        link: &Link,
        group: &str,
        plural: &str,
        within: Duration,
    ) -> Result<Option<Api>, NoApi> {
        for (name, versions) in read_groups(link, within).await? {
            for version in versions.into_iter().filter(|_| name == group) {
                let list = read_resources(link, &name, &version, within).await?;
                let mut found = kinds(&list, &name, &version).into_values();
                if let Some(api) = found.find(|api| api.plural == plural) {
                    return Ok(Some(api));
                }
            }
        }
        Ok(None)
    }
}

async fn ask(link: &Link, path: &str, within: Duration) -> Result<Answer, NoApi> {
    link.read(path, within).await.map_err(NoApi::Net)
}

pub(super) async fn read_groups(
    link: &Link,
    within: Duration,
) -> Result<Vec<(String, Vec<String>)>, NoApi> {
    let answer = ask(link, "/apis", within).await?;
    versions(&answer).ok_or(NoApi::Answer(answer))
}

pub(super) async fn read_resources(
    link: &Link,
    group: &str,
    version: &str,
    within: Duration,
) -> Result<Value, NoApi> {
    let answer = ask(link, &version_path(group, version), within).await?;
    resource_list(&answer).ok_or(NoApi::Answer(answer))
}

/// The body, if it is an APIResourceList.
fn resource_list(answer: &Answer) -> Option<Value> {
    let json = answer.json();
    let is = answer.ok() && json["kind"] == "APIResourceList" && json["resources"].is_array();
    is.then_some(json)
}

/// The versions of the core group, if the answer is an APIVersions.
fn core_versions(answer: &Answer) -> Option<Vec<String>> {
    let json = answer.json();
    let versions = json["versions"].as_array()?;
    let of_core = answer.ok() && json["kind"] == "APIVersions";
    of_core.then(|| {
        versions
            .iter()
            .filter_map(|version| version.as_str().map(str::to_owned))
            .collect()
    })
}

/// The versions of each group, the preferred one first, if the answer is an APIGroupList.
fn versions(answer: &Answer) -> Option<Vec<(String, Vec<String>)>> {
    let json = answer.json();
    if !answer.ok() || json["kind"] != "APIGroupList" {
        return None;
    }
    let groups = json["groups"].as_array()?.iter().map(|group| {
        let preferred = group["preferredVersion"]["version"].as_str();
        let all = group["versions"].as_array()?.iter();
        let all = all.filter_map(|version| version["version"].as_str());
        let mut versions: Vec<String> = preferred.into_iter().map(str::to_owned).collect();
        versions.extend(
            all.filter(|version| Some(*version) != preferred)
                .map(str::to_owned),
        );
        Some((group["name"].as_str()?.to_owned(), versions))
    });
    groups.collect()
}

fn version_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// The kinds of an APIResourceList, subresources left out.
pub(super) fn resources<'a>(
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
    }

    fn answer(code: u16, body: Value) -> Answer {
        Answer {
            code,
            retry_after: None,
            body: body.to_string().into(),
        }
    }

    #[test]
    fn the_versions_of_a_group_begin_with_the_preferred_one() {
        let groups = json!({"kind": "APIGroupList", "groups": [
            {"name": "apps", "preferredVersion": {"version": "v1"}, "versions": [{"version": "v1beta1"}, {"version": "v1"}]},
            {"name": "x.io", "versions": [{"version": "v1alpha1"}]},
            {"name": "empty.io", "versions": []},
        ]});
        let expected = [
            ("apps", vec!["v1", "v1beta1"]),
            ("x.io", vec!["v1alpha1"]),
            ("empty.io", vec![]),
        ];
        let expected = expected.map(|(name, versions)| {
            (
                name.to_owned(),
                versions.into_iter().map(str::to_owned).collect(),
            )
        });
        assert_eq!(versions(&answer(200, groups)), Some(expected.to_vec()));
    }

    #[test]
    fn only_a_discovery_document_says_what_is_served() {
        let groups = json!({"kind": "APIGroupList", "groups": []});
        let resources = json!({"kind": "APIResourceList", "resources": []});
        for (code, body, groups, resources) in [
            (200, groups.clone(), true, false),
            (200, resources.clone(), false, true),
            (503, groups, false, false),
            (404, resources, false, false),
            (200, json!({}), false, false),
            (200, json!(null), false, false),
            (200, json!({"kind": "APIGroupList"}), false, false),
            (200, json!({"kind": "APIResourceList"}), false, false),
        ] {
            let answer = answer(code, body.clone());
            assert_eq!(versions(&answer).is_some(), groups, "{code} {body}");
            assert_eq!(resource_list(&answer).is_some(), resources, "{code} {body}");
        }
    }
}
