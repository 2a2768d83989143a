//! Cases 1–5, 17, 21–23, 25–27 of spec §8: through the gRPC API, a real worker, a real Temporal
//! server and sandbox clusters.

mod order;
mod owners;
mod plans;

use futures_util::future::join_all;
use proto::v1::{Connectivity, ContextState, DigState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, HostConfig, Verb};
use tests::{
    At, Stack,
    client::became,
    clusters::{client, config_maps, inventory},
    documents::{App, config_map, config_maps as maps, fixture_f, on},
};
use tonic::Code;

everywhere! {
    case_1_2_and_21_all_resources_are_applied_then_deleted_and_a_second_life_is_a_new_context,
    case_3_terminate_at_once_leaves_nothing_and_instantiated_never_follows_pre_terminate,
    case_4_a_cluster_unreachable_from_the_start_costs_only_itself_and_is_caught_up,
    case_5_one_reset_connection_is_retried_and_never_a_failure,
    case_25_approve_twice_is_one_entry_and_a_change_takes_the_approval_back,
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

/// What a cluster was asked to apply or delete, by name, but for the namespace: that comes first or
/// last, and may be applied by either app.
fn but_the_namespace(stack: &Stack, cluster: &str, verb: Verb) -> Vec<String> {
    let mut asked = stack.asked(cluster, verb);
    let outermost = match verb {
        Verb::Apply => asked.first(),
        _ => asked.last(),
    };
    assert_eq!(outermost.map(String::as_str), Some("shop"), "{asked:?}");
    asked.retain(|name| name != "shop");
    asked.sort();
    asked
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
        assert_eq!(
            but_the_namespace(&stack, "c1", Verb::Apply),
            ["r1", "r2", "r3", "r4"]
        );
        assert_eq!(but_the_namespace(&stack, "c2", Verb::Apply), ["r3", "r4"]);

        let answer = dig.terminate().await.unwrap();
        assert_eq!(answer.state(), DigState::Terminated);
        let status = dig.until_terminated().await;
        assert_eq!(status.count(R::Deleted), 6);
        assert_eq!(all_of(&stack, &["c1", "c2"]).await, before);
        assert_eq!(
            but_the_namespace(&stack, "c1", Verb::Delete),
            ["r1", "r2", "r3", "r4"]
        );
        assert_eq!(but_the_namespace(&stack, "c2", Verb::Delete), ["r3", "r4"]);
        for cluster in ["c1", "c2"] {
            stack.host.clear_log(cluster).unwrap();
        }
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
    let deployed = [("r3", "c1"), ("r3", "c2"), ("r4", "c1"), ("r4", "c2")]
        .map(|(object, cluster)| became(&events, cluster, object, "Applied"));
    let first = became(&events, "c1", "first", "Applied");
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
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let first = &answers[0];
    assert!(first.changed && !first.context_id.is_empty(), "{first:?}");
    for answer in &answers {
        assert_eq!(answer, first);
    }
    dig.until_instantiated().await;
    // Long after the first, with another state by now: still what was answered then.
    assert_eq!(dig.instantiate_as("the-one").await.unwrap(), *first);
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
