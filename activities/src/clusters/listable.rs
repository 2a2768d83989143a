//! Every namespaced kind that a cluster serves: in two requests where it tells all at once
//! (aggregated discovery, KEP-3352), else group by group.

use super::{
    answer::Answer,
    discovery::{NoApi, read_groups, read_resources, resources},
    link::Link,
};
use crate::request::Api;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashSet, time::Duration};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
/// Groups asked at once.
const AT_ONCE: usize = 8;

/// What part of discovery did not say what it serves.
#[derive(Debug)]
pub struct Unlisted {
    /// A group and version, as in `apiVersion`.
    pub what: String,
    pub why: NoApi,
}

/// Every namespaced kind that can be listed, in one version each, read anew. All of them, or
/// none: what a group holds that does not answer is not known.
pub async fn listable(link: &Link, within: Duration) -> Result<Vec<Api>, Unlisted> {
    let (core, groups) = tokio::join!(
        link.read_as("/api", AGGREGATED, within),
        link.read_as("/apis", AGGREGATED, within)
    );
    let told = |answer: Result<Answer, _>| {
        let unlisted = |error| Unlisted {
            what: "the list of groups".to_owned(),
            why: NoApi::Net(error),
        };
        answer.map(|answer| aggregated(&answer)).map_err(unlisted)
    };
    let versions = match (told(core)?, told(groups)?) {
        (Some(mut versions), Some(others)) => {
            versions.extend(others);
            versions
        }
        _ => names(link, within).await?,
    };
    asked(link, versions, within).await
}

/// What versions hold; those of which nobody said are asked.
async fn asked(
    link: &Link,
    versions: Vec<Version>,
    within: Duration,
) -> Result<Vec<Api>, Unlisted> {
    let asked = stream::iter(versions).map(|version| async move {
        match version.apis {
            Some(apis) => Ok(apis),
            None => ask(link, &version.group, &version.version, within).await,
        }
    });
    let all: Vec<Vec<Api>> = asked.buffered(AT_ONCE).try_collect().await?;
    let mut known = HashSet::new();
    let mut apis: Vec<Api> = all.into_iter().flatten().collect();
    // The same kind in another version holds the same objects.
    apis.retain(|api| known.insert((api.group.clone(), api.plural.clone())));
    Ok(apis)
}

/// A version of a group, the preferred one of its group first.
#[derive(Debug, PartialEq)]
struct Version {
    group: String,
    version: String,
    /// `None`: nobody said yet.
    apis: Option<Vec<Api>>,
}

/// All groups by name only.
async fn names(link: &Link, within: Duration) -> Result<Vec<Version>, Unlisted> {
    let groups = read_groups(link, within).await.map_err(|why| Unlisted {
        what: "the list of groups".to_owned(),
        why,
    })?;
    let core = (String::new(), vec!["v1".to_owned()]);
    let version = |group: &String, version| Version {
        group: group.clone(),
        version,
        apis: None,
    };
    Ok(std::iter::once(core)
        .chain(groups)
        .flat_map(|(group, versions)| versions.into_iter().map(move |v| version(&group, v)))
        .collect())
}

async fn ask(
    link: &Link,
    group: &str,
    version: &str,
    within: Duration,
) -> Result<Vec<Api>, Unlisted> {
    let list = read_resources(link, group, version, within).await;
    let list = list.map_err(|why| Unlisted {
        what: match group {
            "" => version.to_owned(),
            _ => format!("{group}/{version}"),
        },
        why,
    })?;
    Ok(resources(&list, group, version)
        .filter(|(api, resource)| api.namespaced && can_be_listed(&resource["verbs"]))
        .map(|(api, _)| api)
        .collect())
}

fn can_be_listed(verbs: &Value) -> bool {
    let verbs = verbs.as_array().map(Vec::as_slice).unwrap_or_default();
    ["list", "get"]
        .iter()
        .all(|verb| verbs.iter().any(|v| v == verb))
}

/// An APIGroupDiscoveryList, as far as it is read.
#[derive(Deserialize)]
struct Groups {
    kind: String,
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Name,
    #[serde(default)]
    versions: Vec<Served>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Served {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    /// Absent where only subresources are served.
    response_kind: Option<Kind>,
    scope: String,
    #[serde(default)]
    verbs: Value,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

/// What an answer tells of all its groups; `None` if the cluster does not know that form. What a
/// version holds that is not current is asked of its own server.
fn aggregated(answer: &Answer) -> Option<Vec<Version>> {
    let list: Groups = serde_json::from_slice(&answer.body).ok()?;
    if !answer.ok() || list.kind != "APIGroupDiscoveryList" {
        return None;
    }
    let versions = list.items.into_iter().flat_map(|group| {
        let name = group.metadata.name;
        group.versions.into_iter().map(move |served| Version {
            group: name.clone(),
            apis: (served.freshness == "Current").then(|| apis(&name, &served)),
            version: served.version,
        })
    });
    Some(versions.collect())
}

fn apis(group: &str, served: &Served) -> Vec<Api> {
    let namespaced = served
        .resources
        .iter()
        .filter(|resource| resource.scope == "Namespaced" && can_be_listed(&resource.verbs));
    namespaced
        .map(|resource| Api {
            group: group.to_owned(),
            version: served.version.clone(),
            kind: match &resource.response_kind {
                Some(Kind { kind }) if !kind.is_empty() => kind.clone(),
                _ => resource.resource.clone(),
            },
            plural: resource.resource.clone(),
            namespaced: true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;
    use serde_json::json;

    fn answer(code: u16, body: &Value) -> Answer {
        Answer {
            code,
            retry_after: None,
            body: body.to_string().into(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn group_by_group_a_cluster_tells_what_it_tells_at_once() {
        let config = sandbox::host::HostConfig::simulated(1);
        let host = sandbox::Host::start(config).await.unwrap();
        let kubeconfig = store::Kubeconfig {
            text: host.cluster("c1").unwrap().kubeconfig.clone(),
            context: None,
            generation: 0,
        };
        let link = Link::new(
            &kubeconfig,
            &[],
            std::sync::Arc::new(crate::clusters::link::Pulse::new(Default::default())),
        )
        .await
        .unwrap();
        let within = Duration::from_secs(30);
        let at_once = listable(&link, within).await.unwrap();
        let names = names(&link, within).await.unwrap();
        let one_by_one = asked(&link, names, within).await.unwrap();
        let sorted = |mut apis: Vec<Api>| {
            apis.sort_by_key(|api| (api.group.clone(), api.plural.clone()));
            apis
        };
        assert!(at_once.len() > 20, "{at_once:?}");
        assert_eq!(sorted(at_once), sorted(one_by_one));
    }

    #[test]
    fn all_groups_are_told_at_once_and_those_that_are_not_current_are_to_be_asked() {
        let resource = |name: &str, scope: &str, verbs: &[&str]| {
            json!({"resource": name, "scope": scope, "verbs": verbs,
                "responseKind": {"group": "", "version": "v1", "kind": format!("K-{name}")}})
        };
        let both = ["get", "list", "watch"];
        let list = json!({"kind": "APIGroupDiscoveryList", "items": [
            {"metadata": {"creationTimestamp": null}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                resource("configmaps", "Namespaced", &both),
                resource("nodes", "Cluster", &both),
                resource("bindings", "Namespaced", &["create"]),
            ]}]},
            {"metadata": {"name": "x.io"}, "versions": [
                {"version": "v2", "freshness": "Stale", "resources": [resource("things", "Namespaced", &both)]},
                {"version": "v1", "freshness": "Current"},
            ]},
        ]});
        let told = aggregated(&answer(200, &list)).unwrap();
        let version = |group: &str, version: &str, plurals: Option<&[&str]>| Version {
            group: group.to_owned(),
            version: version.to_owned(),
            apis: plurals.map(|plurals| {
                let api = |plural: &&str| Api {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: format!("K-{plural}"),
                    plural: (*plural).to_owned(),
                    namespaced: true,
                };
                plurals.iter().map(api).collect()
            }),
        };
        let expected = [
            version("", "v1", Some(&["configmaps"])),
            version("x.io", "v2", None),
            version("x.io", "v1", Some(&[])),
        ];
        assert_eq!(told, expected);
        for (code, body) in [
            (503, list),
            (200, json!({"kind": "APIGroupList", "groups": []})),
            (200, json!({"kind": "APIVersions", "versions": ["v1"]})),
            (200, json!(null)),
        ] {
            assert_eq!(aggregated(&answer(code, &body)), None, "{code} {body}");
        }
    }
}
