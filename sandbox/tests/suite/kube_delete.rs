//! Deletion: conditions, propagation, finalizers, namespaces, definitions.

use serde_json::{Value, json};

use super::kube_world::{
    CONFIG_MAPS, DEFINITIONS, DEPLOYMENTS, World, config_map, definition, deployment,
};

fn path(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

#[tokio::test]
async fn a_background_delete_of_a_config_map_is_done_in_the_answer() {
    let world = World::new();
    let made = world
        .post(CONFIG_MAPS, config_map("a", json!({})))
        .await
        .body;
    let deleted = world
        .delete(&path("a"), json!({"propagationPolicy": "Background"}))
        .await;
    assert_eq!(deleted.code, 200);
    assert_eq!(
        deleted.body,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}})
    );
    assert_eq!(world.get(&path("a")).await.code, 404);
    assert_eq!(world.delete(&path("a"), Value::Null).await.code, 404);
}

#[tokio::test]
async fn a_foreground_delete_waits_for_the_collector() {
    let world = World::new();
    world.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    let deleted = world
        .delete(&path("a"), json!({"propagationPolicy": "Foreground"}))
        .await;
    assert_eq!(
        (deleted.code, &deleted.body["kind"]),
        (200, &json!("ConfigMap"))
    );
    assert!(deleted.body["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(
        deleted.body["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    world.gone(&path("a")).await;
}

#[tokio::test]
async fn a_delete_of_another_uid_or_version_is_a_conflict() {
    let world = World::new();
    let made = world
        .post(CONFIG_MAPS, config_map("a", json!({})))
        .await
        .body;
    let wrong = world
        .delete(&path("a"), json!({"preconditions": {"uid": "nope"}}))
        .await;
    assert_eq!(
        (wrong.code, &wrong.body["reason"]),
        (409, &json!("Conflict"))
    );
    assert_eq!(
        wrong.body["message"],
        format!(
            "Operation cannot be fulfilled on ConfigMap \"a\": the UID in the precondition (nope) does not match the UID \
             in record ({}). The object might have been deleted and then recreated",
            made["metadata"]["uid"].as_str().unwrap()
        )
    );
    assert_eq!(
        world
            .delete(
                &path("a"),
                json!({"preconditions": {"resourceVersion": "1"}})
            )
            .await
            .code,
        409
    );
    let right = json!({"preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}});
    assert_eq!(world.delete(&path("a"), right).await.code, 200);
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let world = World::new();
    let mut object = config_map("a", json!({}));
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world.post(CONFIG_MAPS, object).await;
    assert_eq!(
        world.delete(&path("a"), Value::Null).await.body["kind"],
        "ConfigMap"
    );
    let again = world
        .apply(&path("a"), "x", config_map("a", json!({"k": "v"})))
        .await;
    assert_eq!(again.code, 200);
    assert!(
        again.body["metadata"]["deletionTimestamp"].is_string(),
        "an apply does not bring it back"
    );
    let twice = world.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    assert_eq!(
        twice.body["message"],
        "object is being deleted: configmaps \"a\" already exists"
    );
    assert_eq!(
        world
            .merge(&path("a"), json!({"metadata": {"finalizers": null}}))
            .await
            .code,
        200
    );
    assert_eq!(world.get(&path("a")).await.code, 404);
}

#[tokio::test]
async fn deleting_a_deployment_collects_what_it_made_unless_orphaned() {
    let world = World::new();
    for (policy, left) in [("Background", 0), ("Foreground", 0), ("Orphan", 1)] {
        world
            .apply(&format!("{DEPLOYMENTS}/d"), "x", deployment("d", 2))
            .await;
        world
            .until(&format!("{DEPLOYMENTS}/d"), |answer| {
                answer.body["status"]["availableReplicas"] == 2
            })
            .await;
        world
            .delete(
                &format!("{DEPLOYMENTS}/d"),
                json!({"propagationPolicy": policy}),
            )
            .await;
        world.gone(&format!("{DEPLOYMENTS}/d")).await;
        let sets = "/apis/apps/v1/namespaces/default/replicasets";
        let count = |answer: &Value| answer["items"].as_array().unwrap().len();
        let sets = world
            .until(sets, |answer| count(&answer.body) == left)
            .await;
        let pods = "/api/v1/namespaces/default/pods";
        world
            .until(pods, |answer| count(&answer.body) == left * 2)
            .await;
        if left == 1 {
            assert_eq!(
                sets.body["items"][0]["metadata"]["ownerReferences"],
                Value::Null
            );
        }
    }
}

#[tokio::test]
async fn an_object_whose_owner_never_was_is_collected() {
    let world = World::new();
    let mut object = config_map("a", json!({}));
    object["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "11111111-1111-4111-8111-111111111111"}]);
    assert_eq!(world.post(CONFIG_MAPS, object).await.code, 201);
    world.gone(&path("a")).await;
}

#[tokio::test]
async fn a_namespace_goes_with_its_content_and_takes_nothing_new() {
    let world = World::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    assert_eq!(
        world
            .apply("/api/v1/namespaces/n", "x", namespace)
            .await
            .code,
        201
    );
    for path in ["configmaps/kube-root-ca.crt", "serviceaccounts/default"] {
        assert_eq!(
            world
                .get(&format!("/api/v1/namespaces/n/{path}"))
                .await
                .code,
            200,
            "{path}"
        );
    }
    let mut held = config_map("held", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    world
        .apply("/api/v1/namespaces/n/configmaps/held", "x", held)
        .await;
    let deleted = world.delete("/api/v1/namespaces/n", Value::Null).await;
    assert_eq!(
        (deleted.code, &deleted.body["status"]["phase"]),
        (200, &json!("Terminating"))
    );
    let late = world
        .apply(
            "/api/v1/namespaces/n/configmaps/late",
            "x",
            config_map("late", json!({})),
        )
        .await;
    assert_eq!(
        (late.code, &late.body["reason"]),
        (403, &json!("Forbidden"))
    );
    assert_eq!(
        late.body["details"]["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    assert_eq!(
        late.body["message"],
        "configmaps \"late\" is forbidden: unable to create new content in namespace n because it is being terminated"
    );
    world
        .gone("/api/v1/namespaces/n/configmaps/kube-root-ca.crt")
        .await;
    let waiting = world
        .until("/api/v1/namespaces/n", |answer| {
            answer.body["status"]["conditions"][1]["status"] == "True"
        })
        .await;
    assert_eq!(
        waiting.body["status"]["conditions"][1]["type"],
        "NamespaceContentRemaining"
    );
    world
        .merge(
            "/api/v1/namespaces/n/configmaps/held",
            json!({"metadata": {"finalizers": null}}),
        )
        .await;
    world.gone("/api/v1/namespaces/n").await;
}

#[tokio::test]
async fn a_definition_is_served_after_a_while_and_goes_after_its_objects() {
    let world = World::new();
    let things = "/apis/example.com/v1/namespaces/default/things";
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"a": 1}});
    assert_eq!(
        world
            .apply(&format!("{things}/t"), "x", thing.clone())
            .await
            .code,
        404
    );
    let path = format!("{DEFINITIONS}/things.example.com");
    assert_eq!(
        world
            .apply(&path, "x", definition("things", "Thing", "Namespaced"))
            .await
            .code,
        201
    );
    let established = |conditions: &Value, wanted: &str| {
        conditions.as_array().is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == "Established" && one["status"] == wanted)
        })
    };
    world
        .until(&path, |answer| {
            established(&answer.body["status"]["conditions"], "True")
        })
        .await;
    let made = world.apply(&format!("{things}/t"), "x", thing).await;
    assert_eq!(
        (made.code, &made.body["metadata"]["generation"]),
        (201, &json!(1))
    );
    let changed = world
        .merge(
            &format!("{things}/t"),
            json!({"spec": {"a": 2}, "status": {"b": 1}}),
        )
        .await;
    assert_eq!(changed.body["metadata"]["generation"], 2);
    assert_eq!(
        changed.body["status"],
        Value::Null,
        "status has its own address"
    );
    let status = world
        .merge(&format!("{things}/t/status"), json!({"status": {"b": 1}}))
        .await;
    assert_eq!(status.body["status"], json!({"b": 1}));
    let strategic = world
        .send(
            "PATCH",
            &format!("{things}/t"),
            "application/strategic-merge-patch+json",
            json!({}),
        )
        .await;
    assert_eq!(strategic.code, 415);
    world
        .merge(
            &format!("{things}/t"),
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        )
        .await;
    assert_eq!(world.delete(&path, Value::Null).await.code, 200);
    world
        .until(&format!("{things}/t"), |answer| {
            answer.body["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    let late = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "u"}});
    assert_eq!(world.post(things, late).await.code, 403);
    world
        .merge(
            &format!("{things}/t"),
            json!({"metadata": {"finalizers": null}}),
        )
        .await;
    world.gone(&path).await;
    assert_eq!(world.get(things).await.code, 404);
}

#[tokio::test]
async fn an_api_service_without_a_backend_breaks_its_group_and_holds_namespaces() {
    let world = World::new();
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": "adapter", "namespace": "default"}}});
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    assert_eq!(world.post(path, service).await.code, 201);
    let groups = world.get("/apis").await;
    assert!(
        groups.body["groups"]
            .as_array()
            .unwrap()
            .iter()
            .any(|group| group["name"] == "metrics.k8s.io")
    );
    assert_eq!(world.get("/apis/metrics.k8s.io/v1beta1").await.code, 503);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    world.post("/api/v1/namespaces", namespace).await;
    world.delete("/api/v1/namespaces/n", Value::Null).await;
    let stuck = |body: &Value| body["status"]["conditions"][0]["reason"] == "DiscoveryFailed";
    world
        .until("/api/v1/namespaces/n", |answer| stuck(&answer.body))
        .await;
    world
        .delete(&format!("{path}/v1beta1.metrics.k8s.io"), Value::Null)
        .await;
    world.gone("/api/v1/namespaces/n").await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_label() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        let mut object = config_map(name, json!({}));
        object["metadata"]["labels"] = json!({"keep": if name == "c" { "yes" } else { "no" }});
        world.post(CONFIG_MAPS, object).await;
    }
    let deleted = world
        .delete(
            &format!("{CONFIG_MAPS}?labelSelector=keep%3Dno"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (
            deleted.code,
            deleted.body["items"].as_array().unwrap().len()
        ),
        (200, 2)
    );
    assert_eq!(world.get(&path("a")).await.code, 404);
    assert_eq!(world.get(&path("c")).await.code, 200);
}

#[tokio::test]
async fn what_a_custom_resource_owns_goes_with_its_definition() {
    let world = World::new();
    let at = format!("{DEFINITIONS}/things.example.com");
    world
        .apply(&at, "x", definition("things", "Thing", "Namespaced"))
        .await;
    let things = "/apis/example.com/v1/namespaces/default/things";
    world.until(things, |answer| answer.code == 200).await;
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}});
    let thing = world.post(things, thing).await.body;
    let mut owned = config_map("owned", json!({}));
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": thing["metadata"]["uid"]}]);
    assert_eq!(world.post(CONFIG_MAPS, owned).await.code, 201);
    world.delete(&at, Value::Null).await;
    world.gone(&path("owned")).await;
    world.gone(&at).await;
}
