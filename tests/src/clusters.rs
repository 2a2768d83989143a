//! What is on a cluster, read by a Kubernetes client.

use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, ListParams, Patch},
    config::{KubeConfigOptions, Kubeconfig},
    core::discovery::ApiResource,
    discovery::{ApiGroup, verbs},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A namespace takes more than five seconds to go; some dozen of them go at the same time.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A client of a kubeconfig text.
pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    // A 503 is an answer: tried again in silence, it takes a minute.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Every object of every kind that can be listed, as `kind.group/namespace/name`, but events and
/// leases, and the objects of groups that do not answer.
pub async fn inventory(client: &Client) -> BTreeSet<String> {
    objects(client).await.into_keys().collect()
}

/// Waits until a cluster holds what it held before, for what its own controllers collect a moment
/// later.
///
/// # Panics
/// It does not, with the difference.
pub async fn until_as_before(client: &Client, before: &BTreeSet<String>) {
    let ends = tokio::time::Instant::now() + PATIENCE;
    loop {
        let now = inventory(client).await;
        if now == *before {
            return;
        }
        if tokio::time::Instant::now() > ends {
            let left: Vec<_> = now.difference(before).collect();
            let lost: Vec<_> = before.difference(&now).collect();
            panic!("left behind: {left:?}; lost: {lost:?}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Removes whatever was not there before, with the finalizers that nobody serves.
pub async fn remove(client: &Client, before: &BTreeSet<String>) {
    let ends = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut left = objects(client).await;
        left.retain(|name, _| !before.contains(name));
        if left.is_empty() {
            return;
        }
        assert!(
            tokio::time::Instant::now() < ends,
            "cannot be removed: {:?}",
            left.into_keys()
        );
        for found in left.into_values() {
            let api: Api<DynamicObject> = match &found.namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &found.resource),
                None => Api::all_with(client.clone(), &found.resource),
            };
            // What goes wrong here is seen in the next round.
            if !found.going {
                let _ = api.delete(&found.name, &DeleteParams::background()).await;
            } else if !["Namespace", "CustomResourceDefinition"]
                .contains(&found.resource.kind.as_str())
            {
                let free = Patch::Merge(serde_json::json!({"metadata": {"finalizers": null}}));
                let _ = api.patch(&found.name, &Default::default(), &free).await;
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

struct Found {
    resource: ApiResource,
    namespace: Option<String>,
    name: String,
    /// Its deletion was asked for.
    going: bool,
}

async fn objects(client: &Client) -> BTreeMap<String, Found> {
    let mut found = BTreeMap::new();
    for resource in listable(client).await {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let list = match api.list_metadata(&ListParams::default()).await {
            Ok(list) => list,
            // Its definition went between the two questions.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(error) => panic!("list {}: {error}", resource.kind),
        };
        for object in list {
            let object = object.metadata;
            let name = object.name.unwrap_or_default();
            let key = format!(
                "{}.{}/{}/{name}",
                resource.kind,
                resource.group,
                object.namespace.as_deref().unwrap_or_default()
            );
            let entry = Found {
                resource: resource.clone(),
                namespace: object.namespace,
                name,
                going: object.deletion_timestamp.is_some(),
            };
            found.insert(key, entry);
        }
    }
    found
}

/// Kinds that can be listed, in the version their group recommends.
async fn listable(client: &Client) -> Vec<ApiResource> {
    let groups = client.list_api_groups().await.unwrap();
    let names = groups.groups.into_iter().map(|group| group.name);
    let mut resources = vec![];
    for name in names.chain([ApiGroup::CORE_GROUP.to_owned()]) {
        // An aggregated API whose server is absent, or a group that just went.
        let Ok(group) = kube::discovery::group(client, &name).await else {
            continue;
        };
        let listed = group.recommended_resources().into_iter();
        resources.extend(listed.filter_map(|(resource, capabilities)| {
            let told = ["Event", "Lease"].contains(&resource.kind.as_str());
            (capabilities.supports_operation(verbs::LIST) && !told).then_some(resource)
        }));
    }
    resources
}

/// Names of ConfigMaps in namespace `shop`, without those Kubernetes makes.
pub async fn config_maps(client: &Client) -> BTreeSet<String> {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), "shop");
    let list = api.list(&ListParams::default()).await.unwrap();
    let names = list.items.into_iter().filter_map(|o| o.metadata.name);
    names.filter(|n| n != "kube-root-ca.crt").collect()
}
