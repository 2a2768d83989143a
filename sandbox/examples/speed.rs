//! How fast one simulated cluster answers, in this process: `cargo run --release -p muster-sandbox --example speed`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints and stops at the first failure"
)]

use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use sandbox::kube::{Cluster, ClusterConfig};

const COUNT: usize = 10_000;

async fn all(
    name: &str,
    cluster: &Cluster,
    method: &str,
    object: impl Fn(usize) -> String,
    query: &str,
) {
    let began = Instant::now();
    for at in 0..COUNT {
        let path = format!("/api/v1/namespaces/default/configmaps/m{at}{query}");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/apply-patch+yaml");
        let response = cluster
            .handle(request.body(Bytes::from(object(at))).unwrap())
            .await;
        assert!(
            response.status().is_success(),
            "{:?}",
            response.into_body().collect().await.unwrap().to_bytes()
        );
    }
    println!(
        "{name:<28} {:>8.0}/s",
        COUNT as f64 / began.elapsed().as_secs_f64()
    );
}

fn config_map(at: usize, value: &str) -> String {
    format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"m{at}\",\"labels\":{{\"a\":\"b\",\"c\":\"d\"}}}},\
         \"data\":{{\"k\":\"{value}\",\"l\":\"{}\"}}}}",
        "x".repeat(500)
    )
}

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or_default()
        .to_owned();
    line.split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

#[tokio::main]
async fn main() {
    let (before, began) = (memory(), Instant::now());
    let clusters: Vec<Cluster> = (0..500)
        .map(|at| Cluster::open(&format!("c{at}"), None, ClusterConfig::default()).unwrap())
        .collect();
    println!(
        "{} clusters opened in {:?}, {} KiB each",
        clusters.len(),
        began.elapsed(),
        (memory() - before) / 500
    );
    drop(clusters);
    let dir = std::env::temp_dir().join(format!("sandbox-speed-{}", std::process::id()));
    for (name, dir) in [("in memory", None), ("with journal", Some(dir.as_path()))] {
        println!("{name}");
        let cluster = Cluster::open("speed", dir, ClusterConfig::default()).unwrap();
        let query = "?fieldManager=muster";
        all(
            "apply, new",
            &cluster,
            "PATCH",
            |at| config_map(at, "1"),
            query,
        )
        .await;
        all(
            "apply, unchanged",
            &cluster,
            "PATCH",
            |at| config_map(at, "1"),
            query,
        )
        .await;
        all(
            "apply, changed",
            &cluster,
            "PATCH",
            |at| config_map(at, "2"),
            query,
        )
        .await;
        all("get", &cluster, "GET", |_| String::new(), "").await;
        let began = Instant::now();
        let list = Request::get("/api/v1/configmaps")
            .body(Bytes::new())
            .unwrap();
        let bytes = cluster
            .handle(list)
            .await
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len();
        println!(
            "list of {COUNT}, {} KiB: {:?}",
            bytes / 1024,
            began.elapsed()
        );
        all("delete", &cluster, "DELETE", |_| String::new(), "").await;
    }
    let _ = std::fs::remove_dir_all(&dir);
}
