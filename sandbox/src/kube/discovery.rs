//! Discovery: which groups, versions and resources there are, one document per path or all in one.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::Answer;
use super::kinds::{self, Kind, Verbs, api_version, priority};
use super::request::Call;
use super::state::State;
use super::status::Status;

/// `/api`.
pub fn core(state: &State, call: &Call) -> Answer {
    if let Some(version) = call.aggregated {
        return aggregated(state, version, true);
    }
    let addresses = json!([{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}]);
    Answer::value(
        200,
        &json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}),
    )
}

/// `/apis`.
pub fn groups(state: &State, call: &Call) -> Answer {
    if let Some(version) = call.aggregated {
        return aggregated(state, version, false);
    }
    let groups: Vec<Value> = all(state).iter().map(group_json).collect();
    Answer::value(
        200,
        &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
    )
}

/// `/apis/GROUP`.
pub fn group(state: &State, name: &str) -> Result<Answer, Status> {
    let found = all(state)
        .into_iter()
        .find(|group| group.name == name)
        .ok_or_else(Status::no_such_path)?;
    let mut group = group_json(&found);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Ok(Answer::value(200, &group))
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub fn resources(state: &State, group: &str, version: &str) -> Result<Answer, Status> {
    let kinds: Vec<&Kind> = kinds_of(state, group, version);
    if kinds.is_empty() {
        return Err(nothing_served(state, group, version));
    }
    let mut listed = Vec::new();
    for kind in kinds {
        let mut resource = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": verbs(kind),
        });
        if !kind.short.is_empty() {
            resource["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        if kind.verbs == Verbs::All {
            resource["storageVersionHash"] = hash(&kind.id).into();
        }
        listed.push(resource);
        for (name, sub_kind, verbs) in subresources(kind, version) {
            let mut resource = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": sub_kind.kind, "verbs": verbs,
            });
            if !sub_kind.group.is_empty() || !sub_kind.version.is_empty() {
                resource["group"] = sub_kind.group.into();
                resource["version"] = sub_kind.version.into();
            }
            listed.push(resource);
        }
    }
    let group_version = api_version(group, version);
    Ok(Answer::value(
        200,
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}),
    ))
}

/// What an unknown group, version or kind is answered: 503 when an APIService promises it, else 404.
pub fn nothing_served(state: &State, group: &str, version: &str) -> Status {
    let promised = state
        .absent_backends()
        .iter()
        .any(|(g, v)| g == group && v == version);
    if promised {
        Status::unavailable()
    } else {
        nothing_at(group)
    }
}

/// What an unknown path in a group is answered: the built-in groups answer in JSON, others not at all.
pub fn nothing_at(group: &str) -> Status {
    let known = kinds::BUILT_IN.iter().any(|kind| kind.group == group);
    if known {
        Status::no_such_resource()
    } else {
        Status::no_such_path()
    }
}

fn kinds_of<'a>(state: &'a State, group: &str, version: &str) -> Vec<&'a Kind> {
    let served = state.served().map(|kind| &**kind);
    served
        .filter(|kind| kind.group == group && kind.version(version).is_some())
        .collect()
}

struct Group {
    name: String,
    /// The preferred one first; the flag says whether it answers.
    versions: Vec<(String, bool)>,
}

/// All groups but the core group, in the order of the table, then by name.
fn all(state: &State) -> Vec<Group> {
    let mut order: Vec<String> = Vec::new();
    let mut versions: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    let mut add = |group: &str, version: &str, answers: bool| {
        let listed = versions.entry(group.to_owned()).or_default();
        if listed.is_empty() {
            order.push(group.to_owned());
        }
        if !listed.iter().any(|(name, _)| name == version) {
            listed.push((version.to_owned(), answers));
        }
    };
    for kind in state.served().filter(|kind| !kind.group.is_empty()) {
        kind.versions
            .iter()
            .for_each(|version| add(&kind.group, &version.name, true));
    }
    for (group, version) in state.absent_backends() {
        add(&group, &version, false);
    }
    let groups = order.into_iter().map(|name| {
        let mut versions = versions.remove(&name).unwrap_or_default();
        versions.sort_by_key(|(name, _)| std::cmp::Reverse(priority(name)));
        Group { name, versions }
    });
    groups.collect()
}

fn group_json(group: &Group) -> Value {
    let version =
        |name: &str| json!({"groupVersion": format!("{}/{name}", group.name), "version": name});
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|(name, _)| version(name))
        .collect();
    let preferred = group.versions.first().map(|(name, _)| version(name));
    json!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

struct SubKind {
    group: &'static str,
    version: &'static str,
    kind: String,
}

fn subresources(kind: &Kind, version: &str) -> Vec<(&'static str, SubKind, Vec<&'static str>)> {
    let same = || SubKind {
        group: "",
        version: "",
        kind: kind.kind.clone(),
    };
    let other = |group, version, name: &str| SubKind {
        group,
        version,
        kind: name.to_owned(),
    };
    let mut found = Vec::new();
    let served = kind.version(version);
    if served.is_some_and(|version| version.scale) {
        found.push((
            "scale",
            other("autoscaling", "v1", "Scale"),
            vec!["get", "patch", "update"],
        ));
    }
    if served.is_some_and(|version| version.status) {
        found.push(("status", same(), vec!["get", "patch", "update"]));
    }
    match &*kind.id {
        "pods" => {
            found.push((
                "eviction",
                other("policy", "v1", "Eviction"),
                vec!["create"],
            ));
            found.push(("log", same(), vec!["get"]));
        }
        "serviceaccounts" => {
            found.push((
                "token",
                other("authentication.k8s.io", "v1", "TokenRequest"),
                vec!["create"],
            ));
        }
        "namespaces" => found.push(("finalize", same(), vec!["update"])),
        _ => {}
    }
    found
}

/// All of it in one document, as newer clients ask for it.
fn aggregated(state: &State, meta_version: &'static str, core: bool) -> Answer {
    let groups = if core {
        vec![Group {
            name: String::new(),
            versions: vec![("v1".to_owned(), true)],
        }]
    } else {
        all(state)
    };
    let items: Vec<Value> = groups
        .iter()
        .map(|group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|(version, answers)| {
                    let resources: Vec<Value> = kinds_of(state, &group.name, version)
                        .into_iter()
                        .map(|kind| aggregated_kind(kind, version))
                        .collect();
                    let freshness = if *answers { "Current" } else { "Stale" };
                    let mut listed = json!({"version": version, "freshness": freshness});
                    if *answers {
                        listed["resources"] = Value::Array(resources);
                    }
                    listed
                })
                .collect();
            let mut meta = json!({"creationTimestamp": null});
            if !group.name.is_empty() {
                meta["name"] = group.name.clone().into();
            }
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    let document = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{meta_version}"), "metadata": {},
        "items": items,
    });
    let media_type = match meta_version {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    Answer::Text(200, media_type, Bytes::from(document.to_string()))
}

fn aggregated_kind(kind: &Kind, version: &str) -> Value {
    let response = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response(&kind.group, version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(kind),
    });
    if !kind.short.is_empty() {
        resource["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let subresources: Vec<Value> = subresources(kind, version)
        .into_iter()
        .map(|(name, sub, verbs)| {
            let same = sub.version.is_empty();
            let (group, version) = if same { (kind.group.as_str(), version) } else { (sub.group, sub.version) };
            json!({"subresource": name, "responseKind": response(group, version, &sub.kind), "verbs": verbs})
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = Value::Array(subresources);
    }
    resource
}

/// The verbs of a kind, in the order each of the two API servers lists them.
fn verbs(kind: &Kind) -> &'static [&'static str] {
    if kind.custom {
        return &[
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch",
        ];
    }
    if &*kind.id == "namespaces" {
        // They go one by one.
        return &[
            "create", "delete", "get", "list", "patch", "update", "watch",
        ];
    }
    kind.verbs.names()
}

/// Some stable text that differs between kinds, as `storageVersionHash` is.
fn hash(id: &str) -> String {
    use base64::Engine;
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    base64::engine::general_purpose::STANDARD.encode(hash.to_be_bytes())
}
