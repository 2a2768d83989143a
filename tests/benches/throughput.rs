//! Objects per second instantiated and terminated, beside a plain `kube` loop that applies and
//! deletes the same objects on the same sandbox clusters, 32 requests at a time, in the same run.
//!
//! `cargo bench -p muster-tests --bench throughput [-- CLUSTERS OBJECTS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use futures_util::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use std::{future::Future, time::Instant};
use tests::{
    Stack, clusters,
    documents::{App, on},
};

/// Requests of the plain loop in flight, over all clusters.
const AT_A_TIME: usize = 32;

fn manifest(i: usize) -> String {
    let filler = "x".repeat(2_000);
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{i}}}\ndata: {{key: {filler}}}\n"
    )
}

async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    work.await;
    start.elapsed().as_secs_f64()
}

async fn plain_apply(clients: &[Client], objects: usize) {
    let filler = "x".repeat(2_000);
    let work = (0..objects).flat_map(|i| clients.iter().map(move |c| (c.clone(), i)));
    stream::iter(work)
        .for_each_concurrent(AT_A_TIME, |(client, i)| {
            let object = serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": format!("m{i}"), "labels": {"plain": "loop"}},
                "data": {"key": filler},
            });
            async move {
                let api: Api<ConfigMap> = Api::namespaced(client, "plain");
                api.patch(
                    &format!("m{i}"),
                    &PatchParams::apply("plain"),
                    &Patch::Apply(&object),
                )
                .await
                .unwrap();
            }
        })
        .await;
}

async fn plain_delete(clients: &[Client], objects: usize) {
    let work = (0..objects).flat_map(|i| clients.iter().map(move |c| (c.clone(), i)));
    stream::iter(work)
        .for_each_concurrent(AT_A_TIME, |(client, i)| async move {
            let api: Api<ConfigMap> = Api::namespaced(client, "plain");
            api.delete(&format!("m{i}"), &DeleteParams::default())
                .await
                .unwrap();
        })
        .await;
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let (count, sizes, rounds) = match numbers[..] {
        [clusters, objects, rounds] => (clusters, vec![objects], rounds),
        _ => (10, vec![200, 1_000], 3),
    };
    let stack = Stack::start(count).await;
    let names: Vec<String> = (1..=count).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut clients = vec![];
    for name in &names {
        let client = clusters::client(&stack.host.cluster(name).unwrap().kubeconfig).await;
        let namespace: Namespace =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "plain"}})).unwrap();
        Api::all(client.clone())
            .create(&Default::default(), &namespace)
            .await
            .unwrap();
        clients.push(client);
    }
    println!(
        "| clusters × objects | | plain loop, {AT_A_TIME} at a time | Muster | ratio |\n|---|---|---|---|---|"
    );
    for size in sizes {
        let name = format!("bench-{size}");
        let app = App::new("a", (0..size).map(manifest).collect::<String>());
        let dig = stack.approved(&name, &[app], &on(&names)).await;
        let (mut apply, mut delete, mut instantiate, mut terminate) =
            (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            apply.push(seconds(plain_apply(&clients, size)).await);
            delete.push(seconds(plain_delete(&clients, size)).await);
            instantiate.push(
                seconds(async {
                    dig.instantiate().await.unwrap();
                    dig.until_settled().await;
                })
                .await,
            );
            terminate.push(
                seconds(async {
                    dig.terminate().await.unwrap();
                    dig.until_settled().await;
                })
                .await,
            );
        }
        let total = (size * count) as f64;
        for (what, plain, muster) in [
            ("instantiate", apply, instantiate),
            ("terminate", delete, terminate),
        ] {
            let (plain, muster) = (median(plain), median(muster));
            println!(
                "| {count} × {size} | {what} | {plain:.2} s ({:.0}/s) | {muster:.2} s ({:.0}/s) | {:.2} |",
                total / plain,
                total / muster,
                muster / plain
            );
        }
    }
    stack.end().await;
}
