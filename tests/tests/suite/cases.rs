//! Cases 1–5, 17, 21–23, 25–27 of spec §8: through the gRPC API, a real worker, a real Temporal
//! server and sandbox clusters.

use futures_util::future::join_all;
use proto::v1::{Connectivity, ContextState, DigState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, HostConfig, Verb};
use tests::{
    At, Stack,
    clusters::{client, config_maps, inventory},
    documents::{App, Upload, config_map, config_maps as maps, fixture_f, on},
};
use tonic::Code;

everywhere! {
    case_1_2_and_21_all_resources_are_applied_then_deleted_and_a_second_life_is_a_new_context,
    case_3_terminate_at_once_leaves_nothing_and_instantiated_never_follows_pre_terminate,
    case_4_a_cluster_unreachable_from_the_start_costs_only_itself_and_is_caught_up,
    case_5_one_reset_connection_is_retried_and_never_a_failure,
    case_17_what_cannot_be_planned_is_refused_and_leaves_no_context,
    case_22_one_kind_and_name_in_two_namespaces_or_api_groups_are_two_resources,
    case_23_a_mandatory_cluster_is_deployed_also_when_any_of_names_it,
    case_25_approve_twice_is_one_entry_and_a_change_takes_the_approval_back,
    case_26_a_foreign_object_is_left_as_it_is_and_an_object_belongs_to_one_dig,
    case_27_a_shared_namespace_goes_with_its_last_dig_and_is_kept_for_somebody_elses_object,
    an_app_waits_for_its_dependency_and_says_so_and_a_delete_goes_the_other_way,
}

async fn kube(stack: &Stack, cluster: &str) -> ::kube::Client {
    client(&stack.host.cluster(cluster).unwrap().kubeconfig).await
}

async fn names_on(stack: &Stack, cluster: &str) -> Vec<String> {
    config_maps(&kube(stack, cluster).await)
        .await
        .into_iter()
        .collect()
}

/// Every object that is there, cluster by cluster.
async fn all_of(stack: &Stack, clusters: &[&str]) -> Vec<std::collections::BTreeSet<String>> {
    join_all(
        clusters
            .iter()
            .map(|c| async { inventory(&kube(stack, c).await).await }),
    )
    .await
}

async fn case_1_2_and_21_all_resources_are_applied_then_deleted_and_a_second_life_is_a_new_context(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let before = all_of(&stack, &["c1", "c2"]).await;
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    let mut contexts = vec![];
    for _ in 0..2 {
        contexts.push(dig.instantiate().await.unwrap().context_id);
        let status = dig.until_instantiated().await;
        assert_eq!(status.dig(), DigState::Instantiated);
        assert_eq!(status.count(R::Applied), 6, "{:?}", status.resources);
        assert_eq!(status.head.deployed_counts.unwrap().applied, 6);
        assert_eq!(names_on(&stack, "c1").await, ["r1", "r2", "r3", "r4"]);
        assert_eq!(names_on(&stack, "c2").await, ["r3", "r4"]);

        let answer = dig.terminate().await.unwrap();
        assert_eq!(answer.state(), DigState::Terminated);
        let status = dig.until_terminated().await;
        assert_eq!(status.count(R::Deleted), 6);
        assert_eq!(all_of(&stack, &["c1", "c2"]).await, before);
        let states = dig.context_states(contexts.last().unwrap()).await;
        assert_eq!(
            states,
            ["Instantiating", "Instantiated", "Terminating", "Terminated"]
        );
    }
    assert_ne!(contexts[0], contexts[1]);
    stack.end().await;
}

async fn case_3_terminate_at_once_leaves_nothing_and_instantiated_never_follows_pre_terminate(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let before = all_of(&stack, &["c1", "c2"]).await;
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    for _ in 0..5 {
        let context = dig.instantiate().await.unwrap().context_id;
        dig.terminate().await.unwrap();
        dig.until_terminated().await;
        let states = dig.context_states(&context).await;
        let pre = states.iter().position(|s| s == "PreTerminate");
        let done = states.iter().position(|s| s == "Instantiated");
        assert!(pre.is_none() || done.is_none() || done < pre, "{states:?}");
        assert_eq!(all_of(&stack, &["c1", "c2"]).await, before);
    }
    stack.end().await;
}

async fn case_4_a_cluster_unreachable_from_the_start_costs_only_itself_and_is_caught_up(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault("c1", FaultKind::BlackHole);
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    let on_c1 = |s: &tests::client::Snapshot| {
        let clusters = s.head.apps.iter().flat_map(|a| &a.clusters);
        clusters
            .filter(|c| c.cluster == "sandbox+c1")
            .map(|c| c.connectivity())
            .collect::<Vec<_>>()
    };
    // The head of a status is read before its rows.
    let status = dig
        .until("c1 Retrying, c2 Applied", |s| {
            let told = on_c1(s) == [Connectivity::Retrying; 2];
            told && s.count(R::Retrying) == 4 && s.count(R::Applied) == 2
        })
        .await;
    assert_eq!(status.context(), Some(ContextState::Instantiating));
    for name in ["r1", "r2", "r3", "r4"] {
        let row = status.resource("c1", name);
        assert!(row.last_error.is_some(), "{row:?}");
    }
    assert!(!status.head.problems.is_empty());
    stack.heal("c1").await;
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 6);
    assert_eq!(names_on(&stack, "c1").await, ["r1", "r2", "r3", "r4"]);
    stack.end().await;
}

async fn case_5_one_reset_connection_is_retried_and_never_a_failure(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let reset = Fault::from(FaultKind::Reset)
        .verb(Verb::Apply)
        .of_kind("ConfigMap")
        .named("r1")
        .times(1);
    stack.fault_where("c1", reset);
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let states: Vec<_> = dig
        .events()
        .await
        .into_iter()
        .filter(|e| e.object.ends_with("/r1") && e.from != e.to)
        .map(|e| e.to)
        .collect();
    assert_eq!(states, ["Pending", "Retrying", "Applied"]);
    stack.end().await;
}

async fn case_17_what_cannot_be_planned_is_refused_and_leaves_no_context(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let apply = |app: &'static [(&'static str, &'static str)], spec: String| {
        let mut upload = Upload::default();
        let apps: Vec<App> = app
            .iter()
            .map(|(name, dep)| {
                let app = App::new(name, config_map(&format!("m-{name}")));
                if dep.is_empty() {
                    app
                } else {
                    app.after(&format!("{{app: {dep}, opStatus: deployed, wait: 0s}}"))
                }
            })
            .collect();
        upload.app("x", "v1", &apps);
        upload.dig("x", &spec);
        stack.apply(upload)
    };
    for (apps, word) in [
        (&[("a", "b"), ("b", "a")][..], "cycle"),
        (&[("a", "a")][..], "itself"),
        (&[("a", "nobody")][..], "nobody"),
    ] {
        let refused = apply(apps, on(&["c1"])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.message().contains(word),
            "{word} in {}",
            refused.message()
        );
    }
    // Known only when the plan is made.
    for (spec, word) in [
        (on(&["nowhere"]), "nowhere"),
        (
            "  placement:\n  - {app: \"*\", allOf: [{label: zone=mars}]}".to_owned(),
            "zone=mars",
        ),
    ] {
        apply(&[("a", "")], spec).await.unwrap();
        let dig = stack.dig("x");
        dig.approve().await.unwrap();
        let refused = dig.instantiate().await.unwrap_err();
        assert!(
            [Code::FailedPrecondition, Code::InvalidArgument].contains(&refused.code()),
            "{refused:?}"
        );
        assert!(
            refused.message().contains(word),
            "{word} in {}",
            refused.message()
        );
        assert_eq!(dig.status().await.context(), None);
    }
    let second = "  placement:\n  - {app: a, allOf: [{cluster: sandbox+c1}]}";
    apply(&[("a", ""), ("b", "")], second.into()).await.unwrap();
    let dig = stack.dig("x");
    dig.approve().await.unwrap();
    let refused = dig.instantiate().await.unwrap_err();
    assert!(refused.message().contains('b'), "{}", refused.message());
    assert_eq!(dig.status().await.context(), None);
    stack.end().await;
}

async fn case_22_one_kind_and_name_in_two_namespaces_or_api_groups_are_two_resources(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let text = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: same, namespace: one}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: same, namespace: two}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: two}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: deployments.example.com}\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {plural: deployments, singular: deployment, kind: Deployment, listKind: DeploymentList}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}\n---\napiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: same}\nspec: {}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: same}\nspec:\n  selector: {matchLabels: {app: same}}\n  template:\n    metadata: {labels: {app: same}}\n    spec: {containers: [{name: c, image: i}]}\n";
    let before = all_of(&stack, &["c1"]).await;
    let dig = stack
        .approved("x", &[App::new("a", text)], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_instantiated().await;
    let same =
        |s: &tests::client::Snapshot| s.resources.iter().filter(|r| r.name == "same").count();
    assert_eq!(same(&status), 4, "{:?}", status.resources);
    assert!(
        status
            .resources
            .iter()
            .all(|r| r.deployed_status() == R::Applied)
    );
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(all_of(&stack, &["c1"]).await, before);
    stack.end().await;
}

async fn case_23_a_mandatory_cluster_is_deployed_also_when_any_of_names_it(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let spec = "  namespace: shop\n  placement:\n  - {app: \"*\", allOf: [{cluster: sandbox+c2}], anyOf: [{cluster: sandbox+c1}, {cluster: sandbox+c2}]}";
    let dig = stack
        .approved("x", &[App::new("a", config_map("m"))], spec)
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_instantiated().await;
    let clusters: Vec<_> = status
        .resources
        .iter()
        .map(|r| r.cluster.as_str())
        .collect();
    assert_eq!(clusters, ["sandbox+c2"]);
    stack.end().await;
}

async fn case_25_approve_twice_is_one_entry_and_a_change_takes_the_approval_back(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let apps = [App::new("a", config_map("m"))];
    let dig = stack.created("x", &apps, &on(&["c1"])).await;
    let refused = dig.instantiate().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("approve"),
        "{}",
        refused.message()
    );
    assert_eq!(dig.status().await.context(), None);
    dig.approve().await.unwrap();
    dig.approve().await.unwrap();
    let actions =
        |s: &tests::client::Snapshot| s.head.actions.iter().map(|a| a.state()).collect::<Vec<_>>();
    assert_eq!(
        actions(&dig.status().await),
        [DigState::Created, DigState::Approved]
    );

    // An equal document changes nothing, another one does.
    stack.created("x", &apps, &on(&["c1"])).await;
    assert_eq!(dig.status().await.dig(), DigState::Approved);
    stack
        .created("x", &[App::new("a", config_map("other"))], &on(&["c1"]))
        .await;
    assert_eq!(dig.status().await.dig(), DigState::Created);
    assert_eq!(
        dig.instantiate().await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    stack.end().await;
}

async fn case_26_a_foreign_object_is_left_as_it_is_and_an_object_belongs_to_one_dig(at: At) {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let kube = kube(&stack, "c1").await;
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "shop"}})).unwrap();
    let foreign: ConfigMap = serde_json::from_value(
        serde_json::json!({"metadata": {"name": "r2"}, "data": {"mine": "untouched"}}),
    )
    .unwrap();
    let namespaces: ::kube::Api<Namespace> = ::kube::Api::all(kube.clone());
    namespaces
        .create(&Default::default(), &namespace)
        .await
        .unwrap();
    let api: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube.clone(), "shop");
    let foreign = api.create(&Default::default(), &foreign).await.unwrap();

    let apps = [App::new("a", maps(&["r1", "r2"]))];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.state("c1", "r2"), R::Failed);
    let error = status.resource("c1", "r2").last_error.clone().unwrap();
    assert!(error.message.contains("exists, managed by"), "{error:?}");
    assert_eq!(status.state("c1", "r1"), R::Applied);
    assert_eq!(status.state("c2", "r2"), R::Applied);

    let second = stack.approved("y", &apps, &on(&["c2"])).await;
    let refused = second.instantiate().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("p/x"), "{}", refused.message());

    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(api.get("r2").await.unwrap(), foreign);
    assert!(
        namespaces
            .get("shop")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    second.instantiate().await.unwrap();
    second.until_instantiated().await;
    stack.end().await;
}

async fn case_27_a_shared_namespace_goes_with_its_last_dig_and_is_kept_for_somebody_elses_object(
    at: At,
) {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let kube = kube(&stack, "c1").await;
    let namespaces: ::kube::Api<Namespace> = ::kube::Api::all(kube.clone());
    let one = stack
        .approved("one", &[App::new("a", config_map("m1"))], &on(&["c1"]))
        .await;
    let two = stack
        .approved("two", &[App::new("a", config_map("m2"))], &on(&["c1"]))
        .await;
    for round in 0..2 {
        for dig in [&one, &two] {
            dig.instantiate().await.unwrap();
            dig.until_instantiated().await;
        }
        one.terminate().await.unwrap();
        one.until_terminated().await;
        assert!(namespaces.get_opt("shop").await.unwrap().is_some());
        if round == 1 {
            let api: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube.clone(), "shop");
            let foreign =
                serde_json::from_value(serde_json::json!({"metadata": {"name": "somebodys"}}))
                    .unwrap();
            api.create(&Default::default(), &foreign).await.unwrap();
        }
        two.terminate().await.unwrap();
        let status = two.until_terminated().await;
        let left = namespaces.get_opt("shop").await.unwrap();
        if round == 0 {
            assert!(left.is_none());
        } else {
            let labels = left.unwrap().metadata.labels.unwrap_or_default();
            assert!(
                !labels.keys().any(|k| k.starts_with("muster.dev/")),
                "{labels:?}"
            );
            let events = two.events().await;
            assert!(
                events
                    .iter()
                    .any(|e| e.object.starts_with("Namespace") && e.to == "Deleted"),
                "{status:?}"
            );
        }
    }
    stack.end().await;
}

async fn an_app_waits_for_its_dependency_and_says_so_and_a_delete_goes_the_other_way(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    // c2 takes its time: the dependency is deployed only when it is, on all its clusters.
    stack.fault_where(
        "c2",
        Fault::from(FaultKind::Latency { ms: 300 }).verb(Verb::Apply),
    );
    let a1 = App::new("a1", config_map("first")).after("{app: a2, opStatus: Deployed, wait: 1s}");
    let a2 = App::new("a2", maps(&["r3", "r4"]));
    let dig = stack.approved("x", &[a1, a2], &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    dig.until("a1 says what it waits for", |s| {
        s.resource("c1", "first").blocked_by.contains("a2")
    })
    .await;
    dig.until_instantiated().await;
    stack.heal("c2").await;
    let events = dig.events().await;
    let time = |what: &str, cluster: &str, to: &str| {
        let found = events
            .iter()
            .find(|e| e.object.ends_with(what) && e.cluster.ends_with(cluster) && e.to == to);
        let time = found
            .unwrap_or_else(|| panic!("{what} {cluster} {to}: {events:?}"))
            .time
            .unwrap();
        time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
    };
    let deployed = [("/r3", "c1"), ("/r3", "c2"), ("/r4", "c1"), ("/r4", "c2")]
        .map(|(o, c)| time(o, c, "Applied"));
    let first = time("/first", "c1", "Applied");
    assert!(
        first >= deployed.iter().max().unwrap() + 1_000,
        "{first} {deployed:?}"
    );

    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    for cluster in ["c1", "c2"] {
        let deleted = stack.asked(cluster, Verb::Delete);
        let at = |name: &str| deleted.iter().position(|n| n == name).unwrap();
        assert!(
            at("first") < at("r3") && at("first") < at("r4"),
            "{deleted:?}"
        );
    }
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_repeats_of_one_request_are_one_context_and_of_two_instantiates_one_wins() {
    let stack = Stack::start_with(HostConfig::simulated(1)).await;
    let dig = stack
        .approved("x", &[App::new("a", config_map("m"))], &on(&["c1"]))
        .await;
    let answers = join_all((0..1_000).map(|_| dig.instantiate_as("the-one"))).await;
    let mut contexts: Vec<_> = answers.into_iter().map(|a| a.unwrap().context_id).collect();
    contexts.dedup();
    assert_eq!(contexts.len(), 1, "{contexts:?}");
    dig.until_instantiated().await;
    dig.terminate().await.unwrap();
    dig.until_terminated().await;

    let answers = join_all((0..2).map(|_| dig.instantiate())).await;
    let won = answers.iter().filter(|a| a.is_ok()).count();
    assert_eq!(won, 1, "{answers:?}");
    let lost = answers.into_iter().find_map(Result::err).unwrap();
    assert!(
        [Code::Aborted, Code::FailedPrecondition].contains(&lost.code()),
        "{lost:?}"
    );
    let status = dig.until_instantiated().await;
    assert_eq!(
        status
            .head
            .actions
            .iter()
            .filter(|a| a.verb == "instantiate")
            .count(),
        2
    );
    stack.end().await;
}
