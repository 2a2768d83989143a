//! Lists, tables, metadata, discovery, watches.

use std::time::Duration;

use sandbox::kube::ClusterConfig;
use serde_json::{Value, json};

use super::kube_world::{CONFIG_MAPS, World, config_map, quick};

async fn fill(world: &World, count: usize) {
    for at in 0..count {
        let mut object = config_map(&format!("m{at:03}"), json!({"k": "v"}));
        object["metadata"]["labels"] = json!({"parity": if at % 2 == 0 { "even" } else { "odd" }});
        assert_eq!(world.post(CONFIG_MAPS, object).await.code, 201);
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn lists_come_in_pages_and_by_selector() {
    let world = World::new();
    fill(&world, 10).await;
    let first = world.get(&format!("{CONFIG_MAPS}?limit=4")).await.body;
    assert_eq!(names(&first), ["kube-root-ca.crt", "m000", "m001", "m002"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 7);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = world
        .get(&format!("{CONFIG_MAPS}?limit=100&continue={token}"))
        .await
        .body;
    assert_eq!(names(&second).len(), 7);
    assert_eq!(second["metadata"]["continue"], Value::Null);
    let odd = world
        .get("/api/v1/configmaps?labelSelector=parity%20in%20(odd)")
        .await
        .body;
    assert_eq!(names(&odd).len(), 5);
    assert_eq!(odd["kind"], "ConfigMapList");
    let one = world
        .get("/api/v1/configmaps?fieldSelector=metadata.name%3Dm003,metadata.namespace%3Ddefault")
        .await
        .body;
    assert_eq!(names(&one), ["m003"]);
    assert_eq!(
        world
            .get("/api/v1/configmaps?labelSelector=a%20b")
            .await
            .code,
        400
    );
    assert_eq!(
        world
            .get("/api/v1/configmaps?resourceVersion=999999")
            .await
            .code,
        504
    );
}

#[tokio::test]
async fn metadata_can_be_asked_for_alone() {
    let world = World::new();
    fill(&world, 3).await;
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = world
        .get_as(&format!("{CONFIG_MAPS}?limit=2"), accept)
        .await
        .body;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["apiVersion"], "meta.k8s.io/v1");
    assert_eq!(list["items"][1]["kind"], "PartialObjectMetadata");
    assert_eq!(list["items"][1]["data"], Value::Null);
    assert!(list["metadata"]["continue"].is_string());
    let one = world
        .get_as(
            &format!("{CONFIG_MAPS}/m000"),
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        )
        .await;
    assert_eq!(
        (&one.body["kind"], &one.body["data"]),
        (&json!("PartialObjectMetadata"), &Value::Null)
    );
}

#[tokio::test]
async fn tables_have_columns_and_rows() {
    let world = World::new();
    fill(&world, 1).await;
    let table = world
        .get_as(
            CONFIG_MAPS,
            "application/json;as=Table;g=meta.k8s.io;v=v1,application/json",
        )
        .await
        .body;
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["columnDefinitions"][0]["name"], "Name");
    assert_eq!(table["rows"][1]["cells"][0], "m000");
    assert_eq!(table["rows"][1]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn discovery_lists_groups_and_resources_in_both_forms() {
    let world = World::new();
    assert_eq!(world.get("/api").await.body["versions"], json!(["v1"]));
    let groups = world.get("/apis").await.body;
    let apps = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["name"] == "apps")
        .unwrap();
    assert_eq!(apps["preferredVersion"]["groupVersion"], "apps/v1");
    let resources = world.get("/apis/apps/v1").await.body;
    let named = |name: &str| {
        resources["resources"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == name)
            .cloned()
            .unwrap()
    };
    assert_eq!(named("deployments")["shortNames"], json!(["deploy"]));
    assert_eq!(named("deployments/scale")["group"], "autoscaling");
    assert_eq!(
        world.get("/apis/autoscaling").await.body["preferredVersion"]["version"],
        "v2"
    );
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let all = world.get_as("/apis", accept).await.body;
    assert_eq!(all["kind"], "APIGroupDiscoveryList");
    assert_eq!(all["apiVersion"], "apidiscovery.k8s.io/v2");
    let core = world.get_as("/api", accept).await.body;
    let pods = core["items"][0]["versions"][0]["resources"]
        .as_array()
        .unwrap();
    let pods = pods.iter().find(|one| one["resource"] == "pods").unwrap();
    assert_eq!(
        (&pods["scope"], &pods["responseKind"]["kind"]),
        (&json!("Namespaced"), &json!("Pod"))
    );
    assert_eq!(world.get("/version").await.body["gitVersion"], "v1.36.3");
    assert_eq!(world.get("/readyz").await.body, json!("ok"));
    assert!(world.get("/openapi/v3").await.body["paths"]["apis/apps/v1"].is_object());
    let document = world.get("/openapi/v3/apis/apps/v1").await.body;
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(
        patch["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["name"] == "fieldValidation")
    );
}

#[tokio::test]
async fn everybody_may_everything() {
    let world = World::new();
    let ask = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "delete", "resource": "pods"}}});
    let answer = world
        .post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            ask,
        )
        .await;
    assert_eq!(
        (answer.code, &answer.body["status"]["allowed"]),
        (201, &json!(true))
    );
    let ask = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let answer = world
        .post("/apis/authentication.k8s.io/v1/selfsubjectreviews", ask)
        .await;
    assert_eq!(
        answer.body["status"]["userInfo"]["username"],
        "sandbox-admin"
    );
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_version() {
    let world = World::new();
    let version = world.get(CONFIG_MAPS).await.body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut watch = world
        .watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={version}"))
        .await;
    world.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    world
        .merge(&format!("{CONFIG_MAPS}/a"), json!({"data": {"k": "v"}}))
        .await;
    world.delete(&format!("{CONFIG_MAPS}/a"), Value::Null).await;
    for wanted in ["ADDED a", "MODIFIED a", "DELETED a"] {
        assert_eq!(watch.short().await, wanted);
    }
}

#[tokio::test]
async fn a_watch_without_a_version_begins_with_what_there_is() {
    let world = World::new();
    fill(&world, 2).await;
    let mut watch = world
        .watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=parity"))
        .await;
    assert_eq!(watch.short().await, "ADDED m000");
    assert_eq!(watch.short().await, "ADDED m001");
    let streaming = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = world
        .watch(&format!(
            "{CONFIG_MAPS}?{streaming}&labelSelector=parity%3Dodd"
        ))
        .await;
    assert_eq!(watch.short().await, "ADDED m001");
    let (what, mark) = watch.next().await.unwrap();
    assert_eq!(what, "BOOKMARK");
    assert_eq!(
        mark["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
}

#[tokio::test]
async fn objects_enter_and_leave_a_selected_watch() {
    let world = World::new();
    let version = world.get(CONFIG_MAPS).await.body["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut watch = world
        .watch(&format!(
            "{CONFIG_MAPS}?watch=1&resourceVersion={version}&labelSelector=on"
        ))
        .await;
    world.post(CONFIG_MAPS, config_map("a", json!({}))).await;
    world
        .merge(
            &format!("{CONFIG_MAPS}/a"),
            json!({"metadata": {"labels": {"on": "1"}}}),
        )
        .await;
    world
        .merge(
            &format!("{CONFIG_MAPS}/a"),
            json!({"metadata": {"labels": {"on": null}}}),
        )
        .await;
    assert_eq!(watch.short().await, "ADDED a");
    assert_eq!(watch.short().await, "DELETED a");
}

#[tokio::test]
async fn a_version_that_is_too_old_is_410_in_the_stream() {
    let world = World::with(ClusterConfig {
        watch_window: 5,
        ..quick()
    });
    fill(&world, 10).await;
    let mut watch = world
        .watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=2"))
        .await;
    let (what, status) = watch.next().await.unwrap();
    assert_eq!(what, "ERROR");
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert!(watch.next().await.is_none());
    let token = world.get(&format!("{CONFIG_MAPS}?limit=1")).await.body["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    fill_more(&world).await;
    assert_eq!(
        world
            .get(&format!("{CONFIG_MAPS}?limit=1&continue={token}"))
            .await
            .code,
        410
    );
}

async fn fill_more(world: &World) {
    for at in 0..10 {
        world
            .merge(
                &format!("{CONFIG_MAPS}/m000"),
                json!({"data": {"at": at.to_string()}}),
            )
            .await;
    }
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_up() {
    let world = World::new();
    let mut watch = world.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=1&timeoutSeconds=1&allowWatchBookmarks=true&labelSelector=none")).await;
    assert_eq!(watch.short().await, "BOOKMARK ");
    assert!(
        tokio::time::timeout(Duration::from_secs(20), watch.next())
            .await
            .unwrap()
            .is_none()
    );
}
