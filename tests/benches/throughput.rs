//! Objects per second instantiated and terminated, beside a plain `kube` loop that applies and
//! deletes the same objects on the same sandbox clusters, 32 requests at a time, in the same run.
//!
//! `cargo bench -p muster-tests --bench throughput [-- CLUSTERS OBJECTS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use std::{future::Future, time::Instant};
use tests::{
    Stack, clusters,
    documents::{App, on},
    plain::{self, AT_A_TIME},
};

async fn seconds(work: impl Future<Output = ()>) -> f64 {
    let start = Instant::now();
    work.await;
    start.elapsed().as_secs_f64()
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

#[tokio::main]
async fn main() {
    tests::logs::capture_as_usual();
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
        let app = App::new("a", (0..size).map(plain::manifest).collect::<String>());
        let dig = stack.approved(&name, &[app], &on(&names)).await;
        let (mut apply, mut delete, mut instantiate, mut terminate) =
            (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds {
            apply.push(seconds(plain::apply(&clients, "plain", size)).await);
            delete.push(seconds(plain::delete(&clients, "plain", size)).await);
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
