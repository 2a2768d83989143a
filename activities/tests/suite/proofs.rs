//! What counts as an end: absence that was stated, refusals, and who waits for what.

use super::bed::{Bed, cluster, config_map};
use activities::{prove::Unproven, reachable::Looked};
use model::{document::Policy, state::ResourceState};
use sandbox::host::{Fault, FaultKind, Filter, Verb};
use serde_json::json;
use std::time::Duration;
use workflows::contract::{Proof, ProveInput, ReachableInput};

const IN_DEFAULT: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n";
const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn prove(bed: &Bed, count: usize) -> Result<Proof, Unproven> {
    let input = ProveInput {
        context: bed.context.clone(),
        fence: bed.fence().await,
        offset: 0,
        count,
    };
    bed.activities
        .run_prove(input, Duration::from_secs(10))
        .await
}

/// Instantiated, then deleted on every cluster, but not proven.
async fn deleted(clusters: usize) -> Bed {
    let bed = Bed::new(clusters, &[("conf", IN_DEFAULT)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.terminate().await;
    bed.begin("run-2").await;
    for row in bed.rows().await.into_iter().rev() {
        let step = bed.step(&row.key.cluster.name, &[row.id]).await;
        bed.activities.run_delete(step).await.unwrap();
    }
    assert!(bed.all(ResourceState::Deleted).await);
    bed
}

/// An object of the context comes back.
async fn comes_back(bed: &Bed, name: &str) {
    let labels = json!({"muster.dev/context": bed.context.0});
    let mine = json!({"metadata": {"name": "mine", "labels": labels}});
    bed.create(name, CONFIG_MAPS, mine).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_that_may_list_nothing_is_proven_object_by_object() {
    let bed = deleted(1).await;
    let forbidden = FaultKind::Status { code: 403 };
    bed.fault("c1", forbidden, Some(Verb::List), None, None);
    let proof = prove(&bed, 1).await.unwrap();
    assert_eq!((proof.found, proof.wait_ms), (0, 0));
    comes_back(&bed, "c1").await;
    assert_eq!(prove(&bed, 1).await.unwrap().found, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_refuses_the_proof_does_not_hide_what_others_hold() {
    let bed = deleted(2).await;
    let invalid = FaultKind::Status { code: 422 };
    bed.fault("c1", invalid, Some(Verb::List), None, None);
    match prove(&bed, 2).await {
        Err(Unproven::Refused { cluster: by, .. }) => assert_eq!(by, cluster("c1")),
        other => panic!("{other:?}"),
    }
    comes_back(&bed, "c2").await;
    assert_eq!(prove(&bed, 2).await.unwrap().found, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_not_found_proves_nothing() {
    let bed = deleted(1).await;
    let missing = FaultKind::Status { code: 404 };
    bed.fault("c1", missing, Some(Verb::List), None, Some(3));
    assert!(prove(&bed, 1).await.unwrap().wait_ms > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_stays_while_a_group_does_not_say_what_it_holds() {
    let bed = Bed::new(1, &[("conf", &config_map("mine"))], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.example.com"},
        "spec": {"group": "metrics.example.com", "version": "v1beta1", "insecureSkipTLSVerify": true,
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "metrics", "namespace": "kube-system"}},
    });
    bed.create("c1", services, service).await;
    bed.terminate().await;
    bed.begin("run-2").await;
    let (shop, mine) = (bed.row("shop").await.id, bed.row("mine").await.id);
    bed.activities
        .run_delete(bed.step("c1", &[mine]).await)
        .await
        .unwrap();
    let step = bed.step("c1", &[shop]).await;
    let ended = bed.activities.run_delete(step).await.unwrap();
    assert_eq!(ended.outcome.retry, [shop], "{:?}", ended.outcome);
    let namespace = bed.object("c1", "/api/v1/namespaces/shop").await.unwrap();
    assert_eq!(namespace["metadata"]["deletionTimestamp"], json!(null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_that_is_waited_for_has_an_end() {
    let yaml = config_map("hangs") + &config_map("asked");
    // What the cluster answers about `asked`, how long it was waited for ⇒ waiting, failed with
    let cases = [
        (503, 0, vec!["hangs", "asked"], None),
        (403, 0, vec!["hangs"], Some("forbidden")),
        (503, 601, vec![], Some("finalizers")),
    ];
    for (code, waited, waiting, failed) in cases {
        let bed = Bed::new(1, &[("conf", &yaml)], Policy::default()).await;
        bed.instantiate().await;
        assert_eq!(bed.drive("run-1").await, "Instantiated");
        for name in ["hangs", "asked"] {
            bed.fault("c1", FaultKind::HangFinalizer, None, Some(name), None);
        }
        bed.terminate().await;
        bed.begin("run-2").await;
        let rows = [bed.row("hangs").await.id, bed.row("asked").await.id];
        let step = bed.step("c1", &rows).await;
        let ended = bed.activities.run_delete(step.clone()).await.unwrap();
        assert_eq!(ended.outcome.waiting.len(), 2, "{:?}", ended.outcome);
        let refusal = Fault {
            kind: FaultKind::Status { code },
            filter: Filter {
                verb: Some(Verb::Get),
                kind: None,
                name: Some("asked".to_owned()),
            },
            times: None,
        };
        bed.host.fault("c1", refusal).unwrap();
        let looked = bed
            .activities
            .run_gone(step, Duration::from_secs(waited))
            .await
            .unwrap();
        let outcome = looked.ended.outcome;
        for (name, row) in ["hangs", "asked"].into_iter().zip(rows) {
            let case = format!("{code} after {waited} s, {name}: {outcome:?}");
            assert_eq!(
                outcome.waiting.contains(&row),
                waiting.contains(&name),
                "{case}"
            );
            assert_ne!(
                outcome.waiting.contains(&row),
                outcome.failed.contains(&row),
                "{case}"
            );
        }
        let error = bed.row("asked").await.error.map(|error| error.code);
        assert_eq!(error.as_deref(), failed, "{code} after {waited} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_known_by_its_uid_even_if_its_apply_got_no_answer() {
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: default, annotations: {muster.dev/keep: 'true'}}\n";
    let bed = Bed::new(1, &[("conf", kept)], Policy::default()).await;
    bed.instantiate().await;
    bed.begin("run-1").await;
    bed.fault(
        "c1",
        FaultKind::DropReply,
        Some(Verb::Apply),
        Some("kept"),
        Some(1),
    );
    let row = bed.row("kept").await.id;
    let step = bed.step("c1", &[row]).await;
    bed.activities.run_apply(step).await.unwrap();
    assert_eq!(bed.row("kept").await.uid, None);
    bed.terminate().await;
    assert_eq!(bed.drive("run-1").await, "Terminated");
    let object = bed
        .object("c1", &format!("{CONFIG_MAPS}/kept"))
        .await
        .unwrap();
    let row = bed.row("kept").await;
    assert_eq!(row.kept.as_deref(), Some("its keep annotation"));
    assert_eq!(row.uid.as_deref(), object["metadata"]["uid"].as_str());
}

fn now_ms() -> i64 {
    activities::clusters::clock::wall_ms()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_waits_from_its_own_beginning_and_not_from_its_clusters() {
    let mut policy = Policy::default();
    policy.retry.max_elapsed_ms = Some(1);
    let bed = Bed::new(1, &[("conf", IN_DEFAULT)], policy).await;
    let c1 = cluster("c1");
    let failure = model::failure::Failure::new("unreachable", "no");
    bed.store.park(&c1, &failure).await.unwrap();
    let parked = bed.store.cluster(&c1).await.unwrap().since_ms;
    while now_ms() < parked + 100 {
        tokio::task::yield_now().await;
    }
    bed.instantiate().await;
    let began = bed.row("mine").await.since_ms;
    let waits = |app: &'static str| bed.store.bundle_waits(&bed.context, app, &c1);
    let elapsed = waits("conf").await.unwrap().unwrap();
    let most = u64::try_from(now_ms() - began).unwrap();
    assert!(elapsed <= most, "{elapsed} ms of {most}");
    assert_eq!(waits("other").await.unwrap(), None);
    // Nobody's rows wait for the proof's sake.
    let input = ReachableInput {
        context: bed.context.clone(),
        fence: bed.fence().await,
        cluster: c1.clone(),
        app: String::new(),
    };
    let looked = bed.activities.run_reachable(input).await.unwrap();
    assert!(!matches!(
        looked,
        Looked::Known(workflows::contract::Reachable::Expired)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_goes_in_another_version_when_its_own_is_not_served_any_more() {
    let version = |name: &str, served: bool, storage: bool| {
        json!({"name": name, "served": served, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
    };
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "carts.shop.example.com"},
        "spec": {"group": "shop.example.com", "scope": "Namespaced",
            "names": {"plural": "carts", "singular": "cart", "kind": "Cart"},
            "versions": [version("v1", true, false), version("v2", true, true)]},
    });
    let cart =
        "apiVersion: shop.example.com/v1\nkind: Cart\nmetadata: {name: mine, namespace: default}\n";
    let bed = Bed::new(1, &[("carts", cart)], Policy::default()).await;
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    bed.create("c1", crds, crd).await;
    let carts = "/apis/shop.example.com/v2/namespaces/default/carts";
    while bed.object("c1", carts).await.is_none() {
        tokio::task::yield_now().await;
    }
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    assert!(bed.object("c1", &format!("{carts}/mine")).await.is_some());
    let versions = json!([version("v1", false, false), version("v2", true, true)]);
    let patch = json!({"spec": {"versions": versions}});
    let request = http::Request::patch(format!("{crds}/carts.shop.example.com"))
        .header("content-type", "application/merge-patch+json")
        .body(serde_json::to_vec(&patch).unwrap())
        .unwrap();
    let client = bed.client("c1").await;
    let answer = client.ask(request, Duration::from_secs(10)).await.unwrap();
    assert!(answer.ok(), "{:?}", answer.body);
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert!(bed.object("c1", carts).await.is_some());
    assert!(bed.object("c1", &format!("{carts}/mine")).await.is_none());
}
