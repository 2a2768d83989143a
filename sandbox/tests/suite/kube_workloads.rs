//! Workloads come up, change, and survive a restart of the process.

use std::time::Duration;

use sandbox::kube::{Cluster, ClusterConfig};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::kube_world::{CONFIG_MAPS, DEPLOYMENTS, World, config_map, deployment, quick};

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_deployment_is_ready_after_a_while_and_rolls_over() {
    let world = World::new();
    let path = format!("{DEPLOYMENTS}/d");
    world.apply(&path, "x", deployment("d", 3)).await;
    let ready = world
        .until(&path, |answer| answer.body["status"]["readyReplicas"] == 3)
        .await
        .body;
    assert_eq!(ready["status"]["observedGeneration"], 1);
    let conditions = ready["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|one| one["type"] == "Available" && one["status"] == "True")
    );
    let pods = world.get(PODS).await.body;
    assert_eq!(pods["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        pods["items"][0]["metadata"]["ownerReferences"][0]["kind"],
        "ReplicaSet"
    );
    let mut changed = deployment("d", 1);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    world.apply(&path, "x", changed).await;
    let rolled = |body: &Value| {
        let items = body["items"].as_array().unwrap();
        items.len() == 1 && items[0]["spec"]["containers"][0]["image"] == "i:2"
    };
    world.until(PODS, |answer| rolled(&answer.body)).await;
    let settled = world.until(&path, |answer| {
        answer.body["status"]["replicas"] == 1 && answer.body["status"]["readyReplicas"] == 1
    });
    assert_eq!(settled.await.body["status"]["observedGeneration"], 2);
    let scaled = world
        .merge(&format!("{path}/scale"), json!({"spec": {"replicas": 2}}))
        .await;
    assert_eq!(
        (scaled.code, &scaled.body["spec"]["replicas"]),
        (200, &json!(2))
    );
    world
        .until(&path, |answer| answer.body["status"]["readyReplicas"] == 2)
        .await;
}

#[tokio::test]
async fn the_other_workloads_come_up_too() {
    let world = World::new();
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"app": "a"}}, "template": template});
    let mut set = spec.clone();
    set["serviceName"] = "s".into();
    set["replicas"] = 2.into();
    set["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}}]);
    let mut job = json!({"template": template});
    job["template"]["spec"]["restartPolicy"] = "Never".into();
    for (kind, group, plural, spec, field, wanted) in [
        (
            "StatefulSet",
            "apps",
            "statefulsets",
            set,
            "readyReplicas",
            2,
        ),
        ("DaemonSet", "apps", "daemonsets", spec, "numberReady", 1),
        ("Job", "batch", "jobs", job, "succeeded", 1),
    ] {
        let path = format!("/apis/{group}/v1/namespaces/default/{plural}/w");
        let object = json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "w"}, "spec": spec});
        let answer = world.apply(&path, "x", object).await;
        assert_eq!(answer.code, 201, "{}", answer.body);
        world
            .until(&path, |answer| answer.body["status"][field] == wanted)
            .await;
    }
    let claim = "/api/v1/namespaces/default/persistentvolumeclaims/data-w-0";
    world
        .until(claim, |answer| answer.body["status"]["phase"] == "Bound")
        .await;
    assert_eq!(world.get(&format!("{PODS}/w-1")).await.code, 200);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]}});
    let service = world
        .apply("/api/v1/namespaces/default/services/s", "x", service)
        .await
        .body;
    assert!(
        service["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .starts_with("10.96."),
        "{service}"
    );
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    world
        .until(slices, |answer| {
            answer.body["items"].as_array().unwrap().len() == 1
        })
        .await;
}

#[tokio::test]
async fn a_pod_that_is_told_so_is_never_ready() {
    let world = World::new();
    let mut never = deployment("never", 1);
    never["spec"]["template"]["metadata"]["annotations"] = json!({"sandbox/ready-after": "never"});
    world
        .apply(&format!("{DEPLOYMENTS}/never"), "x", never)
        .await;
    world
        .apply(&format!("{DEPLOYMENTS}/soon"), "x", deployment("soon", 1))
        .await;
    world
        .until(&format!("{DEPLOYMENTS}/soon"), |answer| {
            answer.body["status"]["readyReplicas"] == 1
        })
        .await;
    let status = world.get(&format!("{DEPLOYMENTS}/never")).await.body["status"].clone();
    assert_eq!(
        (&status["replicas"], &status["readyReplicas"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test]
async fn a_cluster_continues_where_its_process_was_killed() {
    let dir = TempDir::new().unwrap();
    let open = || World {
        cluster: Cluster::open("c1", Some(dir.path()), quick()).unwrap(),
    };
    let slow = ClusterConfig {
        collect_after: Duration::from_secs(600),
        ..quick()
    };
    let world = World {
        cluster: Cluster::open("c1", Some(dir.path()), slow).unwrap(),
    };
    let identity =
        world.get("/api/v1/namespaces/kube-system").await.body["metadata"]["uid"].clone();
    world
        .apply(
            &format!("{CONFIG_MAPS}/a"),
            "x",
            config_map("a", json!({"k": "v"})),
        )
        .await;
    world
        .apply(&format!("{DEPLOYMENTS}/d"), "x", deployment("d", 1))
        .await;
    world
        .delete(
            &format!("{CONFIG_MAPS}/a"),
            json!({"propagationPolicy": "Foreground"}),
        )
        .await;
    let kept = world
        .apply(
            &format!("{CONFIG_MAPS}/b"),
            "x",
            config_map("b", json!({"k": "v"})),
        )
        .await
        .body;
    // Nothing is said to the first one: that is what a SIGKILL looks like from the files.
    let again = open();
    assert_eq!(
        again.get("/api/v1/namespaces/kube-system").await.body["metadata"]["uid"],
        identity
    );
    assert_eq!(again.get(&format!("{CONFIG_MAPS}/b")).await.body, kept);
    again.gone(&format!("{CONFIG_MAPS}/a")).await;
    again
        .until(&format!("{DEPLOYMENTS}/d"), |answer| {
            answer.body["status"]["readyReplicas"] == 1
        })
        .await;
    let other = World::new();
    assert_ne!(
        other.get("/api/v1/namespaces/kube-system").await.body["metadata"]["uid"],
        identity
    );
}
