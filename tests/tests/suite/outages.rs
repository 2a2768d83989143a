//! A real API server and its etcd are killed and come back in the middle of a lifecycle: it ends
//! well, nothing is left, nothing is there twice.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::{Api, api::PostParams};
use proto::v1::ResourceState as R;
use sandbox::host::{Fault, FaultKind, Verb};
use std::collections::BTreeSet;
use tests::{
    Dig, Stack,
    clusters::{inventory, until_as_before},
    control_plane::{ControlPlane, Part, Profile},
    documents::{App, config_maps},
    until,
};

const OBJECTS: usize = 30;
const PODS: usize = 3;

/// What happens in one run, all of it from the seed.
struct Draw(u64);

impl Draw {
    /// A number below `end` (splitmix64).
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// What a run goes through. In every one, servers are killed in the middle of the instantiate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// … and in the middle of the terminate.
    KilledTwice,
    /// … and the terminate comes while the cluster is coming back.
    CalledOff,
}

/// By seed.
const PLANS: [Plan; 10] = {
    use Plan::{CalledOff, KilledTwice};
    [
        KilledTwice,
        KilledTwice,
        CalledOff,
        KilledTwice,
        KilledTwice,
        CalledOff,
        KilledTwice,
        KilledTwice,
        CalledOff,
        KilledTwice,
    ]
};

/// Servers of one cluster are killed in the middle of a verb's work, and started again.
struct Outage {
    victim: usize,
    parts: &'static [Part],
    /// So many objects at least were applied, or deleted, before.
    after: usize,
    /// What is asked for these does not get through before the servers are dead.
    held: Vec<String>,
    /// They come back only when the lifecycle has noticed.
    is_noticed: bool,
    verb: Verb,
}

impl Outage {
    /// From now on, some requests of this verb wait for the outage.
    fn prepare(stack: &Stack, draw: &mut Draw, verb: Verb) -> Self {
        let outage = Self {
            victim: draw.below(2),
            parts: draw.one_of(&[
                &[Part::ApiServer][..],
                &[Part::Etcd],
                &[Part::ApiServer, Part::Etcd],
            ]),
            after: 1 + draw.below(OBJECTS - 10),
            held: {
                let (first, number) = (draw.below(OBJECTS), 1 + draw.below(8));
                let numbers = (first..first + number).map(|i| i % OBJECTS);
                numbers.map(|i| format!("m{i}")).collect()
            },
            is_noticed: draw.below(3) > 0,
            verb,
        };
        for name in &outage.held {
            let hole = Fault::from(FaultKind::BlackHole);
            let hole = hole.verb(verb).of_kind("ConfigMap").named(name);
            stack.fault_where(&outage.cluster(), hole);
        }
        outage
    }

    fn cluster(&self) -> String {
        format!("c{}", self.victim + 1)
    }

    /// Objects that are applied, or deleted, on the cluster.
    fn done(&self, stack: &Stack) -> BTreeSet<String> {
        let log = stack.log(&self.cluster()).into_iter();
        log.filter(|e| e.verb == self.verb && e.kind.as_deref() == Some("ConfigMap"))
            .filter(|e| e.code.is_some_and(|code| (200..300).contains(&code)))
            .filter_map(|e| e.name)
            .collect()
    }

    async fn happen(self, stack: &Stack, planes: &[ControlPlane; 2], dig: &Dig) {
        until("the cluster did a part of it", || async {
            (self.done(stack).len() >= self.after).then_some(())
        })
        .await;
        for part in self.parts {
            planes[self.victim].kill(*part);
        }
        // In the middle: some objects are through, others are not.
        let done = self.done(stack);
        let verb = self.verb;
        assert!(
            !done.is_empty() && done.len() < OBJECTS,
            "{verb:?}: {done:?}"
        );
        let held = |name| !done.contains(name);
        assert!(self.held.iter().all(held), "{verb:?}: {done:?}");
        // What was held is lost with its connection, and finds no server when it is sent again.
        stack.heal(&self.cluster()).await;
        if self.is_noticed {
            let id = format!("sandbox+{}", self.cluster());
            dig.until("the outage is noticed", |s| {
                let mut victims = s.resources.iter().filter(|r| r.cluster == id);
                victims.any(|r| r.deployed_status() == R::Retrying)
            })
            .await;
        }
        for part in self.parts {
            planes[self.victim].begin(*part);
        }
    }
}

fn deployment(name: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {PODS}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: c, image: none}}]}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"
    )
}

/// Exactly what was asked for is there, once.
async fn all_there(plane: &ControlPlane, namespace: &str, names: &BTreeSet<String>) {
    let client = plane.client().await;
    let objects: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let listed = objects.list(&Default::default()).await.unwrap().items;
    let found: BTreeSet<String> = listed.into_iter().filter_map(|o| o.metadata.name).collect();
    assert_eq!(&found, names);
    let pods: Api<Pod> = Api::namespaced(client, namespace);
    until("the pods are there, each once", || async {
        let listed = pods.list(&Default::default()).await.ok()?.items;
        (listed.len() == PODS).then_some(())
    })
    .await;
}

async fn run(stack: &Stack, planes: &[ControlPlane; 2], seed: u64, plan: Plan) {
    let mut draw = Draw(seed);
    let name = format!("run-{seed}");
    // Every other namespace is somebody's, and stays.
    if seed.is_multiple_of(2) {
        let text = serde_json::json!({"metadata": {"name": name}});
        let namespace: Namespace = serde_json::from_value(text).unwrap();
        for plane in planes {
            let namespaces: Api<Namespace> = Api::all(plane.client().await);
            let created = namespaces.create(&PostParams::default(), &namespace).await;
            created.unwrap();
        }
    }
    let mut before = vec![];
    for plane in planes {
        before.push(inventory(&plane.client().await).await);
    }
    let names: Vec<String> = (0..OBJECTS).map(|i| format!("m{i}")).collect();
    let listed: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = format!(
        "  namespace: {name}\n  placement:\n  - {{app: \"*\", allOf: [{{cluster: sandbox+c1}}, {{cluster: sandbox+c2}}]}}"
    );
    let apps = [App::new("a", config_maps(&listed) + &deployment("web"))];
    let dig = stack.approved(&name, &apps, &spec).await;
    for cluster in ["c1", "c2"] {
        stack.host.clear_log(cluster).unwrap();
    }

    let outage = Outage::prepare(stack, &mut draw, Verb::Apply);
    dig.instantiate().await.unwrap();
    outage.happen(stack, planes, &dig).await;
    if plan == Plan::KilledTwice {
        let status = dig.until_instantiated().await;
        assert_eq!(status.count(R::Applied), 2 * (OBJECTS + 2));
        let names = names.into_iter().collect();
        for plane in planes {
            all_there(plane, &name, &names).await;
        }
    }
    let second =
        (plan == Plan::KilledTwice).then(|| Outage::prepare(stack, &mut draw, Verb::Delete));
    dig.terminate().await.unwrap();
    if let Some(outage) = second {
        outage.happen(stack, planes, &dig).await;
    }
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), 2 * (OBJECTS + 2));
    for (plane, before) in planes.iter().zip(&before) {
        plane.ready().await;
        until_as_before(&plane.client().await, before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_killed_and_started_again_in_the_middle_leave_nothing_behind_and_nothing_twice() {
    let Some(planes) = ControlPlane::start_pair(Profile::Whole).await else {
        return;
    };
    let stack = Stack::in_front_of(&planes).await;
    for (seed, plan) in (0..).zip(PLANS) {
        said(seed);
        run(&stack, &planes, seed, plan).await;
    }
    stack.end().await;
}

#[allow(clippy::print_stderr, reason = "a failure names its seed")]
fn said(seed: u64) {
    eprintln!("seed {seed}");
}
