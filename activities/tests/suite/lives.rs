//! Whole lives: everything applied, everything gone.

use super::bed::{Bed, config_map};
use model::{
    document::{Existing, Policy},
    state::{Goal, ResourceState},
};
use sandbox::host::Verb;
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
