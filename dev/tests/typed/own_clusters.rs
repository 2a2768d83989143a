//! A real cluster beside sandbox clusters, as `muster-dev up --cluster` takes it.

use crate::terminal::{Machine, states};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tests::{
    clusters::{client, inventory, until_as_before},
    control_plane::{ControlPlane, Part, Profile},
    sockets::{self, Socket},
};

const DOCUMENTS: &str = r#"apiVersion: muster.dev/v1
kind: CompositeApp
metadata: {project: p, name: site, version: v1}
spec: {apps: [{name: web, manifests: [./web.yaml]}]}
---
apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata: {project: p, name: site}
spec:
  compositeApp: {name: site, version: v1}
  namespace: site
  placement: [{app: web, allOf: [{label: real=true}, {label: zone=z1}]}]
  policy: {waitFor: Ready, retry: {initialInterval: 200ms, backoff: 1}}
"#;

const WEB: &str = r"apiVersion: v1
kind: ConfigMap
metadata: {name: page}
data: {text: hello}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: none}]}
";

/// Applies of the log of a cluster, by name.
fn applied(machine: &Machine, cluster: &str) -> Vec<String> {
    let text = machine.type_line(&format!("muster-dev sandbox log {cluster} -o json"));
    let log: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ours = log.iter().filter(|entry| entry["verb"] == "apply");
    ours.filter_map(|entry| entry["name"].as_str().map(str::to_owned))
        .collect()
}

/// Looks at the sockets of processes again and again.
struct Lookout {
    over: Arc<AtomicBool>,
    looks: JoinHandle<BTreeSet<(u32, Socket)>>,
}

impl Lookout {
    fn begin(pids: Vec<u32>) -> Self {
        const PACE: Duration = Duration::from_millis(20);
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let looks = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !ends.load(Ordering::Relaxed) {
                seen.extend(sockets::of(&pids));
                std::thread::sleep(PACE);
            }
            seen
        });
        Self { over, looks }
    }

    /// All that was seen.
    fn end(self) -> BTreeSet<(u32, Socket)> {
        self.over.store(true, Ordering::Relaxed);
        self.looks.join().unwrap()
    }
}

/// Every process of the stack and of the control plane, by name.
fn processes(ready: &Value, plane: &ControlPlane) -> Vec<(String, u32)> {
    let pids = ready["pids"].as_object().unwrap().iter();
    let ours = pids.map(|(name, pid)| (name.clone(), pid.as_u64().unwrap().try_into().unwrap()));
    let parts = Part::ALL.iter();
    let theirs = parts.map(|part| (part.name().to_owned(), plane.pid(*part).unwrap()));
    ours.chain(theirs).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_on_a_real_cluster_and_a_sandbox_cluster_comes_and_goes_and_the_real_one_can_be_cut()
{
    let Some(plane) = ControlPlane::start("edge", Profile::Whole).await else {
        return;
    };
    let mut machine = Machine::new(&[]);
    machine.export("export PATH=$PWD/target/debug:$PATH");
    let folder = machine.clone_folder();
    fs::copy(plane.kubeconfig_file(), folder.join("edge.yaml")).unwrap();
    fs::write(folder.join("site"), DOCUMENTS).unwrap();
    fs::write(folder.join("web.yaml"), WEB).unwrap();
    let mut up =
        machine.up("muster-dev up --clusters 1 --cluster edge=edge.yaml --ready-file ready.json");
    let ready = fs::read_to_string(folder.join("ready.json")).unwrap();
    let processes = processes(&serde_json::from_str(&ready).unwrap(), &plane);
    let lookout = Lookout::begin(processes.iter().map(|(_, pid)| *pid).collect());
    up.prints("real+edge answers: Kubernetes v1.");
    let real = plane.client().await;
    let sandbox = client(&machine.kubeconfig("c1")).await;
    let before = (inventory(&real).await, inventory(&sandbox).await);
    let checked = machine.type_line("muster cluster check");
    for cluster in ["real+edge: ", "sandbox+c1: "] {
        assert!(checked.contains(cluster), "{checked}");
    }

    // Cut off while it is needed, and found again.
    machine.type_line("muster-dev sandbox fault real+edge black-hole");
    machine.type_line("muster apply -f site && muster approve p/site && muster instantiate p/site");
    let cut = machine.until("one is cut off, the other is done", "p/site", |status| {
        let done = states(status, "sandbox+c1").iter().all(|s| *s == "Applied");
        done && states(status, "real+edge").contains(&"Retrying")
    });
    assert_eq!(cut["problems"][0]["cluster"], "real+edge");
    assert_eq!(cut["problems"][0]["code"], "unreachable");
    assert_eq!(applied(&machine, "real+edge"), [""; 0]);
    assert_eq!(inventory(&real).await, before.0);
    machine.type_line("muster-dev sandbox heal real+edge");
    let there = machine.until("both are ready", "p/site", |status| {
        status["context"]["state"] == "Instantiated"
    });
    assert_eq!(there["problems"], Value::Array(vec![]));
    for cluster in ["real+edge", "sandbox+c1"] {
        let all = states(&there, cluster);
        assert!(!all.is_empty() && all.iter().all(|s| *s == "Applied"));
        let mut names = applied(&machine, cluster);
        names.sort();
        assert_eq!(names, ["page", "site", "web"], "{cluster}");
    }
    let shown = machine.type_line("muster status p/site");
    assert!(shown.contains("real+edge"), "{shown}");

    machine.type_line("muster terminate p/site --yes --wait");
    until_as_before(&real, &before.0).await;
    until_as_before(&sandbox, &before.1).await;
    // Nothing of all this spoke to anybody beyond this machine, or listened for them.
    let seen = lookout.end();
    for (name, pid) in &processes {
        let of_it: Vec<&Socket> = seen
            .iter()
            .filter(|of| of.0 == *pid)
            .map(|of| &of.1)
            .collect();
        let out: Vec<_> = of_it.iter().filter(|socket| !socket.stays_here()).collect();
        assert!(out.is_empty(), "{name}: {out:?}");
        // `muster-dev` itself only looks after the others.
        assert!(
            !of_it.is_empty() || name == "dev",
            "{name} has no sockets at all"
        );
    }
    up.interrupt();
}
