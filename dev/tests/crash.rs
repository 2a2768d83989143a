//! SIGKILL of the worker, the api, the Temporal server and of everything, each in the middle of an
//! instantiate and of a terminate: the lifecycle goes on by itself, to the same end. SIGKILL of the
//! worker while readiness is waited for, between Stop and Retry, in the middle of an abandon.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use proto::v1::{
    CollectOrphansRequest, ContextState, DigState, ListOrphansRequest, ResourceState as R,
    collected_orphan::Result as Came, orphan_service_client::OrphanServiceClient,
};
use sandbox::{
    control::Client as Control,
    host::{FaultKind, Verb},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tests::{
    Dig, clusters,
    documents::{self, App, Upload, config_maps, on},
    until,
};
use tonic::transport::Channel;

const CLUSTERS: [&str; 3] = ["c1", "c2", "c3"];
/// ConfigMaps on each cluster.
const EACH: usize = 60;

/// `muster-dev up` in a folder of its own.
struct Up {
    dir: PathBuf,
    dev: Child,
    ready: Value,
}

impl Up {
    async fn start(dir: &Path) -> Self {
        let file = dir.join("ready.json");
        let _ = std::fs::remove_file(&file);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("up.log"))
            .unwrap();
        let dev = Command::new(env!("CARGO_BIN_EXE_muster-dev"))
            .args(["up", "--clusters", "3", "--data-dir"])
            .arg(dir.join("data"))
            .arg("--ready-file")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let ready = until("the stack is up", || async {
            serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
        })
        .await;
        Self {
            dir: dir.to_owned(),
            dev,
            ready,
        }
    }

    fn channel(&self) -> Channel {
        let grpc = self.ready["grpc"].as_str().unwrap();
        let url = if grpc.contains("://") {
            grpc.to_owned()
        } else {
            format!("http://{grpc}")
        };
        Channel::from_shared(url).unwrap().connect_lazy()
    }

    fn control(&self) -> Control {
        Control::from_dir(&self.dir.join("data")).unwrap()
    }

    fn pid(&self, part: &str) -> u64 {
        self.ready["pids"][part].as_u64().unwrap()
    }

    async fn kill(mut self, part: &str) -> Self {
        if part != "all" {
            kill(self.pid(part));
            return self;
        }
        for part in ["dev", "worker", "api", "temporal", "clusters"] {
            kill(self.pid(part));
        }
        self.dev.wait().unwrap();
        let dir = self.dir.clone();
        std::mem::forget(self);
        Self::start(&dir).await
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // SIGTERM: it takes its children with it.
        let _ = Command::new("kill").arg(self.dev.id().to_string()).status();
        let _ = self.dev.wait();
    }
}

fn kill(pid: u64) {
    let _ = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

async fn client(up: &Up, cluster: &str) -> kube::Client {
    let all = up.ready["clusters"].as_array().unwrap();
    let one = all.iter().find(|c| c["name"] == cluster).unwrap();
    let text = std::fs::read_to_string(one["kubeconfig"].as_str().unwrap()).unwrap();
    clusters::client(&text).await
}

async fn names_on(up: &Up, cluster: &str) -> BTreeSet<String> {
    clusters::config_maps(&client(up, cluster).await).await
}

async fn inventories(up: &Up) -> Vec<BTreeSet<String>> {
    let mut all = vec![];
    for cluster in CLUSTERS {
        all.push(clusters::inventory(&client(up, cluster).await).await);
    }
    all
}

async fn fault(up: &Up, cluster: &str, kind: FaultKind) {
    up.control().fault(cluster, &kind.into()).await.unwrap();
}

async fn heal(up: &Up, cluster: &str) {
    up.control().heal(cluster).await.unwrap();
}

async fn latency(up: &Up, ms: u64) {
    for cluster in CLUSTERS {
        if ms == 0 {
            heal(up, cluster).await;
        } else {
            fault(up, cluster, FaultKind::Latency { ms }).await;
        }
    }
}

/// A DIG of one app on all clusters; `policy` with its key and indentation, or nothing.
async fn approved(up: &Up, objects: String, policy: &str) -> Dig {
    let mut upload = Upload::default();
    upload.app("x", "v1", &[App::new("a", objects)]);
    upload.dig("x", &(on(&CLUSTERS) + policy));
    documents::apply(up.channel(), upload).await.unwrap();
    let dig = Dig::new(up.channel(), "x");
    dig.approve().await.unwrap();
    dig
}

fn maps(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|i| format!("m{i}")).collect();
    config_maps(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn killed(part: &str, during_terminate: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let mut dig = approved(&up, maps(EACH), "").await;
    let total = CLUSTERS.len() * EACH;

    latency(&up, 150).await;
    dig.instantiate().await.unwrap();
    dig.until("some Applied", |s| s.count(R::Applied) > 10)
        .await;
    if !during_terminate {
        up = up.kill(part).await;
        dig = Dig::new(up.channel(), "x");
    }
    // A killed cluster process forgets its faults; the others are healed here.
    latency(&up, 0).await;
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), total);
    for cluster in CLUSTERS {
        assert_eq!(names_on(&up, cluster).await.len(), EACH);
    }

    latency(&up, 150).await;
    dig.terminate().await.unwrap();
    dig.until("some Deleted", |s| s.count(R::Deleted) > 10)
        .await;
    if during_terminate {
        up = up.kill(part).await;
        dig = Dig::new(up.channel(), "x");
    }
    latency(&up, 0).await;
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), total);
    for cluster in CLUSTERS {
        assert!(names_on(&up, cluster).await.is_empty());
    }
}

macro_rules! each {
    ($($name:ident: $part:literal, $during:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            killed($part, $during).await;
        }
    )*};
}

each! {
    worker_killed_in_the_middle_of_instantiate: "worker", false;
    worker_killed_in_the_middle_of_terminate: "worker", true;
    api_killed_in_the_middle_of_instantiate: "api", false;
    api_killed_in_the_middle_of_terminate: "api", true;
    temporal_killed_in_the_middle_of_instantiate: "temporal", false;
    temporal_killed_in_the_middle_of_terminate: "temporal", true;
    everything_killed_in_the_middle_of_instantiate: "all", false;
    everything_killed_in_the_middle_of_terminate: "all", true;
}

const NEVER_READY: &str = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: slow}\nspec:\n  selector: {matchLabels: {app: slow}}\n  template:\n    metadata: {labels: {app: slow}, annotations: {sandbox/ready-after: never}}\n    spec: {containers: [{name: c, image: i}]}\n";

/// Lets the pods of the Deployment come up.
async fn mend(up: &Up, cluster: &str) {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    let api: Api<DynamicObject> = Api::namespaced_with(client(up, cluster).await, "shop", &kind);
    let annotations = json!({"sandbox/ready-after": "20ms"});
    let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
    let patched = api
        .patch("slow", &PatchParams::default(), &Patch::Merge(patch))
        .await;
    patched.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_while_readiness_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let before = inventories(&up).await;
    let policy = "\n  policy: {waitFor: Ready, readyTimeout: 1h}";
    let dig = approved(&up, maps(1) + NEVER_READY, policy).await;
    let waits = |s: &tests::client::Snapshot| {
        let said = |c: &proto::v1::ContextStatus| c.blocked_by.starts_with("readiness: 3 of 6 ");
        s.head.context.as_ref().is_some_and(said)
    };
    let context = dig.instantiate().await.unwrap().context_id;
    dig.until("waiting", waits).await;
    up = up.kill("worker").await;
    let [first, others @ ..] = CLUSTERS;
    mend(&up, first).await;
    let status = dig
        .until("the next worker's watchers saw the first one", |s| {
            s.resource(first, "slow").ready_status == "Ready"
        })
        .await;
    assert_eq!(status.context(), Some(ContextState::Instantiating));
    for cluster in others {
        mend(&up, cluster).await;
    }
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 6);
    assert!(status.resources.iter().all(|r| r.ready_status == "Ready"));
    let states = dig.context_states(&context).await;
    assert_eq!(states, ["Instantiating", "Instantiated"]);
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(inventories(&up).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_between_stop_and_retry() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let before = inventories(&up).await;
    let dig = approved(&up, maps(EACH), "").await;
    latency(&up, 150).await;
    dig.instantiate().await.unwrap();
    dig.until("some Applied", |s| s.count(R::Applied) > 10)
        .await;
    dig.stop().await.unwrap();
    up = up.kill("worker").await;
    let stopped = dig.status().await;
    assert_eq!(stopped.dig(), DigState::InstantiateStopped);
    assert_eq!(stopped.context(), Some(ContextState::InstantiateFailed));
    let applied = stopped.count(R::Applied);
    assert!(applied < CLUSTERS.len() * EACH, "not stopped in the middle");
    latency(&up, 0).await;
    dig.retry().await.unwrap();
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), CLUSTERS.len() * EACH);
    for cluster in CLUSTERS {
        assert_eq!(names_on(&up, cluster).await.len(), EACH);
        // What was known to be applied was left alone.
        let log = up.control().log(cluster).await.unwrap();
        let known = |r: &&proto::v1::Resource| {
            r.cluster.ends_with(cluster) && r.deployed_status() == R::Applied
        };
        for row in stopped.resources.iter().filter(known) {
            let name = Some(&*row.name);
            let sent = log.iter().filter(|e| e.name.as_deref() == name);
            let sent = sent.filter(|e| e.verb == Verb::Apply).count();
            assert_eq!(sent, 1, "{} on {cluster}", row.name);
        }
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(inventories(&up).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_in_the_middle_of_an_abandon() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let before = inventories(&up).await;
    let dig = approved(&up, maps(EACH), "").await;
    dig.instantiate().await.unwrap();
    let cluster = dig.until_instantiated().await.resources[0].cluster.clone();
    let (provider, _) = cluster.split_once('+').unwrap();
    latency(&up, 150).await;
    fault(&up, "c1", FaultKind::BlackHole).await;
    dig.terminate().await.unwrap();
    dig.until("some Deleted", |s| s.count(R::Deleted) > 10)
        .await;
    let dead = format!("{provider}+c1");
    dig.abandon(&[&dead]).await.unwrap();
    up = up.kill("worker").await;
    let status = dig.until_terminated().await;
    for row in &status.resources {
        let abandoned = row.kept.starts_with("abandoned");
        assert_eq!(abandoned, row.cluster == dead, "{row:?}");
    }
    latency(&up, 0).await;
    let now = inventories(&up).await;
    assert_eq!(now[1..], before[1..]);
    // The ledger names exactly what is left, and is worked off.
    let mut ledger = OrphanServiceClient::new(up.channel());
    let list = ListOrphansRequest::default();
    let listed = ledger.list_orphans(list).await.unwrap().into_inner();
    let names: BTreeSet<String> = listed.orphans.into_iter().map(|o| o.object).collect();
    let mut left = names_on(&up, "c1").await;
    assert_eq!(left.len(), EACH);
    left.insert("shop".into());
    assert_eq!(names, left);
    let collect = CollectOrphansRequest {
        cluster: dead,
        request_id: "once".into(),
        ..Default::default()
    };
    until("everything is collected", || async {
        let answer = ledger.clone().collect_orphans(collect.clone()).await;
        let came = answer.unwrap().into_inner().orphans;
        let over = came.iter().all(|one| one.result() == Came::Over);
        over.then_some(())
    })
    .await;
    assert_eq!(inventories(&up).await, before);
}
