//! The other side of the story: what the clusters themselves say is there.

use crate::endpoints::Cluster;
use anyhow::Context;
use kube::{
    Api, Client, Config, Error,
    api::{ApiResource, DynamicObject, ListParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{collections::BTreeSet, time::Duration};

/// On every object of a context.
const CONTEXT: &str = "muster.dev/context";
/// On what contexts share: Namespaces, CustomResourceDefinitions.
const INSTALLATION: &str = "muster.dev/installation";
const PATIENCE: Duration = Duration::from_secs(60);

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
    tokio::time::timeout(PATIENCE, list_all(cluster))
        .await
        .map_err(anyhow::Error::from)
        .and_then(|listed| listed)
        .with_context(|| format!("list the objects of {}", cluster.id))
}

async fn list_all(cluster: &Cluster) -> anyhow::Result<BTreeSet<Found>> {
    let client = client(cluster).await?;
    let mut found = BTreeSet::new();
    for resource in kinds(&client).await? {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for label in [CONTEXT, INSTALLATION] {
            let listed = api
                .list_metadata(&ListParams::default().labels(label))
                .await;
            for object in served(listed)?.into_iter().flatten() {
                let meta = object.metadata;
                found.insert(Found {
                    kind: resource.kind.clone(),
                    namespace: meta.namespace.unwrap_or_default(),
                    name: meta.name.unwrap_or_default(),
                    context: meta.labels.and_then(|mut labels| labels.remove(CONTEXT)),
                    owned: meta
                        .owner_references
                        .is_some_and(|owners| !owners.is_empty()),
                });
            }
        }
    }
    Ok(found)
}

async fn client(cluster: &Cluster) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig)?;
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    // Groups whose backend is down answer 503 for as long as one likes to ask.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Every kind that can be listed, each group in its preferred version. Groups that do not answer
/// are aggregated ones without a backend, which hold nothing.
async fn kinds(client: &Client) -> anyhow::Result<Vec<ApiResource>> {
    let mut lists = vec![("v1".to_owned(), client.list_core_api_resources("v1").await?)];
    for group in client.list_api_groups().await?.groups {
        let Some(version) = group
            .preferred_version
            .or(group.versions.into_iter().next())
        else {
            continue;
        };
        let version = version.group_version;
        if let Some(list) = served(client.list_api_group_resources(&version).await)? {
            lists.push((version, list));
        }
    }
    let mut kinds = Vec::new();
    for (api_version, list) in lists {
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        for resource in list.resources {
            let listable = resource.verbs.iter().any(|verb| verb == "list");
            if listable && !resource.name.contains('/') {
                kinds.push(ApiResource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    api_version: api_version.clone(),
                    kind: resource.kind,
                    plural: resource.name,
                });
            }
        }
    }
    Ok(kinds)
}

/// `None` when the server does not serve it (now).
fn served<T>(result: kube::Result<T>) -> kube::Result<Option<T>> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(Error::Api(status)) if status.code == 404 || status.code == 503 => Ok(None),
        Err(error) => Err(error),
    }
}
