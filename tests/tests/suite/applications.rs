//! Real applications in and out, twice in a row; and nothing of them in histories or logs.

use futures_util::future::join_all;
use proto::v1::ResourceState as R;
use std::path::{Path, PathBuf};
use tests::{
    At, Stack,
    clusters::{client, inventory, until_as_before},
    documents::{App, config_map, on},
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

/// A word that nobody would write by chance.
const MARKER: &str = "zq7-planted-marker";

#[tokio::test(flavor = "multi_thread")]
async fn planted_markers_are_in_no_history_log_event_or_error_and_no_event_is_large() {
    let stack = Stack::start(2).await;
    let secret = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{password: {MARKER}-secret}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{key: {MARKER}-config}}\n"
    );
    // Refused by the server, which quotes the value in its answer.
    let refused = format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: bad}}\nspec:\n  selector: {{matchLabels: {{app: bad}}}}\n  template:\n    metadata: {{labels: {{app: {MARKER}-value}}}}\n    spec: {{containers: [{{name: c, image: i}}]}}\n"
    );
    let kube = client(&stack.host.cluster("c1").unwrap().kubeconfig).await;
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::default_namespaced(kube);
    let object: serde_json::Value = serde_yaml_ng::from_str(&refused).unwrap();
    let apply = kube::api::PatchParams::apply("plain");
    let said = api
        .patch("bad", &apply, &kube::api::Patch::Apply(&object))
        .await
        .unwrap_err();
    assert!(
        said.to_string().contains(MARKER),
        "the server does not quote: {said}"
    );
    let many: String = (0..1_500).map(|i| config_map(&format!("m{i}"))).collect();
    let apps = [
        App::new("a", secret),
        App::new("b", refused),
        App::new("c", many),
    ];
    let dig = stack.approved("x", &apps, &on(&["c1"])).await;
    let context = dig.instantiate().await.unwrap().context_id;
    let status = dig
        .until_context(proto::v1::ContextState::InstantiateFailed)
        .await;
    assert_eq!(status.state("c1", "bad"), R::Failed);
    assert!(status.resource("c1", "bad").last_error.is_some());
    dig.terminate().await.unwrap();
    dig.until_terminated().await;

    let tokens: Vec<String> = stack.host.clusters().into_iter().map(|c| c.token).collect();
    let mut planted: Vec<&str> = vec![MARKER];
    planted.extend(tokens.iter().map(String::as_str));
    let clean = |what: &str, bytes: &[u8]| {
        for marker in &planted {
            let hit = bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
            assert!(!hit, "a planted marker is in {what}");
        }
    };
    let temporal = stack.temporal.client().await.unwrap();
    let history = temporal
        .history_json(&format!("dig/p/x/{context}"))
        .await
        .unwrap();
    clean("the history", &history);
    let parsed: serde_json::Value = serde_json::from_slice(&history).unwrap();
    for event in parsed["events"].as_array().unwrap() {
        assert!(
            event.to_string().len() < 64 << 10,
            "an event of {} bytes",
            event.to_string().len()
        );
    }
    clean("the events", format!("{:?}", dig.events().await).as_bytes());
    clean("the errors", format!("{status:?}").as_bytes());
    clean("the status", format!("{:?}", dig.status().await).as_bytes());
    let logged = tests::logs::so_far();
    assert!(
        !logged.is_empty(),
        "nothing was logged: the check would see nothing"
    );
    clean("the logs", &logged);
    let mut files: Vec<PathBuf> = std::fs::read_dir(stack.dir.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    files.retain(|f| !f.ends_with("muster.key"));
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        clean(&name, &std::fs::read(&file).unwrap());
    }
    stack.end().await;
}
