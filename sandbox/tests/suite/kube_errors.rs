//! Refusals, in shape and words.

use serde_json::{Value, json};

use super::kube_world::{CONFIG_MAPS, DEPLOYMENTS, World, config_map, deployment};

#[tokio::test]
async fn what_is_not_there_is_404_in_kubernetes_words() {
    let world = World::new();
    let absent = world
        .get("/apis/apps/v1/namespaces/default/deployments/x")
        .await;
    assert_eq!(absent.code, 404);
    assert_eq!(
        absent.body,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 404,
            "message": "deployments.apps \"x\" not found", "reason": "NotFound",
            "details": {"name": "x", "group": "apps", "kind": "deployments"}})
    );
    for path in ["/apis/example.com/v1/things", "/nowhere"] {
        let answer = world.get(path).await;
        assert_eq!(
            (answer.code, answer.body),
            (404, json!("404 page not found\n")),
            "{path}"
        );
    }
    for path in ["/api/v1/nothings", "/apis/apps/v9", "/api/v1/configmaps/x"] {
        let answer = world.get(path).await;
        let message = "the server could not find the requested resource";
        assert_eq!(
            (answer.code, &answer.body["message"]),
            (404, &json!(message)),
            "{path}"
        );
    }
    let mut object = config_map("a", json!({}));
    object["metadata"]["namespace"] = "absent".into();
    let answer = world
        .post("/api/v1/namespaces/absent/configmaps", object.clone())
        .await;
    assert_eq!(
        (answer.code, &answer.body["message"]),
        (404, &json!("namespaces \"absent\" not found"))
    );
    let answer = world
        .apply("/api/v1/namespaces/absent/configmaps/a", "x", object)
        .await;
    assert_eq!(
        (answer.code, &answer.body["details"]["kind"]),
        (404, &json!("namespaces"))
    );
}

#[tokio::test]
async fn conflicts_are_409() {
    let world = World::new();
    let first = world
        .post(CONFIG_MAPS, config_map("a", json!({"k": "1"})))
        .await;
    assert_eq!(first.code, 201);
    let twice = world.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    assert_eq!(
        (twice.code, &twice.body["reason"]),
        (409, &json!("AlreadyExists"))
    );
    assert_eq!(twice.body["message"], "configmaps \"a\" already exists");
    let mut changed = first.body.clone();
    changed["data"]["k"] = "2".into();
    assert_eq!(
        world
            .put(&format!("{CONFIG_MAPS}/a"), changed.clone())
            .await
            .code,
        200
    );
    changed["data"]["k"] = "3".into();
    let late = world.put(&format!("{CONFIG_MAPS}/a"), changed).await;
    assert_eq!(late.code, 409);
    assert_eq!(
        late.body["message"],
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes \
         to the latest version and try again"
    );
}

#[tokio::test]
async fn what_is_not_valid_is_422_or_400() {
    let world = World::new();
    let mut without_selector = deployment("d", 1);
    without_selector["spec"]
        .as_object_mut()
        .unwrap()
        .remove("selector");
    let mut bad_label = config_map("a", json!({}));
    bad_label["metadata"]["labels"] = json!({"a": "b c"});
    let of_another = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    for (path, object, code, field) in [
        (
            CONFIG_MAPS,
            config_map("A_b", json!({})),
            422,
            "metadata.name",
        ),
        (CONFIG_MAPS, bad_label, 422, "metadata.labels"),
        (DEPLOYMENTS, without_selector, 422, "spec.selector"),
        (CONFIG_MAPS, of_another, 400, ""),
        (DEPLOYMENTS, config_map("a", json!({})), 400, ""),
        (
            CONFIG_MAPS,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
            422,
            "metadata.name",
        ),
        (CONFIG_MAPS, json!([1]), 400, ""),
        (CONFIG_MAPS, config_map("a", json!({"k": 1})), 400, ""),
    ] {
        let answer = world.post(path, object.clone()).await;
        assert_eq!(answer.code, code, "{object}: {}", answer.body);
        if !field.is_empty() {
            assert_eq!(answer.body["details"]["causes"][0]["field"], field);
        }
    }
    world
        .apply(&format!("{DEPLOYMENTS}/d"), "x", deployment("d", 1))
        .await;
    let mut other = deployment("d", 1);
    other["spec"]["selector"] = json!({"matchLabels": {"app": "e"}});
    other["spec"]["template"]["metadata"]["labels"] = json!({"app": "e"});
    let answer = world.apply(&format!("{DEPLOYMENTS}/d"), "x", other).await;
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (422, &json!("Invalid"))
    );
    assert!(
        answer.body["message"]
            .as_str()
            .unwrap()
            .ends_with("field is immutable"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn methods_sizes_and_media_types_are_checked() {
    let world = World::new();
    let post =
        |media: &'static str| world.send("POST", CONFIG_MAPS, media, config_map("a", json!({})));
    assert_eq!(post("application/vnd.kubernetes.protobuf").await.code, 415);
    assert_eq!(
        world
            .post("/api/v1/configmaps", config_map("a", json!({})))
            .await
            .code,
        405
    );
    assert_eq!(
        world
            .send(
                "POST",
                &format!("{CONFIG_MAPS}/a"),
                "application/json",
                Value::Null
            )
            .await
            .code,
        405
    );
    let large = config_map("a", json!({"k": "v".repeat(3 << 20)}));
    let answer = world.post(CONFIG_MAPS, large).await;
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (413, &json!("RequestEntityTooLarge"))
    );
    assert_eq!(
        world
            .get_as(CONFIG_MAPS, "application/vnd.kubernetes.protobuf")
            .await
            .code,
        406
    );
}

#[tokio::test]
async fn a_webhook_that_nobody_answers_refuses_what_it_covers() {
    let world = World::new();
    let hook = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "w"}, "webhooks": [{
            "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"service": {"namespace": "default", "name": "w"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}]}],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    assert_eq!(world.post(path, hook).await.code, 201);
    let answer = world
        .apply(&format!("{CONFIG_MAPS}/a"), "x", config_map("a", json!({})))
        .await;
    assert_eq!(
        (answer.code, &answer.body["reason"]),
        (500, &json!("InternalError"))
    );
    let message = answer.body["message"].as_str().unwrap();
    assert!(
        message.starts_with("Internal error occurred: failed calling webhook \"w.example.com\""),
        "{message}"
    );
    assert_eq!(
        world.delete(&format!("{path}/w"), Value::Null).await.code,
        200
    );
    assert_eq!(
        world
            .apply(&format!("{CONFIG_MAPS}/a"), "x", config_map("a", json!({})))
            .await
            .code,
        201
    );
}

#[tokio::test]
async fn what_no_schema_fits_is_not_applied() {
    let world = World::new();
    let path = format!("{CONFIG_MAPS}/a");
    let answer = world
        .apply(&path, "x", config_map("a", json!({"k": 1})))
        .await;
    assert_eq!(answer.code, 500);
    let wanted = "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .data.k: expected string, got \
                  &value.valueUnstructured{Value:1}";
    assert_eq!(answer.body["message"], wanted);
    let mut twice = deployment("d", 1);
    let containers = &mut twice["spec"]["template"]["spec"]["containers"];
    *containers = json!([containers[0], containers[0]]);
    let answer = world.apply(&format!("{DEPLOYMENTS}/d"), "x", twice).await;
    let wanted = "failed to create typed patch object (/d; apps/v1, Kind=Deployment): \
                  .spec.template.spec.containers: duplicate entries for key [name=\"c\"]";
    assert_eq!(answer.body["message"], wanted);
}
