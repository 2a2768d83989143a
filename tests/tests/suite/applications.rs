//! Real applications in and out, twice in a row: in means that every object is ready, as far as it
//! can be.

use futures_util::future::join_all;
use proto::v1::{ContextState, ResourceState as R};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use tests::{
    At, Dig, Stack,
    client::Snapshot,
    clusters::{client, inventory, until_as_before},
    documents::{App, on},
    histories,
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

/// One application on every cluster of a stack.
struct Installed {
    at: At,
    stack: Stack,
    dig: Dig,
    text: String,
    kubes: Vec<kube::Client>,
    /// What the clusters hold without it.
    before: Vec<BTreeSet<String>>,
    /// Of the application, over all clusters.
    objects: usize,
}

impl Installed {
    async fn approved(at: At, file: &str, objects: usize, policy: &str) -> Option<Self> {
        let text = manifest(file)?;
        let clusters = match at {
            At::Sandbox => 3,
            At::RealServers => 2,
        };
        let stack = Stack::at(at, clusters).await?;
        let mut kubes = vec![];
        for cluster in stack.host.clusters() {
            kubes.push(client(&cluster.kubeconfig).await);
        }
        let before = join_all(kubes.iter().map(inventory)).await;
        let dig = stack.dig("x");
        let installed = Self {
            at,
            stack,
            dig,
            text,
            kubes,
            before,
            objects: clusters * objects,
        };
        installed.approve(policy).await;
        Some(installed)
    }

    async fn approve(&self, policy: &str) {
        let clusters = self.stack.host.clusters();
        let names: Vec<_> = clusters.iter().map(|c| c.name.as_str()).collect();
        let spec = format!("{}\n  policy: {{{policy}}}", on(&names));
        let apps = [App::new("a", self.text.clone())];
        self.stack.approved("x", &apps, &spec).await;
    }

    /// Ready, not ready, not there.
    fn all_ready_but(&self, lacking: usize) -> (i64, i64, i64) {
        ((self.objects - lacking) as i64, lacking as i64, 0)
    }

    async fn terminate(&self) {
        self.dig.terminate().await.unwrap();
        let status = self.dig.until_terminated().await;
        assert_eq!(status.count(R::Deleted), self.objects);
        for (kube, before) in self.kubes.iter().zip(&self.before) {
            match self.at {
                At::Sandbox => assert_eq!(inventory(kube).await, *before),
                // What controllers made beside the objects, they collect a moment later.
                At::RealServers => until_as_before(kube, before).await,
            }
        }
    }
}

fn ready_of(status: &Snapshot) -> (i64, i64, i64) {
    let counts = status.head.ready_counts.unwrap_or_default();
    (counts.ready, counts.not_ready, counts.not_present)
}

/// With real rollouts, where there are controllers: pods are put on a node and become ready.
async fn twice(at: At, file: &str, objects: usize) {
    let policy = "waitFor: Ready";
    let Some(x) = Installed::approved(at, file, objects, policy).await else {
        return;
    };
    for _ in 0..2 {
        x.dig.instantiate().await.unwrap();
        let status = x.dig.until_instantiated().await;
        assert_eq!(status.count(R::Applied), x.objects);
        assert_eq!(ready_of(&status), x.all_ready_but(0));
        assert!(
            status.head.problems.is_empty(),
            "{:?}",
            status.head.problems
        );
        x.terminate().await;
    }
    x.stack.end().await;
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

/// Ten definitions of up to 600 KB and what they define, and an aggregated API that nobody serves:
/// from then on its group does not answer. That API is never ready, all the rest is; Instantiated
/// it is for who waits for Applied only.
async fn the_whole_of_kube_prometheus_goes_in_and_out_of_all_clusters_twice(at: At) {
    const API: &str = "APIService/v1beta1.metrics.k8s.io";
    const WHY: &str = "its API is not available: FailedDiscoveryCheck";
    let policy = "waitFor: Ready, readyTimeout: 1h";
    let Some(x) = Installed::approved(at, "kube-prometheus", 131, policy).await else {
        return;
    };
    let clusters = x.kubes.len();
    let only_it = |s: &Snapshot| {
        let said = s.head.problems.iter().all(|p| p.message.contains(WHY));
        ready_of(s) == x.all_ready_but(clusters) && said
    };
    let only_it_waits = |s: &Snapshot| {
        assert_eq!(s.count(R::Applied), x.objects);
        for row in s.resources.iter().filter(|r| r.ready_status != "Ready") {
            assert_eq!(format!("{}/{}", row.kind, row.name), API, "{row:?}");
            let why = row.ready_reason.as_ref().map(|why| &*why.message);
            assert_eq!(why, Some(WHY));
        }
    };
    let is_named = |s: &Snapshot| {
        only_it_waits(s);
        let named: Vec<_> = s.head.problems.iter().map(|p| &*p.resource).collect();
        assert_eq!(named, vec![API; clusters]);
    };
    // While it is waited for, and called off.
    x.dig.instantiate().await.unwrap();
    let status = x.dig.until("all ready but the API", only_it).await;
    is_named(&status);
    let context = status.head.context.as_ref().unwrap();
    assert_eq!(context.state(), ContextState::Instantiating);
    let waits = format!(
        "readiness: {clusters} of {} resources are not ready ({API} on sandbox+c1: {WHY})",
        x.objects
    );
    assert_eq!(context.blocked_by, waits);
    x.terminate().await;
    // And given up.
    x.approve("waitFor: Ready, readyTimeout: 1s").await;
    x.dig.instantiate().await.unwrap();
    x.dig.until_context(ContextState::InstantiateFailed).await;
    is_named(&x.dig.until("all ready but the API", only_it).await);
    x.terminate().await;
    // And not waited for: then it is no problem of the lifecycle.
    x.approve("waitFor: Applied").await;
    x.dig.instantiate().await.unwrap();
    x.dig.until_instantiated().await;
    let status = x.dig.until("all ready but the API", only_it).await;
    only_it_waits(&status);
    let problems = &status.head.problems;
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(status.context(), Some(ContextState::Instantiated));
    x.terminate().await;
    // However large the manifests are, a history holds none of them.
    let runs = histories::of_small_events(&x.stack).await;
    assert_eq!((runs["Instantiate"], runs["Terminate"]), (3, 2), "{runs:?}");
    x.stack.end().await;
}
