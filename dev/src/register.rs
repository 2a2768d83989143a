//! Registering the stack's clusters: as a client would, through the api; into the store where the
//! api is left to be started by hand.

use crate::endpoints::Cluster;
use anyhow::Context;
use model::ids::ClusterId;
use proto::v1::{
    ApplyHeader, ApplyRequest, EntryChunk, ListClustersRequest, SourceChunk, apply_request::Part,
    document_service_client::DocumentServiceClient,
};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use store::{DocumentSet, RequestMeta, Store};
use tonic::{Code, transport::Channel};

const SOURCE: &str = "muster-dev";
/// What the api takes in one chunk.
const CHUNK: usize = 1 << 20;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Labels of sandbox clusters, in turn.
const ZONES: [&str; 3] = ["z1", "z2", "z3"];

/// The `Cluster` document of one of ours; the kubeconfig travels beside it.
pub fn document(cluster: &Cluster, number: usize) -> Value {
    let provider = cluster.id.split('+').next().unwrap_or_default();
    let labels = if provider == "sandbox" {
        json!({"sandbox": "true", "zone": ZONES[number % ZONES.len()]})
    } else {
        json!({"real": "true"})
    };
    json!({
        "apiVersion": "muster.dev/v1",
        "kind": "Cluster",
        "metadata": {"name": cluster.name, "provider": provider, "labels": labels},
        "spec": {"kubeconfig": cluster.kubeconfig},
    })
}

/// Registers all in one upload, waiting for an api that is not there yet. What is registered
/// already, unchanged, stays as it is.
pub async fn register(grpc: &str, clusters: &[Cluster]) -> anyhow::Result<()> {
    let mut client = answering(grpc).await?;
    if clusters.is_empty() {
        return Ok(());
    }
    let parts = upload(clusters)?;
    let stream = futures_util::stream::iter(
        parts
            .into_iter()
            .map(|part| ApplyRequest { part: Some(part) }),
    );
    client
        .apply(stream)
        .await
        .map_err(|status| anyhow::anyhow!("{}", status.message()))
        .context("register the clusters")?;
    Ok(())
}

/// Registers all in the store itself: whoever starts an api on it finds them.
pub async fn register_in_store(
    store: &str,
    key_file: &Path,
    clusters: &[Cluster],
) -> anyhow::Result<()> {
    let key = store::SealKey::read(key_file)?;
    let store = Store::open(store, key).await.context("open the store")?;
    let mut set = DocumentSet {
        clusters: Vec::new(),
        apps: Vec::new(),
        digs: Vec::new(),
    };
    for (number, cluster) in clusters.iter().enumerate() {
        let document = document(cluster, number);
        let (provider, name) = cluster.id.split_once('+').unwrap_or(("", &cluster.id));
        let registered = model::document::Cluster {
            id: ClusterId {
                provider: provider.to_owned(),
                name: name.to_owned(),
            },
            labels: serde_json::from_value(document["metadata"]["labels"].clone())?,
            context: None,
            kubeconfig: cluster.kubeconfig.display().to_string(),
        };
        let kubeconfig = std::fs::read_to_string(&cluster.kubeconfig)
            .with_context(|| format!("read {}", cluster.kubeconfig.display()))?;
        set.clusters.push((registered, kubeconfig));
    }
    let meta = RequestMeta {
        actor: SOURCE.to_owned(),
        ..RequestMeta::default()
    };
    store
        .apply_documents(set, false, &meta)
        .await
        .context("register the clusters")?;
    Ok(())
}

/// A client of the api, once its store is open.
async fn answering(grpc: &str) -> anyhow::Result<DocumentServiceClient<Channel>> {
    loop {
        if let Ok(mut client) = DocumentServiceClient::connect(grpc.to_owned()).await {
            match client.list_clusters(ListClustersRequest::default()).await {
                Ok(_) => return Ok(client),
                Err(status) if status.code() == Code::Unavailable => {}
                Err(status) => anyhow::bail!("the api at {grpc}: {}", status.message()),
            }
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn upload(clusters: &[Cluster]) -> anyhow::Result<Vec<Part>> {
    let mut parts = vec![Part::Header(ApplyHeader::default())];
    let mut text = String::new();
    for (number, cluster) in clusters.iter().enumerate() {
        if number > 0 {
            text.push_str("---\n");
        }
        text.push_str(&serde_yaml_ng::to_string(&document(cluster, number))?);
    }
    for (data, last) in chunks(text.as_bytes()) {
        parts.push(Part::Source(SourceChunk {
            source: SOURCE.to_owned(),
            data: data.into(),
            last,
        }));
    }
    for (number, cluster) in clusters.iter().enumerate() {
        let path = &cluster.kubeconfig;
        let kubeconfig = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        for (data, last) in chunks(&kubeconfig) {
            parts.push(Part::Entry(EntryChunk {
                source: SOURCE.to_owned(),
                document: u32::try_from(number + 1)?,
                field: "spec.kubeconfig".to_owned(),
                file: path.display().to_string(),
                data: data.into(),
                last,
            }));
        }
    }
    Ok(parts)
}

fn chunks(data: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let pieces: Vec<&[u8]> = data.chunks(CHUNK).collect();
    let count = pieces.len();
    let last = |at: usize| at + 1 == count;
    pieces
        .into_iter()
        .enumerate()
        .map(|(at, piece)| (piece.to_vec(), last(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    fn cluster(id: &str) -> Cluster {
        let name = id.split('+').nth(1).unwrap().to_owned();
        Cluster {
            id: id.to_owned(),
            kubeconfig: format!("/d/{name}.yaml").into(),
            name,
        }
    }

    #[test]
    fn sandbox_clusters_get_zones_in_turn_and_real_ones_say_so() {
        let labels =
            |id: &str, number| document(&cluster(id), number)["metadata"]["labels"].clone();
        assert_eq!(
            labels("sandbox+c1", 0),
            json!({"sandbox": "true", "zone": "z1"})
        );
        assert_eq!(labels("sandbox+c3", 2)["zone"], "z3");
        assert_eq!(labels("sandbox+c4", 3)["zone"], "z1");
        assert_eq!(labels("real+edge", 4), json!({"real": "true"}));
    }

    #[test]
    fn an_upload_is_a_header_then_sources_then_entries() {
        let folder = tempfile::tempdir().unwrap();
        let mut one = cluster("sandbox+c1");
        one.kubeconfig = folder.path().join("c1.yaml");
        std::fs::write(&one.kubeconfig, vec![b'x'; CHUNK + 1]).unwrap();
        let parts = upload(&[one]).unwrap();
        assert!(matches!(parts[0], Part::Header(_)));
        assert!(matches!(&parts[1], Part::Source(s) if s.last));
        assert!(matches!(&parts[2], Part::Entry(e) if !e.last && e.document == 1));
        assert!(matches!(&parts[3], Part::Entry(e) if e.last && e.data.len() == 1));
        assert_eq!(parts.len(), 4);
    }
}
