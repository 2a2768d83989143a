//! A plain `kube` loop: what benchmarks compare with.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};

/// Requests of the loop in flight, over all clusters.
pub const AT_A_TIME: usize = 32;

fn filler() -> String {
    "x".repeat(2_000)
}

/// The `i`th ConfigMap of 2 KB, as a document.
pub fn manifest(i: usize) -> String {
    let filler = filler();
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{i}}}\ndata: {{key: {filler}}}\n"
    )
}

/// Applies `objects` ConfigMaps on every cluster.
pub async fn apply(clients: &[Client], namespace: &str, objects: usize) {
    let filler = filler();
    let work = (0..objects).flat_map(|i| clients.iter().map(move |c| (c.clone(), i)));
    stream::iter(work)
        .for_each_concurrent(AT_A_TIME, |(client, i)| {
            let object = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("m{i}"), "labels": {"plain": "loop"}},
                "data": {"key": filler},
            });
            async move {
                let api: Api<ConfigMap> = Api::namespaced(client, namespace);
                let params = PatchParams::apply("plain");
                let patch = Patch::Apply(&object);
                api.patch(&format!("m{i}"), &params, &patch).await.unwrap();
            }
        })
        .await;
}

/// Deletes them.
pub async fn delete(clients: &[Client], namespace: &str, objects: usize) {
    let work = (0..objects).flat_map(|i| clients.iter().map(move |c| (c.clone(), i)));
    stream::iter(work)
        .for_each_concurrent(AT_A_TIME, |(client, i)| async move {
            let api: Api<ConfigMap> = Api::namespaced(client, namespace);
            let params = DeleteParams::default();
            api.delete(&format!("m{i}"), &params).await.unwrap();
        })
        .await;
}
