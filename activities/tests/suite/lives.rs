//! Whole lives: everything applied, everything gone.

use super::bed::{Bed, config_map};
use model::{
    document::{Existing, Policy},
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use sandbox::host::{FaultKind, LogEntry, Verb};
use serde_json::json;

const CART: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: carts.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: carts, singular: cart, kind: Cart}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: shop.example.com/v1
kind: Cart
metadata: {name: first}
spec: {items: 3}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
---
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_leaves_nothing_behind() {
    let bed = Bed::new(
        2,
        &[("web", CART), ("conf", &config_map("conf"))],
        Policy::default(),
    )
    .await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    assert!(
        bed.all(ResourceState::Applied).await,
        "{:#?}",
        bed.rows().await
    );
    for cluster in ["c1", "c2"] {
        let web = bed
            .object(cluster, "/apis/apps/v1/namespaces/shop/deployments/web")
            .await
            .unwrap();
        for labels in [
            &web["metadata"]["labels"],
            &web["spec"]["template"]["metadata"]["labels"],
        ] {
            assert_eq!(labels["muster.dev/context"], bed.context.0);
            assert_eq!(labels["muster.dev/app"], "web");
        }
        assert_eq!(
            web["metadata"]["labels"]["muster.dev/installation"],
            bed.store.installation().await.unwrap()
        );
        let shop = bed
            .object(cluster, "/api/v1/namespaces/shop")
            .await
            .unwrap();
        assert_eq!(
            shop["metadata"]["labels"]["muster.dev/context"],
            json!(null)
        );
        assert_eq!(bed.log(cluster, Verb::Apply, "first").len(), 1);
        let manager = bed
            .log(cluster, Verb::Apply, "first")
            .remove(0)
            .field_manager;
        assert_eq!(manager, Some(format!("muster-{}", bed.context)));
    }
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert!(
        bed.all(ResourceState::Deleted).await,
        "{:#?}",
        bed.rows().await
    );
    for cluster in ["c1", "c2"] {
        for path in [
            "/apis/apps/v1/namespaces/shop/deployments/web",
            "/api/v1/namespaces/shop/configmaps/conf",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/carts.shop.example.com",
            "/api/v1/namespaces/shop",
        ] {
            assert!(
                bed.object(cluster, path).await.is_none(),
                "{cluster} {path}"
            );
        }
    }
    assert!(
        bed.rows().await.iter().all(|row| row.kept.is_none()),
        "{:#?}",
        bed.rows().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_rows_go_in_and_out_with_one_request_each() {
    let names: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    let yaml: String = names.iter().map(|name| config_map(name)).collect();
    let bed = Bed::new(1, &[("conf", &yaml)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    for name in &names {
        assert_eq!(bed.log("c1", Verb::Apply, name).len(), 1, "{name}");
    }
    // Driven again, nothing is sent.
    let rows: Vec<_> = bed.rows().await.iter().map(|row| row.id).collect();
    bed.host.clear_log("c1").unwrap();
    let ended = bed
        .activities
        .run_apply(bed.step("c1", &rows).await)
        .await
        .unwrap();
    assert!(ended.outcome.failed.is_empty() && ended.outcome.retry.is_empty());
    assert!(
        bed.host
            .log("c1")
            .unwrap()
            .iter()
            .all(|entry| entry.verb != Verb::Apply)
    );
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    for name in &names {
        assert_eq!(bed.log("c1", Verb::Delete, name).len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_turn_comes_after_the_window_are_opened_again_and_sent_once() {
    let names: Vec<String> = (0..150).map(|n| format!("m{n}")).collect();
    let yaml: String = names.iter().map(|name| config_map(name)).collect();
    let bed = Bed::new(1, &[("conf", &yaml)], Policy::default()).await;
    bed.instantiate().await;
    bed.begin("run-1").await;
    let rows = bed.rows().await;
    let (shared, own): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.class == Class::Shared);
    let ids = |rows: &[&Row]| rows.iter().map(|row| row.id).collect::<Vec<_>>();
    let (first, rest) = own.split_at(20);
    let (shared, first, rest) = (ids(&shared), ids(first), ids(rest));
    bed.activities
        .run_apply(bed.step("c1", &shared).await)
        .await
        .unwrap();
    // The cluster is known to answer fast, so that several rows are opened for each connection …
    let ended = bed
        .activities
        .run_apply(bed.step("c1", &first).await)
        .await
        .unwrap();
    assert!(ended.outcome.retry.is_empty() && ended.outcome.again.is_empty());
    // … and then takes as long for one as the window is for all of them.
    bed.fault(
        "c1",
        FaultKind::Latency { ms: 300 },
        Some(Verb::Apply),
        None,
        None,
    );
    let ended = bed
        .activities
        .run_apply(bed.step("c1", &rest).await)
        .await
        .unwrap();
    let outcome = ended.outcome;
    assert!(
        outcome.failed.is_empty() && outcome.retry.is_empty() && outcome.again.is_empty(),
        "{outcome:?}"
    );
    for row in bed.rows().await {
        assert_eq!(row.state, ResourceState::Applied, "{}", row.key);
        assert_eq!((row.sent, row.attempts), (1, 1), "{}", row.key);
    }
    for name in &names {
        assert_eq!(bed.log("c1", Verb::Apply, name).len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_hands_since_it_was_listed_is_kept() {
    let names: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
    let yaml: String = names.iter().map(|name| config_map(name)).collect();
    let bed = Bed::new(1, &[("conf", &yaml)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.terminate().await;
    bed.begin("run-2").await;
    let rows: Vec<_> = bed.rows().await;
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.key.kind == "ConfigMap")
        .collect();
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let (first, rest) = ids.split_at(15);
    bed.activities
        .run_delete(bed.step("c1", first).await)
        .await
        .unwrap();
    // The first step listed for both. Then somebody takes an object over, and touches another.
    let (taken, touched) = (&rows[20].key.name, &rows[21].key.name);
    for (name, labels) in [
        (taken, json!({"muster.dev/context": null})),
        (touched, json!({"touched": "yes"})),
    ] {
        let path = format!("/api/v1/namespaces/shop/configmaps/{name}?fieldManager=kubectl");
        bed.patch("c1", &path, json!({"metadata": {"labels": labels}}))
            .await;
    }
    let lists = |log: Vec<LogEntry>| log.iter().filter(|e| e.verb == Verb::List).count();
    let before = lists(bed.host.log("c1").unwrap());
    bed.activities
        .run_delete(bed.step("c1", rest).await)
        .await
        .unwrap();
    assert_eq!(
        lists(bed.host.log("c1").unwrap()),
        before,
        "one list for both"
    );
    let path = |name: &str| format!("/api/v1/namespaces/shop/configmaps/{name}");
    assert!(bed.object("c1", &path(taken)).await.is_some());
    assert!(bed.object("c1", &path(touched)).await.is_none());
    assert!(bed.row(taken).await.kept.is_some());
    assert_eq!(bed.row(touched).await.kept, None);
    for row in bed.rows().await.iter().filter(|row| ids.contains(&row.id)) {
        assert_eq!(row.state, ResourceState::Deleted, "{}", row.key);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_somebody_else_is_left_byte_for_byte() {
    let bed = Bed::new(
        1,
        &[("conf", &(config_map("mine") + &config_map("theirs")))],
        Policy::default(),
    )
    .await;
    bed.create(
        "c1",
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    let path = "/api/v1/namespaces/shop/configmaps";
    bed.create(
        "c1",
        path,
        json!({"metadata": {"name": "theirs"}, "data": {"x": "y"}}),
    )
    .await;
    let before = bed.object("c1", &format!("{path}/theirs")).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "InstantiateFailed");
    let theirs = bed.row("theirs").await;
    assert_eq!(theirs.state, ResourceState::Failed(Goal::Apply));
    assert_eq!(theirs.error.unwrap().message, "exists, managed by kubectl");
    assert_eq!(bed.row("mine").await.state, ResourceState::Applied);
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert_eq!(bed.object("c1", &format!("{path}/theirs")).await, before);
    // The namespace was there before: used, never labelled, never deleted.
    let shop = bed.object("c1", "/api/v1/namespaces/shop").await.unwrap();
    assert_eq!(
        shop["metadata"]["labels"]["muster.dev/installation"],
        json!(null)
    );
    assert!(bed.log("c1", Verb::Delete, "shop").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adopted_object_is_ours_from_then_on() {
    let policy = Policy {
        existing: Existing::Adopt,
        ..Policy::default()
    };
    let bed = Bed::new(1, &[("conf", &config_map("theirs"))], policy).await;
    bed.create(
        "c1",
        "/api/v1/namespaces",
        json!({"metadata": {"name": "shop"}}),
    )
    .await;
    let path = "/api/v1/namespaces/shop/configmaps";
    bed.create(
        "c1",
        path,
        json!({"metadata": {"name": "theirs"}, "data": {"x": "y"}}),
    )
    .await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert!(bed.object("c1", &format!("{path}/theirs")).await.is_none());
}
