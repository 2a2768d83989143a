//! The real control planes themselves: what the harness promises those who test on them.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, from_value, json};
use tests::{
    clusters::{client, inventory, until_as_before},
    control_plane::{By, ControlPlane, Part, Profile, lease, version},
    until,
};

async fn server_version(plane: &ControlPlane, by: By) -> String {
    let client = client(&plane.kubeconfig_by(by)).await;
    client.apiserver_version().await.unwrap().git_version
}

fn namespace(name: &str) -> Namespace {
    from_value(json!({"metadata": {"name": name}})).unwrap()
}

fn deployment() -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "none"}]},
        },
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_roll_out_and_namespaces_end_and_the_two_know_nothing_of_each_other() {
    let Some(lease) = lease().await else { return };
    let [one, two] = lease.planes();
    let before = inventory(&one.client().await).await;
    let kube = one.client().await;
    let namespaces: Api<Namespace> = Api::all(kube.clone());
    let create = PostParams::default();
    namespaces.create(&create, &namespace("n")).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(kube.clone(), "n");
    let web = from_value(deployment()).unwrap();
    deployments.create(&create, &web).await.unwrap();
    until("three pods are ready", || async {
        let status = deployments.get("web").await.unwrap().status?;
        (status.ready_replicas == Some(3)).then_some(())
    })
    .await;
    let elsewhere: Api<Namespace> = Api::all(two.client().await);
    assert!(elsewhere.get_opt("n").await.unwrap().is_none());
    namespaces
        .delete("n", &DeleteParams::default())
        .await
        .unwrap();
    until_as_before(&kube, &before).await;
    lease.give_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_comes_in_by_token_and_by_certificate_and_not_into_the_other_one() {
    let Some([one, two]) = ControlPlane::start_pair(Profile::Server).await else {
        return;
    };
    for plane in [&one, &two] {
        for by in [By::Token, By::Certificate] {
            assert_eq!(Some(&*server_version(plane, by).await), version());
        }
    }
    let address = |text: &str| {
        let server = text.lines().find(|line| line.contains("server:")).unwrap();
        server.to_owned()
    };
    for by in [By::Token, By::Certificate] {
        let (mine, other) = (one.kubeconfig_by(by), two.kubeconfig_by(by));
        let astray = client(&mine.replace(&address(&mine), &address(&other))).await;
        astray.apiserver_version().await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_sigkill_of_either_server_and_after_a_stop() {
    let Some(plane) = ControlPlane::start("c1", Profile::Server).await else {
        return;
    };
    let namespaces: Api<Namespace> = Api::all(plane.client().await);
    let mut names = vec![];
    for (killed, gently) in [
        (&[Part::ApiServer][..], false),
        (&[Part::Etcd], false),
        (&[Part::ApiServer, Part::Etcd], false),
        (&[Part::ApiServer], true),
    ] {
        let name = format!("n{}", names.len());
        let create = PostParams::default();
        namespaces.create(&create, &namespace(&name)).await.unwrap();
        names.push(name);
        for part in killed {
            assert!(plane.pid(*part).is_some());
            if gently {
                plane.stop(*part).await;
            } else {
                plane.kill(*part);
            }
            assert!(plane.pid(*part).is_none());
        }
        if killed.contains(&Part::ApiServer) {
            namespaces.list(&Default::default()).await.unwrap_err();
        }
        for part in killed {
            plane.begin(*part);
        }
        plane.ready().await;
        let listed = namespaces.list(&Default::default()).await.unwrap();
        let found = listed.items.into_iter().filter_map(|n| n.metadata.name);
        let found: Vec<_> = found.filter(|name| names.contains(name)).collect();
        assert_eq!(found, names);
    }
}
