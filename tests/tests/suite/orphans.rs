//! Abandoned clusters, the orphan ledger and the collector through the gRPC API.

use proto::v1::{
    CollectOrphansRequest, DeleteClusterRequest, ForgetOrphansRequest, ListOrphansRequest, Orphan,
    ResourceState as R, collected_orphan::Result as Came,
    document_service_client::DocumentServiceClient, orphan_service_client::OrphanServiceClient,
};
use sandbox::host::{Fault, FaultKind, Verb};
use store::StoreConfig;
use tests::{
    At, Stack,
    clusters::{client, config_maps},
    documents::{App, config_map, config_maps as maps, on},
    until,
};
use tonic::{Code, transport::Channel};

everywhere! {
    a_terminate_that_abandons_a_dead_cluster_ends_and_the_ledger_is_collected_when_it_is_back,
    a_forgotten_orphan_stays_on_its_cluster_and_a_new_life_says_whose_it_is,
    an_object_that_arrives_after_terminated_is_collected_by_itself,
}

async fn names_on(stack: &Stack, cluster: &str) -> Vec<String> {
    let client = client(&stack.host.cluster(cluster).unwrap().kubeconfig).await;
    config_maps(&client).await.into_iter().collect()
}

fn ledger(stack: &Stack) -> OrphanServiceClient<Channel> {
    OrphanServiceClient::new(stack.channel.clone())
}

async fn orphans(stack: &Stack) -> Vec<Orphan> {
    let request = ListOrphansRequest::default();
    let page = ledger(stack).list_orphans(request).await.unwrap();
    page.into_inner().orphans
}

async fn a_terminate_that_abandons_a_dead_cluster_ends_and_the_ledger_is_collected_when_it_is_back(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let apps = [App::new("a", maps(&["r1", "r2"]))];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    stack.fault("c1", FaultKind::BlackHole);
    dig.terminate().await.unwrap();
    dig.until("c2 Deleted, c1 Retrying", |s| {
        s.count(R::Deleted) == 2 && s.count(R::Retrying) == 2
    })
    .await;
    let nowhere = dig.abandon(&["sandbox+c9"]).await.unwrap_err();
    assert_eq!(nowhere.code(), Code::FailedPrecondition, "{nowhere:?}");

    // On a terminate that is under way, and twice.
    let given_up = dig.abandon(&["sandbox+c1"]).await.unwrap();
    assert!(given_up.changed);
    let status = dig.until_terminated().await;
    assert!(!status.resources.is_empty());
    for row in &status.resources {
        let abandoned = row.kept.starts_with("abandoned");
        assert_eq!(abandoned, row.cluster == "sandbox+c1", "{row:?}");
    }
    let entries = orphans(&stack).await;
    let mut names: Vec<_> = entries.iter().map(|o| o.object.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["r1", "r2", "shop"]);
    for entry in &entries {
        assert_eq!(entry.cluster, "sandbox+c1");
        assert_eq!(entry.context_id, given_up.context_id);
        assert_eq!((entry.project.as_str(), entry.name.as_str()), ("p", "x"));
    }

    // The ledger outlives the DIG, and keeps its cluster.
    dig.delete().await.unwrap();
    let mut documents = DocumentServiceClient::new(stack.channel.clone());
    let delete = DeleteClusterRequest {
        id: "sandbox+c1".into(),
        ..Default::default()
    };
    let refused = documents.delete_cluster(delete.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("orphans collect"), "{refused:?}");

    stack.heal("c1").await;
    assert_eq!(names_on(&stack, "c1").await, ["r1", "r2"]);
    let collect = CollectOrphansRequest {
        cluster: "sandbox+c1".into(),
        request_id: "once".into(),
        ..Default::default()
    };
    until("everything is collected", || async {
        let answer = ledger(&stack)
            .collect_orphans(collect.clone())
            .await
            .unwrap();
        let came = answer.into_inner().orphans;
        assert_eq!(came.len(), 3, "a repeat speaks of the same entries");
        assert!(
            came.iter().all(|one| one.result() != Came::Failed),
            "{came:?}"
        );
        came.iter()
            .all(|one| one.result() == Came::Over)
            .then_some(())
    })
    .await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    assert!(orphans(&stack).await.is_empty());
    documents.delete_cluster(delete).await.unwrap();
    stack.end().await;
}

async fn a_forgotten_orphan_stays_on_its_cluster_and_a_new_life_says_whose_it_is(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let apps = [App::new("a", config_map("r1"))];
    let dig = stack.approved("x", &apps, &on(&["c1"])).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    dig.abandon(&["sandbox+c1"]).await.unwrap();
    dig.until_terminated().await;
    assert_eq!(stack.asked("c1", Verb::Delete), [""; 0]);
    let ids: Vec<String> = orphans(&stack).await.into_iter().map(|o| o.id).collect();
    let forget = ForgetOrphansRequest {
        ids: ids.clone(),
        ..Default::default()
    };
    let refused = ledger(&stack)
        .forget_orphans(forget.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "without a reason");
    let forget = ForgetOrphansRequest {
        reason: "kept by hand".into(),
        ..forget
    };
    ledger(&stack).forget_orphans(forget.clone()).await.unwrap();
    let gone = ledger(&stack).forget_orphans(forget).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert!(orphans(&stack).await.is_empty());
    assert_eq!(names_on(&stack, "c1").await, ["r1"]);
    let events = dig.events().await;
    assert!(
        events
            .iter()
            .any(|e| e.event == "OrphanForgotten" && e.message == "kept by hand")
    );

    dig.instantiate().await.unwrap();
    let status = dig
        .until_context(proto::v1::ContextState::InstantiateFailed)
        .await;
    let error = status.resource("c1", "r1").last_error.clone().unwrap();
    assert!(error.message.contains("managed by muster-"), "{error:?}");
    stack.end().await;
}

async fn an_object_that_arrives_after_terminated_is_collected_by_itself(at: At) {
    let times = StoreConfig {
        slack_ms: 2_000,
        collect_every_ms: 500,
        ..StoreConfig::default()
    };
    let Some(stack) = Stack::at_timed(at, 1, times).await else {
        return;
    };
    // Later than Terminated: a real namespace takes its seconds to go.
    let ms = match at {
        At::Sandbox => 9_000,
        At::RealServers => 30_000,
    };
    let late = Fault::from(FaultKind::Late { ms })
        .verb(Verb::Apply)
        .of_kind("ConfigMap")
        .named("late")
        .times(1);
    stack.fault_where("c1", late);
    let objects = config_map("late").replace("name: late", "name: late, namespace: default");
    let apps = [App::new("a", objects + &config_map("r1"))];
    let dig = stack.approved("x", &apps, &on(&["c1"])).await;
    dig.instantiate().await.unwrap();
    dig.until("late is under way", |s| {
        s.resource("c1", "late").attempts > 0
    })
    .await;
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    // It comes later than anything is waited for, and goes again.
    until("the late object is collected", || async {
        let events = dig.events().await;
        events.iter().any(|e| e.event == "LateObject").then_some(())
    })
    .await;
    let kube = client(&stack.host.cluster("c1").unwrap().kubeconfig).await;
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(kube, "default");
    until("it is gone", || async {
        api.get_opt("late").await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(orphans(&stack).await.is_empty());
    stack.end().await;
}
