//! Real applications in and out, twice in a row.

use futures_util::future::join_all;
use proto::v1::ResourceState as R;
use std::path::{Path, PathBuf};
use tests::{
    At, Stack,
    clusters::{client, inventory, until_as_before},
    documents::{App, on},
};

everywhere! {
    online_boutique_goes_in_and_out_of_all_clusters_twice,
    guestbook_goes_in_and_out_of_all_clusters_twice,
    ingress_nginx_goes_in_and_out_of_all_clusters_twice,
    the_whole_of_kube_prometheus_goes_in_and_out_of_all_clusters_twice,
}

/// Manifests that others wrote, a file or a folder with all below it; `MUSTER_SHARED` names the
/// folder they are in.
fn manifest(name: &str) -> Option<String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let shared =
        std::env::var_os("MUSTER_SHARED").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    let path = shared.join("data/manifests").join(name);
    let text = read(&path).ok();
    if text.is_none() {
        assert!(
            std::env::var_os("MUSTER_REQUIRE_ALL").is_none(),
            "{} is absent",
            path.display()
        );
        skipped(&format!(
            "{} is absent; name its folder with MUSTER_SHARED",
            path.display()
        ));
    }
    text
}

fn read(path: &Path) -> std::io::Result<String> {
    if !path.is_dir() {
        return std::fs::read_to_string(path);
    }
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect();
    let mut entries = entries?;
    entries.sort();
    let texts: std::io::Result<Vec<_>> = entries.iter().map(|entry| read(entry)).collect();
    Ok(texts?.join("\n---\n"))
}

#[allow(clippy::print_stderr, reason = "a skip is said")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

async fn twice(at: At, file: &str, objects: usize) {
    let Some(text) = manifest(file) else { return };
    let clusters = match at {
        At::Sandbox => &["c1", "c2", "c3"][..],
        At::RealServers => &["c1", "c2"],
    };
    let Some(stack) = Stack::at(at, clusters.len()).await else {
        return;
    };
    let mut kubes = vec![];
    for c in clusters {
        kubes.push(client(&stack.host.cluster(c).unwrap().kubeconfig).await);
    }
    let before = join_all(kubes.iter().map(inventory)).await;
    let dig = stack
        .approved("x", &[App::new("a", text)], &on(clusters))
        .await;
    for _ in 0..2 {
        dig.instantiate().await.unwrap();
        let status = dig.until_instantiated().await;
        assert_eq!(
            status.count(R::Applied),
            clusters.len() * objects,
            "{:?}",
            status.head.deployed_counts
        );
        dig.terminate().await.unwrap();
        let status = dig.until_terminated().await;
        assert_eq!(status.count(R::Deleted), clusters.len() * objects);
        for (kube, before) in kubes.iter().zip(&before) {
            match at {
                At::Sandbox => assert_eq!(inventory(kube).await, *before),
                // What controllers made beside the objects, they collect a moment later.
                At::RealServers => until_as_before(kube, before).await,
            }
        }
    }
    stack.end().await;
}

async fn online_boutique_goes_in_and_out_of_all_clusters_twice(at: At) {
    twice(at, "online-boutique.yaml", 35).await;
}

async fn guestbook_goes_in_and_out_of_all_clusters_twice(at: At) {
    twice(at, "guestbook.yaml", 6).await;
}

async fn ingress_nginx_goes_in_and_out_of_all_clusters_twice(at: At) {
    twice(at, "ingress-nginx.yaml", 19).await;
}

/// Ten definitions of up to 600 KB and what they define, and an aggregated API that nobody serves: from then on its group does not answer.
async fn the_whole_of_kube_prometheus_goes_in_and_out_of_all_clusters_twice(at: At) {
    twice(at, "kube-prometheus", 131).await;
}
