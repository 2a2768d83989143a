//! Terminate while instantiating: cases 9, 10, 10b, 10c, 11 and 13 of spec §8, and what leaves a
//! worker after the answer.

use proto::v1::{ContextState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, Verb};
use std::time::{Duration, SystemTime};
use tests::{
    At, Dig, Stack,
    client::became,
    clusters::{client, config_maps},
    documents::{App, config_maps as maps, on},
    until,
};
use tonic::Code;

everywhere! {
    case_9_a_row_that_was_never_sent_is_deleted_without_contact,
    case_10_a_row_whose_answer_was_lost_is_deleted,
    case_10b_an_apply_that_arrives_late_is_waited_for,
    case_10c_a_worker_stopped_between_sent_and_the_request_sends_nothing_when_it_goes_on,
    case_11_terminate_waits_for_an_unreachable_cluster_and_ends_when_it_is_back,
    case_13_delete_of_nothing_succeeds_and_a_second_terminate_has_no_effect,
}

/// r1 and r2 Applied on c1, r3 in trouble by `fault`; then terminate.
async fn r3_in_trouble(stack: &Stack, fault: Fault) -> Dig {
    stack.fault_where("c1", fault.of_kind("ConfigMap").named("r3"));
    let dig = stack
        .approved(
            "x",
            &[App::new("a", maps(&["r1", "r2", "r3"]))],
            &on(&["c1"]),
        )
        .await;
    dig.instantiate().await.unwrap();
    dig.until("r1, r2 Applied, r3 Retrying", |s| {
        s.state("c1", "r1") == R::Applied
            && s.state("c1", "r2") == R::Applied
            && s.state("c1", "r3") == R::Retrying
    })
    .await;
    dig
}

async fn names_on(stack: &Stack, cluster: &str) -> Vec<String> {
    let client = client(&stack.host.cluster(cluster).unwrap().kubeconfig).await;
    config_maps(&client).await.into_iter().collect()
}

async fn terminated(dig: &Dig, context_states: &[&str]) {
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), status.resources.len());
    let context = status.head.context.unwrap().id;
    assert_eq!(dig.context_states(&context).await, context_states);
}

const COMPENSATED: &[&str] = &["Instantiating", "PreTerminate", "Terminating", "Terminated"];

async fn case_9_a_row_that_was_never_sent_is_deleted_without_contact(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault("c2", FaultKind::BlackHole);
    let dig = stack
        .approved(
            "x",
            &[App::new("a", maps(&["r1", "r2"]))],
            &on(&["c1", "c2"]),
        )
        .await;
    dig.instantiate().await.unwrap();
    dig.until("c1 Applied, c2 Retrying", |s| {
        s.count(R::Applied) == 2 && s.count(R::Retrying) == 2
    })
    .await;
    dig.terminate().await.unwrap();
    // c2 is still dead: nothing was ever sent there, so nothing has to be asked there.
    terminated(&dig, COMPENSATED).await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    assert_eq!(stack.asked("c2", Verb::Apply), [""; 0]);
    assert_eq!(stack.asked("c2", Verb::Delete), [""; 0]);
    stack.end().await;
}

async fn case_10_a_row_whose_answer_was_lost_is_deleted(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let dig = r3_in_trouble(&stack, Fault::from(FaultKind::DropReply).verb(Verb::Apply)).await;
    assert!(names_on(&stack, "c1").await.contains(&"r3".to_owned()));
    dig.terminate().await.unwrap();
    terminated(&dig, COMPENSATED).await;
    assert!(stack.asked("c1", Verb::Delete).contains(&"r3".to_owned()));
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    stack.end().await;
}

async fn case_10b_an_apply_that_arrives_late_is_waited_for(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    // Later than the 3 s of the case, so that on a slow machine too it comes after the terminate.
    let late = 5_000;
    let network = Fault::from(FaultKind::Late { ms: late }).verb(Verb::Apply);
    let dig = r3_in_trouble(&stack, network).await;
    dig.terminate().await.unwrap();
    terminated(&dig, COMPENSATED).await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    let log = stack.log("c1");
    let of_r3 = |verb: Verb, codes: [u16; 2]| {
        let named = log.iter().filter(move |e| {
            let answered = e.code.is_some_and(|code| codes.contains(&code));
            e.verb == verb && e.name.as_deref() == Some("r3") && answered
        });
        named.map(|e| e.time.as_millisecond()).max()
    };
    let arrived = of_r3(Verb::Apply, [200, 201]).expect("the apply got there") + late as i64;
    let removed = of_r3(Verb::Delete, [200, 202]).expect("it was removed");
    let events = dig.events().await;
    let fenced_off = became(&events, "", "", "PreTerminate");
    let over = became(&events, "", "", "Terminated");
    let order = [fenced_off, arrived, removed, over];
    assert!(order.is_sorted(), "{order:?} {log:?}");
    stack.end().await;
}

async fn case_10c_a_worker_stopped_between_sent_and_the_request_sends_nothing_when_it_goes_on(
    at: At,
) {
    // One namespace for all objects, one name that no other test uses: the fail point is a file.
    let stopped = match at {
        At::Sandbox => "stopped",
        At::RealServers => "stopped-really",
    };
    let dir = tests::stack::failpoints();
    let point = dir.join(format!("before-send-ConfigMap-{stopped}"));
    std::fs::write(&point, "").unwrap();
    let reached = dir.join(format!("before-send-ConfigMap-{stopped}.reached"));
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let dig = stack
        .approved("x", &[App::new("a", maps(&["r1", stopped]))], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    until("the worker stands between open and send", || async {
        reached.exists().then_some(())
    })
    .await;
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    std::fs::remove_file(&point).unwrap();
    until("the worker went on", || async {
        (!reached.exists()).then_some(())
    })
    .await;
    // The attempt that went on has closed when a whole further life is over.
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let applies = stack.asked("c1", Verb::Apply);
    assert_eq!(
        applies.iter().filter(|n| *n == stopped).count(),
        1,
        "{applies:?}"
    );
    stack.end().await;
}

async fn case_11_terminate_waits_for_an_unreachable_cluster_and_ends_when_it_is_back(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let dig = stack
        .approved(
            "x",
            &[App::new("a", maps(&["r1", "r2"]))],
            &on(&["c1", "c2"]),
        )
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    stack.fault("c1", FaultKind::BlackHole);
    dig.terminate().await.unwrap();
    let status = dig
        .until("c2 Deleted, c1 Retrying", |s| {
            s.count(R::Deleted) == 2 && s.count(R::Retrying) == 2
        })
        .await;
    assert_eq!(status.context(), Some(ContextState::Terminating));
    assert_eq!(
        dig.delete().await.unwrap_err().code(),
        Code::FailedPrecondition
    );
    stack.heal("c1").await;
    dig.until_terminated().await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    dig.delete().await.unwrap();
    stack.end().await;
}

async fn case_13_delete_of_nothing_succeeds_and_a_second_terminate_has_no_effect(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let dig = stack
        .approved("x", &[App::new("a", maps(&["r1", "r2"]))], &on(&["c1"]))
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let client = client(&stack.host.cluster("c1").unwrap().kubeconfig).await;
    let api: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
        kube::Api::namespaced(client, "shop");
    api.delete("r1", &Default::default()).await.unwrap();
    stack.host.clear_log("c1").unwrap();
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Latency { ms: 200 }).verb(Verb::Delete),
    );

    assert!(dig.terminate().await.unwrap().changed);
    assert!(!dig.terminate().await.unwrap().changed);
    dig.until_terminated().await;
    let deletes = stack.asked("c1", Verb::Delete);
    assert_eq!(
        deletes.iter().filter(|n| *n == "r2").count(),
        1,
        "{deletes:?}"
    );
    let refused = dig.terminate().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("instantiate"),
        "{}",
        refused.message()
    );
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminate_in_flight_on_twenty_clusters_lets_no_apply_leave_a_second_later() {
    let stack = Stack::start_far(20, Duration::from_millis(100)).await;
    let names: Vec<String> = (0..50).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = "  namespace: shop\n  placement:\n  - {app: \"*\", allOf: [{label: sandbox=true}]}";
    let dig = stack
        .approved("x", &[App::new("a", maps(&names))], all)
        .await;
    dig.instantiate().await.unwrap();
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 50)
        .await;
    let answer = dig.terminate().await.unwrap();
    let answered = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64;
    assert!(answer.changed);
    dig.until_terminated().await;
    let context = answer.context_id;
    assert_eq!(dig.context_states(&context).await, COMPENSATED);
    let mut applies = 0;
    for i in 1..=20 {
        let cluster = format!("c{i}");
        assert_eq!(names_on(&stack, &cluster).await, [""; 0], "{cluster}");
        for entry in stack.log(&cluster).iter().filter(|e| e.verb == Verb::Apply) {
            applies += 1;
            let late = entry.time.as_millisecond() - answered;
            assert!(
                late <= 1_000,
                "{entry:?} arrived {late} ms after the answer"
            );
        }
    }
    assert!(
        applies > 50 && applies < 1_020,
        "{applies} of 1020 applies: terminate was not in flight"
    );
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_stopped_under_load_drains_and_the_next_one_applies_nothing_twice() {
    let mut stack = Stack::start_far(4, Duration::from_millis(100)).await;
    let names: Vec<String> = (0..60).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let on_all = on(&["c1", "c2", "c3", "c4"]);
    let dig = stack
        .approved("x", &[App::new("a", maps(&names))], &on_all)
        .await;
    dig.instantiate().await.unwrap();
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 30)
        .await;
    stack.stop_worker().await;
    assert!(
        dig.status().await.count(R::Applied) < 240,
        "the worker was not stopped under load"
    );
    stack.start_worker();
    dig.until_instantiated().await;
    for i in 1..=4 {
        let mut applied = stack.asked(&format!("c{i}"), Verb::Apply);
        let all = applied.len();
        applied.sort();
        applied.dedup();
        assert_eq!(applied.len(), all, "c{i}: an object was applied twice");
        assert_eq!(all, 61, "60 objects and their namespace");
    }
    stack.end().await;
}
