//! Server-side apply as clients see it.

use serde_json::{Value, json};

use super::kube_world::{CONFIG_MAPS, DEPLOYMENTS, World, config_map, deployment};

fn path(name: &str) -> String {
    format!("{CONFIG_MAPS}/{name}")
}

#[tokio::test]
async fn an_apply_creates_then_changes_nothing_then_changes() {
    let world = World::new();
    let new = world
        .apply(&path("a"), "x", config_map("a", json!({"k": "1"})))
        .await;
    assert_eq!(new.code, 201, "{}", new.body);
    assert!(new.body["metadata"]["uid"].is_string());
    let managed = &new.body["metadata"]["managedFields"][0];
    assert_eq!(managed["manager"], "x");
    assert_eq!(managed["operation"], "Apply");
    assert_eq!(managed["fieldsV1"], json!({"f:data": {"f:k": {}}}));
    let same = world
        .apply(&path("a"), "x", config_map("a", json!({"k": "1"})))
        .await;
    assert_eq!(
        (same.code, &same.body),
        (200, &new.body),
        "resourceVersion and all"
    );
    let other = world
        .apply(&path("a"), "x", config_map("a", json!({"l": "2"})))
        .await;
    assert_eq!(
        other.body["data"],
        json!({"l": "2"}),
        "the field that is no longer applied is gone"
    );
    assert_ne!(
        other.body["metadata"]["resourceVersion"],
        new.body["metadata"]["resourceVersion"]
    );
    assert_eq!(other.body["metadata"]["uid"], new.body["metadata"]["uid"]);
}

#[tokio::test]
async fn an_apply_of_anothers_label_is_a_conflict_that_names_field_and_manager() {
    let world = World::new();
    let labelled = |value: &str| {
        let mut object = config_map("a", json!({"k": "1"}));
        object["metadata"]["labels"] = json!({"muster.dev/context": value});
        object
    };
    world.apply(&path("a"), "muster-1", labelled("1")).await;
    let refused = world.apply(&path("a"), "muster-2", labelled("2")).await;
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.body,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 409,
            "reason": "Conflict",
            "message": "Apply failed with 1 conflict: conflict with \"muster-1\": .metadata.labels.muster.dev/context",
            "details": {"causes": [{"reason": "FieldManagerConflict", "message": "conflict with \"muster-1\"",
                "field": ".metadata.labels.muster.dev/context"}]},
        })
    );
    let forced = world
        .apply(
            &format!("{}?force=true", path("a")),
            "muster-2",
            labelled("2"),
        )
        .await;
    assert_eq!(forced.body["metadata"]["labels"]["muster.dev/context"], "2");
}

#[tokio::test]
async fn uids_and_versions_in_an_apply_are_conditions() {
    let world = World::new();
    let with = |field: &str, value: &str| {
        let mut object = config_map("a", json!({"k": "1"}));
        object["metadata"][field] = value.into();
        object
    };
    let absent = world
        .apply(
            &path("a"),
            "x",
            with("uid", "11111111-1111-4111-8111-111111111111"),
        )
        .await;
    assert_eq!(
        (absent.code, &absent.body["reason"]),
        (409, &json!("Conflict"))
    );
    assert_eq!(
        world
            .apply(&path("a"), "x", with("resourceVersion", "1"))
            .await
            .code,
        201
    );
    let other = world
        .apply(
            &path("a"),
            "x",
            with("uid", "11111111-1111-4111-8111-111111111111"),
        )
        .await;
    assert_eq!(
        (other.code, &other.body["reason"]),
        (422, &json!("Invalid"))
    );
    assert_eq!(other.body["details"]["causes"][0]["field"], "metadata.uid");
    assert_eq!(
        world
            .apply(&path("a"), "x", with("resourceVersion", "1"))
            .await
            .code,
        409
    );
}

#[tokio::test]
async fn an_apply_says_who_and_what_it_is() {
    let world = World::new();
    let media = "application/apply-patch+yaml";
    let nobody = world
        .send("PATCH", &path("a"), media, config_map("a", json!({})))
        .await;
    assert_eq!(nobody.code, 422);
    assert_eq!(
        nobody.body["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    for (object, code) in [
        (config_map("b", json!({})), 400),
        (
            json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            400,
        ),
        (json!({"metadata": {"name": "a"}}), 400),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"}}),
            400,
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": []}}),
            400,
        ),
    ] {
        let answer = world.apply(&path("a"), "x", object.clone()).await;
        assert_eq!(answer.code, code, "{object}: {}", answer.body);
    }
    let strange = world
        .send(
            "PATCH",
            &path("a"),
            "application/foo",
            config_map("a", json!({})),
        )
        .await;
    assert_eq!(
        (strange.code, &strange.body["reason"]),
        (415, &json!("UnsupportedMediaType"))
    );
}

#[tokio::test]
async fn a_yaml_body_is_applied_too() {
    let world = World::new();
    let request = http::Request::patch(format!("{}?fieldManager=x", path("a")))
        .header("content-type", "application/apply-patch+yaml");
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n";
    assert_eq!(world.raw(request, yaml).await.status(), 201);
    assert_eq!(world.get(&path("a")).await.body["data"], json!({"k": "v"}));
}

#[tokio::test]
async fn a_dry_run_is_answered_and_forgotten() {
    let world = World::new();
    let answer = world
        .apply(
            &format!("{}?dryRun=All", path("a")),
            "x",
            config_map("a", json!({"k": "1"})),
        )
        .await;
    assert_eq!((answer.code, &answer.body["data"]["k"]), (201, &json!("1")));
    assert_eq!(world.get(&path("a")).await.code, 404);
    let answer = world
        .apply(
            &format!("{}?dryRun=Some", path("a")),
            "x",
            config_map("a", json!({})),
        )
        .await;
    assert_eq!(answer.code, 422);
}

#[tokio::test]
async fn containers_ports_and_env_are_owned_one_by_one() {
    let world = World::new();
    let path = format!("{DEPLOYMENTS}/d");
    let mut object = deployment("d", 1);
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 80}]);
    assert_eq!(world.apply(&path, "x", object.clone()).await.code, 201);
    let side = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"template": {"spec": {
        "containers": [{"name": "side", "image": "s"}, {"name": "c", "env": [{"name": "E", "value": "1"}]}]}}}});
    let merged = world.apply(&path, "y", side.clone()).await;
    assert_eq!(merged.code, 200, "{}", merged.body);
    let containers = &merged.body["spec"]["template"]["spec"]["containers"];
    let names: Vec<&str> = containers
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["side", "c"]);
    assert_eq!(containers[1]["image"], "i:1");
    assert_eq!(
        containers[1]["ports"],
        json!([{"containerPort": 80, "protocol": "TCP"}])
    );
    let managed = merged.body["metadata"]["managedFields"].as_array().unwrap();
    let of_y = managed.iter().find(|one| one["manager"] == "y").unwrap();
    assert_eq!(
        of_y["fieldsV1"],
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:env": {"k:{\"name\":\"E\"}": {".": {}, "f:name": {}, "f:value": {}}}},
            "k:{\"name\":\"side\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}})
    );
    let again = world.apply(&path, "x", object).await;
    let again = &again.body["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        again.as_array().unwrap().len(),
        2,
        "what y owns stays when x applies again"
    );
}

#[tokio::test]
async fn updates_own_fields_too() {
    let world = World::new();
    world
        .post(CONFIG_MAPS, config_map("a", json!({"k": "1"})))
        .await;
    let refused = world
        .apply(&path("a"), "x", config_map("a", json!({"k": "2"})))
        .await;
    assert_eq!(refused.code, 409);
    assert_eq!(
        refused.body["message"],
        "Apply failed with 1 conflict: conflict with \"tester\" using v1: .data.k"
    );
    let patched = world
        .merge(
            &format!("{}?fieldManager=m", path("a")),
            json!({"data": {"l": "1"}}),
        )
        .await;
    let managers: Vec<&Value> = patched.body["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["manager"])
        .collect();
    assert_eq!(managers, ["m", "tester"]);
}

#[tokio::test]
async fn generation_counts_changes_of_what_is_wanted() {
    let world = World::new();
    let path = format!("{DEPLOYMENTS}/d");
    world.apply(&path, "x", deployment("d", 0)).await;
    let mut labelled = deployment("d", 0);
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        world.apply(&path, "x", labelled).await.body["metadata"]["generation"],
        1
    );
    assert_eq!(
        world.apply(&path, "x", deployment("d", 1)).await.body["metadata"]["generation"],
        2
    );
    let status = world
        .merge(
            &format!("{path}/status"),
            json!({"status": {"collisionCount": 1}, "spec": {"replicas": 9}}),
        )
        .await;
    assert_eq!(
        (status.code, &status.body["metadata"]["generation"]),
        (200, &json!(2))
    );
    assert_eq!(
        status.body["spec"]["replicas"], 1,
        "status writes status only"
    );
}
