//! The other side of the story: what the clusters themselves say is there.

use crate::endpoints::Cluster;
use anyhow::Context;
use kube::{
    Api, Client, Config,
    api::{DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
    discovery::{Discovery, verbs},
};
use std::collections::BTreeSet;

/// On every object of a context.
const CONTEXT: &str = "muster.dev/context";
/// On what contexts share: Namespaces, CustomResourceDefinitions.
const INSTALLATION: &str = "muster.dev/installation";

/// One object with one of our labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// Absent on shared ones.
    pub context: Option<String>,
    /// A cluster's own controllers made it (pods of a deployment).
    pub owned: bool,
}

/// Lists every kind the cluster serves for objects with one of our labels.
pub async fn list(cluster: &Cluster) -> anyhow::Result<BTreeSet<Found>> {
    let of = || format!("list the objects of {}", cluster.id);
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).with_context(of)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(of)?;
    let client = Client::try_from(config).with_context(of)?;
    let discovery = Discovery::new(client.clone())
        .run()
        .await
        .with_context(of)?;
    let mut found = BTreeSet::new();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            for label in [CONTEXT, INSTALLATION] {
                let listed = match api
                    .list_metadata(&ListParams::default().labels(label))
                    .await
                {
                    Ok(listed) => listed,
                    // Aggregated APIs without a backend.
                    Err(kube::Error::Api(status)) if status.code == 404 || status.code == 503 => {
                        continue;
                    }
                    Err(error) => return Err(error).with_context(of),
                };
                found.extend(listed.items.into_iter().map(|object| {
                    let meta = object.metadata;
                    Found {
                        kind: resource.kind.clone(),
                        namespace: meta.namespace.unwrap_or_default(),
                        name: meta.name.unwrap_or_default(),
                        context: meta.labels.and_then(|mut labels| labels.remove(CONTEXT)),
                        owned: meta
                            .owner_references
                            .is_some_and(|owners| !owners.is_empty()),
                    }
                }));
            }
        }
    }
    Ok(found)
}
