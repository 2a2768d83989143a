//! Ends that are not simply "gone".

use super::bed::{Bed, config_map};
use model::{document::Policy, state::ResourceState};
use sandbox::host::{FaultKind, Verb};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_somebodys_object_is_kept_without_our_label() {
    let bed = Bed::new(1, &[("conf", &config_map("mine"))], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    let path = "/api/v1/namespaces/shop/configmaps";
    bed.create("c1", path, json!({"metadata": {"name": "theirs"}}))
        .await;
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert_eq!(
        bed.row("shop").await.kept.as_deref(),
        Some("foreign content: ConfigMap theirs")
    );
    let shop = bed.object("c1", "/api/v1/namespaces/shop").await.unwrap();
    assert_eq!(
        shop["metadata"]["labels"]["muster.dev/installation"],
        json!(null)
    );
    assert!(bed.object("c1", &format!("{path}/theirs")).await.is_some());
    assert!(bed.object("c1", &format!("{path}/mine")).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_to_be_kept_loses_our_labels_and_stays() {
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: default, annotations: {muster.dev/keep: 'true'}}\n";
    let bed = Bed::new(1, &[("conf", kept)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert_eq!(
        bed.row("kept").await.kept.as_deref(),
        Some("its keep annotation")
    );
    let object = bed
        .object("c1", "/api/v1/namespaces/default/configmaps/kept")
        .await
        .unwrap();
    assert!(
        !object["metadata"]["labels"]
            .to_string()
            .contains("muster.dev/"),
        "{object}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_replaced_by_somebody_is_foreign_and_kept() {
    let bed = Bed::new(1, &[("conf", &config_map("mine"))], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    let path = "/api/v1/namespaces/shop/configmaps";
    let request = http::Request::delete(format!("{path}/mine"))
        .body(Vec::new())
        .unwrap();
    let client = bed.client("c1").await;
    assert!(
        client
            .ask(request, std::time::Duration::from_secs(10))
            .await
            .unwrap()
            .ok()
    );
    bed.create(
        "c1",
        path,
        json!({"metadata": {"name": "mine"}, "data": {"x": "y"}}),
    )
    .await;
    let before = bed.object("c1", &format!("{path}/mine")).await;
    bed.host.clear_log("c1").unwrap();
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert_eq!(
        bed.row("mine").await.kept.as_deref(),
        Some("foreign, managed by kubectl")
    );
    assert_eq!(bed.object("c1", &format!("{path}/mine")).await, before);
    assert!(bed.log("c1", Verb::Delete, "mine").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finalizer_that_hangs_is_waited_for_and_fails_at_the_delete_timeout() {
    let bed = Bed::new(1, &[("conf", &config_map("mine"))], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.fault("c1", FaultKind::HangFinalizer, None, Some("mine"), None);
    bed.terminate().await;
    bed.begin("run-2").await;
    let row = bed.row("mine").await.id;
    let step = bed.step("c1", &[row]).await;
    let deleted = bed.activities.run_delete(step.clone()).await.unwrap();
    assert_eq!(deleted.outcome.waiting, [row], "{:?}", deleted.outcome);
    let still = bed
        .activities
        .run_gone(step.clone(), std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(still.still.unwrap().code, "finalizers");
    let long = std::time::Duration::from_secs(601);
    let over = bed.activities.run_gone(step, long).await.unwrap();
    assert_eq!(over.ended.outcome.failed, [row]);
    let error = bed.row("mine").await.error.unwrap();
    assert_eq!(error.code, "finalizers");
    assert!(
        error.message.starts_with("waiting for finalizers: "),
        "{}",
        error.message
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_apply_that_arrives_after_terminate_leaves_nothing() {
    let bed = Bed::new(1, &[("conf", &config_map("late"))], Policy::default()).await;
    bed.instantiate().await;
    bed.fault(
        "c1",
        FaultKind::Late { ms: 2_500 },
        Some(Verb::Apply),
        Some("late"),
        Some(1),
    );
    bed.begin("run-1").await;
    let (shop, row) = (bed.row("shop").await.id, bed.row("late").await.id);
    bed.activities
        .run_apply(bed.step("c1", &[shop]).await)
        .await
        .unwrap();
    let step = bed.step("c1", &[row]).await;
    let ended = bed.activities.run_apply(step).await.unwrap();
    assert_eq!(ended.outcome.retry, [row]);
    assert_eq!(bed.row("late").await.error.unwrap().code, "timeout");
    bed.terminate().await;
    assert_eq!(bed.drive("run-1").await, "Terminated");
    assert!(bed.all(ResourceState::Deleted).await);
    assert!(
        bed.object("c1", "/api/v1/namespaces/shop/configmaps/late")
            .await
            .is_none()
    );
    assert!(bed.object("c1", "/api/v1/namespaces/shop").await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crd_goes_only_if_nobody_else_uses_it() {
    let crd = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: carts.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: carts, singular: cart, kind: Cart}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
";
    let bed = Bed::new(1, &[("carts", crd)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    let carts = "/apis/shop.example.com/v1/namespaces/default/carts";
    let cart = json!({"apiVersion": "shop.example.com/v1", "kind": "Cart", "metadata": {"name": "theirs"}});
    bed.create("c1", carts, cart).await;
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    let kept = bed.row("carts.shop.example.com").await.kept;
    assert_eq!(
        kept.as_deref(),
        Some("foreign content: Cart default/theirs")
    );
    assert!(bed.object("c1", &format!("{carts}/theirs")).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_deleted_behind_our_back_is_made_again() {
    // The look knows its uid; the apply then finds that uid gone, and looks again.
    let bed = Bed::new(1, &[("conf", &config_map("mine"))], Policy::default()).await;
    bed.instantiate().await;
    bed.begin("run-1").await;
    let (shop, row) = (bed.row("shop").await.id, bed.row("mine").await.id);
    bed.activities
        .run_apply(bed.step("c1", &[shop]).await)
        .await
        .unwrap();
    let path = "/api/v1/namespaces/shop/configmaps";
    let labels = json!({"muster.dev/context": bed.context.0});
    let mine = json!({"metadata": {"name": "mine", "labels": labels}});
    bed.create("c1", path, mine).await;
    let step = bed.step("c1", &[row]).await;
    bed.activities.run_look(step.clone()).await.unwrap();
    assert!(bed.row("mine").await.uid.is_some());
    let request = http::Request::delete(format!("{path}/mine"))
        .body(Vec::new())
        .unwrap();
    let client = bed.client("c1").await;
    assert!(
        client
            .ask(request, std::time::Duration::from_secs(10))
            .await
            .unwrap()
            .ok()
    );
    let ended = bed.activities.run_apply(step).await.unwrap();
    assert!(
        ended.outcome.retry.is_empty() && ended.outcome.again.is_empty(),
        "{:?}",
        ended.outcome
    );
    assert_eq!(bed.row("mine").await.state, ResourceState::Applied);
    assert!(bed.object("c1", &format!("{path}/mine")).await.is_some());
}
