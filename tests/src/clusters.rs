//! What is on a cluster, read by a Kubernetes client.

use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
    discovery::{Discovery, verbs},
};
use std::collections::BTreeSet;

/// A client of a kubeconfig text.
pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

/// Every object of every kind that can be listed, as `kind/namespace/name`, but events and leases.
pub async fn inventory(client: &Client) -> BTreeSet<String> {
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let mut found = BTreeSet::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST)
                || ["Event", "Lease"].contains(&resource.kind.as_str())
            {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for object in api.list_metadata(&ListParams::default()).await.unwrap() {
                let namespace = object.metadata.namespace.unwrap_or_default();
                found.insert(format!(
                    "{}/{namespace}/{}",
                    resource.kind,
                    object.metadata.name.unwrap_or_default()
                ));
            }
        }
    }
    found
}

/// Names of ConfigMaps in namespace `shop`, without those Kubernetes makes.
pub async fn config_maps(client: &Client) -> BTreeSet<String> {
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(client.clone(), "shop");
    let list = api.list(&ListParams::default()).await.unwrap();
    let names = list.items.into_iter().filter_map(|o| o.metadata.name);
    names.filter(|n| n != "kube-root-ca.crt").collect()
}
