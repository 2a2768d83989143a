//! What fails and how it is got out of: cases 6, 7, 8, 12, 14 (given up), 15, 16 of spec §8, FailFast,
//! and Stop and Retry over workers that come and go.

use futures_util::future::join_all;
use proto::v1::{ContextState, DigState, ResourceState as R};
use sandbox::host::{Fault, FaultKind, Verb};
use tests::{
    At, Dig, Stack,
    client::Snapshot,
    clusters::{client, config_maps, inventory},
    documents::{App, config_maps as maps, fixture_f, on},
};
use tonic::Code;

everywhere! {
    case_6_a_refused_object_fails_without_a_retry_and_costs_only_itself,
    case_7_retry_time_exceeded_is_a_failure_of_a_silent_and_of_a_sick_cluster,
    case_8_credentials_that_are_refused_fail_at_once,
    case_12_a_refused_delete_fails_and_only_it_is_driven_again,
    a_delete_that_takes_too_long_fails_and_names_the_finalizers,
    case_15_a_stop_settles_at_once_deletes_nothing_and_terminate_goes_on_from_there,
    a_stopped_terminate_leaves_what_is_there_and_retry_finishes_it,
    case_16_an_app_whose_dependency_failed_is_never_applied_and_terminate_works_at_once,
    fail_fast_sends_nothing_more_after_the_first_failure_and_retry_goes_on,
    verbs_that_are_accepted_while_no_worker_runs_are_followed_when_one_does,
    many_stops_and_retries_at_once_end_where_the_last_one_says,
}

async fn names_on(stack: &Stack, cluster: &str) -> Vec<String> {
    let client = client(&stack.host.cluster(cluster).unwrap().kubeconfig).await;
    config_maps(&client).await.into_iter().collect()
}

fn refusing(code: u16, verb: Verb, name: &str) -> Fault {
    Fault::from(FaultKind::Status { code })
        .verb(verb)
        .of_kind("ConfigMap")
        .named(name)
}

/// Code and message of a row's last error.
fn error(status: &Snapshot, cluster: &str, name: &str) -> (String, String) {
    let error = status.resource(cluster, name).last_error.clone().unwrap();
    (error.code, error.message)
}

/// How often an object was asked for with `verb`.
fn times(stack: &Stack, cluster: &str, verb: Verb, name: &str) -> usize {
    let asked = stack.asked(cluster, verb);
    asked.iter().filter(|asked| *asked == name).count()
}

/// r1 and r2 of one app on c1.
async fn pair(stack: &Stack) -> Dig {
    let apps = [App::new("a", maps(&["r1", "r2"]))];
    stack.approved("x", &apps, &on(&["c1"])).await
}

async fn case_6_a_refused_object_fails_without_a_retry_and_costs_only_itself(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault_where("c1", refusing(422, Verb::Apply, "r2"));
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.state("c1", "r2"), R::Failed);
    assert_eq!(status.resource("c1", "r2").attempts, 1);
    assert_eq!(error(&status, "c1", "r2").0, "invalid");
    assert_eq!(status.count(R::Applied), 5, "{:?}", status.resources);
    assert_eq!(status.head.allowed_verbs, ["retry", "terminate"]);
    assert_eq!(times(&stack, "c1", Verb::Apply, "r2"), 1);

    // The cause is gone: only what is not there is driven again.
    stack.heal("c1").await;
    let retried = dig.retry().await.unwrap();
    assert!(retried.changed && retried.state() == DigState::Instantiated);
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 6);
    for name in ["r1", "r3", "r4"] {
        assert_eq!(times(&stack, "c1", Verb::Apply, name), 1, "{name}");
    }
    assert_eq!(
        dig.context_states(&retried.context_id).await,
        [
            "Instantiating",
            "InstantiateFailed",
            "Instantiating",
            "Instantiated"
        ]
    );
    stack.end().await;
}

async fn case_7_retry_time_exceeded_is_a_failure_of_a_silent_and_of_a_sick_cluster(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault("c1", FaultKind::BlackHole);
    stack.fault_where("c2", refusing(503, Verb::Apply, "r1"));
    let spec = on(&["c1", "c2"]) + "\n  policy: {retry: {initialInterval: 500ms, maxElapsed: 5s}}";
    let dig = stack
        .approved("x", &[App::new("a", maps(&["r1", "r2"]))], &spec)
        .await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    for cluster in ["c1", "c2"] {
        let (code, message) = error(&status, cluster, "r1");
        assert_eq!(code, "retryTimeExceeded", "{cluster}: {message}");
        assert!(message.contains("retry time exceeded"), "{message}");
    }
    assert_eq!(status.state("c2", "r2"), R::Applied);
    // Retry begins to count anew.
    stack.heal("c1").await;
    stack.heal("c2").await;
    dig.retry().await.unwrap();
    dig.until_instantiated().await;
    stack.end().await;
}

async fn case_8_credentials_that_are_refused_fail_at_once(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    stack.fault_where("c1", refusing(401, Verb::Apply, "r1"));
    let dig = pair(&stack).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.state("c1", "r1"), R::Failed);
    assert_eq!(error(&status, "c1", "r1").0, "unauthorized");
    assert_eq!(times(&stack, "c1", Verb::Apply, "r1"), 1);
    stack.end().await;
}

async fn case_12_a_refused_delete_fails_and_only_it_is_driven_again(at: At) {
    for verb in ["terminate", "retry"] {
        let Some(stack) = Stack::at(at, 1).await else {
            return;
        };
        let dig = pair(&stack).await;
        dig.instantiate().await.unwrap();
        dig.until_instantiated().await;
        stack.fault_where("c1", refusing(403, Verb::Delete, "r2"));
        dig.terminate().await.unwrap();
        let status = dig.until_context(ContextState::TerminateFailed).await;
        assert_eq!(status.state("c1", "r1"), R::Deleted);
        assert_eq!(status.state("c1", "r2"), R::Failed);
        assert_eq!(error(&status, "c1", "r2").0, "forbidden");
        let refused = dig.instantiate().await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);

        stack.heal("c1").await;
        stack.host.clear_log("c1").unwrap();
        let again = match verb {
            "terminate" => dig.terminate().await.unwrap(),
            _ => dig.retry().await.unwrap(),
        };
        assert!(again.changed, "{verb}");
        dig.until_terminated().await;
        assert_eq!(times(&stack, "c1", Verb::Delete, "r1"), 0, "{verb}");
        assert_eq!(times(&stack, "c1", Verb::Delete, "r2"), 1, "{verb}");
        assert_eq!(names_on(&stack, "c1").await, [""; 0]);
        assert_eq!(
            dig.context_states(&again.context_id).await[2..],
            [
                "Terminating",
                "TerminateFailed",
                "Terminating",
                "Terminated"
            ]
        );
        stack.end().await;
    }
}

async fn a_delete_that_takes_too_long_fails_and_names_the_finalizers(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    // In a namespace of somebody else: its own would take longer than that by itself.
    let there = on(&["c1"]).replace("namespace: shop", "namespace: default");
    let spec = there + "\n  policy: {deleteTimeout: 1s}";
    let kube = client(&stack.host.cluster("c1").unwrap().kubeconfig).await;
    let before = inventory(&kube).await;
    let apps = [App::new("a", maps(&["r1", "r2"]))];
    let dig = stack.approved("x", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let hangs = Fault::from(FaultKind::HangFinalizer)
        .of_kind("ConfigMap")
        .named("r2");
    stack.fault_where("c1", hangs);
    dig.terminate().await.unwrap();
    let status = dig.until_context(ContextState::TerminateFailed).await;
    assert_eq!(status.state("c1", "r1"), R::Deleted);
    let (code, message) = error(&status, "c1", "r2");
    assert_eq!(code, "finalizers");
    assert!(message.starts_with("waiting for finalizers: "), "{message}");
    stack.heal("c1").await;
    dig.retry().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(inventory(&kube).await, before);
    stack.end().await;
}

async fn case_15_a_stop_settles_at_once_deletes_nothing_and_terminate_goes_on_from_there(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault("c1", FaultKind::BlackHole);
    let (apps, spec) = fixture_f();
    let dig = stack.approved("f", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    let status = dig
        .until("c1 Retrying, c2 Applied", |s| {
            s.count(R::Retrying) == 4 && s.count(R::Applied) == 2
        })
        .await;
    assert_eq!(status.head.allowed_verbs, ["stop", "terminate"]);
    let stopped = dig.stop().await.unwrap();
    assert_eq!(stopped.state(), DigState::InstantiateStopped);
    // Settled when the answer is there, however silent the cluster is.
    let status = dig.status().await;
    assert_eq!(status.dig(), DigState::InstantiateStopped);
    assert_eq!(status.context(), Some(ContextState::InstantiateFailed));
    for name in ["r1", "r2", "r3", "r4"] {
        let row = status.resource("c1", name);
        assert!(row.blocked_by.contains("stopped"), "{row:?}");
        assert_eq!(row.next_attempt_at, None, "{row:?}");
    }
    assert_eq!(names_on(&stack, "c2").await, ["r3", "r4"]);
    assert_eq!(stack.asked("c2", Verb::Delete), [""; 0]);
    let refused = dig.stop().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("retry, terminate"),
        "{refused:?}"
    );

    dig.terminate().await.unwrap();
    stack.heal("c1").await;
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), 6);
    assert_eq!(names_on(&stack, "c2").await, [""; 0]);
    assert_eq!(stack.asked("c1", Verb::Apply), [""; 0]);
    stack.end().await;
}

async fn a_stopped_terminate_leaves_what_is_there_and_retry_finishes_it(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let apps = [App::new("a", maps(&["r1"]))];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    stack.fault("c1", FaultKind::BlackHole);
    dig.terminate().await.unwrap();
    dig.until("c2 Deleted", |s| s.state("c2", "r1") == R::Deleted)
        .await;
    let stopped = dig.stop().await.unwrap();
    assert_eq!(stopped.state(), DigState::TerminateStopped);
    let status = dig.status().await;
    assert_eq!(status.context(), Some(ContextState::TerminateFailed));
    stack.heal("c1").await;
    assert_eq!(names_on(&stack, "c1").await, ["r1"]);
    assert_eq!(dig.retry().await.unwrap().state(), DigState::Terminated);
    dig.until_terminated().await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    stack.end().await;
}

async fn case_16_an_app_whose_dependency_failed_is_never_applied_and_terminate_works_at_once(
    at: At,
) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    stack.fault_where("c2", refusing(422, Verb::Apply, "r3"));
    let a1 = App::new("a1", maps(&["first"])).after("{app: a2, opStatus: Deployed, wait: 1s}");
    let a2 = App::new("a2", maps(&["r3"]));
    let dig = stack.approved("x", &[a1, a2], &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    for cluster in ["c1", "c2"] {
        let first = status.resource(cluster, "first");
        assert_eq!(first.deployed_status(), R::Pending);
        assert!(first.blocked_by.contains("a2"), "{first:?}");
        assert_eq!(times(&stack, cluster, Verb::Apply, "first"), 0);
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(times(&stack, "c1", Verb::Delete, "first"), 0);

    // While an app waits, terminate does not.
    stack.heal("c2").await;
    stack.fault("c2", FaultKind::BlackHole);
    dig.instantiate().await.unwrap();
    dig.until("a1 waits", |s| {
        s.resource("c1", "first").blocked_by.contains("a2") && s.state("c1", "r3") == R::Applied
    })
    .await;
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn fail_fast_sends_nothing_more_after_the_first_failure_and_retry_goes_on(at: At) {
    // The last one is dead; the others are busy.
    let clusters = match at {
        At::Sandbox => &["c1", "c2", "c3"][..],
        At::RealServers => &["c1", "c2"],
    };
    let (dead, busy) = clusters.split_last().unwrap();
    let far = std::time::Duration::from_millis(50);
    let Some(stack) = Stack::at_far(at, clusters.len(), far).await else {
        return;
    };
    let names: Vec<String> = (0..60).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stack.fault_where("c1", refusing(422, Verb::Apply, "bad"));
    stack.fault(dead, FaultKind::BlackHole);
    let apps = [
        App::new("a", maps(&["bad"])),
        App::new("b", maps(&names)),
        App::new("c", maps(&["last"])).after("{app: b, opStatus: Deployed, wait: 0s}"),
    ];
    let spec = on(clusters) + "\n  policy: {onFailure: FailFast}";
    let dig = stack.approved("x", &apps, &spec).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    let failed = status.count(R::Failed);
    assert_eq!(failed, 1, "the others are not failures");
    let waiting: Vec<_> = status
        .resources
        .iter()
        .filter(|r| [R::Pending, R::Retrying].contains(&r.deployed_status()))
        .collect();
    assert!(waiting.len() > 60, "{dead} was never sent anything");
    for row in waiting {
        let why = &row.blocked_by;
        assert!(why.contains("bad") && why.contains("FailFast"), "{row:?}");
    }
    assert_eq!(stack.asked(dead, Verb::Apply), [""; 0]);
    // What was in flight is recorded: what is on the clusters is Applied, and nothing else.
    for cluster in busy {
        let mut applied: Vec<String> = status
            .resources
            .iter()
            .filter(|r| r.cluster.ends_with(*cluster) && r.deployed_status() == R::Applied)
            .map(|r| r.name.clone())
            .collect();
        applied.sort();
        assert_eq!(names_on(&stack, cluster).await, applied, "{cluster}");
    }
    stack.heal("c1").await;
    stack.heal(dead).await;
    dig.retry().await.unwrap();
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), clusters.len() * 62);
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    stack.end().await;
}

async fn verbs_that_are_accepted_while_no_worker_runs_are_followed_when_one_does(at: At) {
    let Some(mut stack) = Stack::at_far(at, 2, std::time::Duration::from_millis(50)).await else {
        return;
    };
    let names: Vec<String> = (0..40).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let apps = [App::new("a", maps(&names))];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 10)
        .await;
    stack.stop_worker().await;
    dig.stop().await.unwrap();
    let before = dig.status().await;
    assert_eq!(before.context(), Some(ContextState::InstantiateFailed));
    stack.start_worker();
    dig.retry().await.unwrap();
    stack.stop_worker().await;
    dig.stop().await.unwrap();
    dig.retry().await.unwrap();
    stack.start_worker();
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 80);
    for cluster in ["c1", "c2"] {
        for name in &names {
            let applied = times(&stack, cluster, Verb::Apply, name);
            assert_eq!(applied, 1, "{name} on {cluster}");
        }
    }
    dig.terminate().await.unwrap();
    stack.stop_worker().await;
    // Whichever state the terminate is in, the verbs that status offers are taken.
    while let Err(refused) = dig.stop().await {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        if dig.status().await.context() == Some(ContextState::Terminated) {
            break;
        }
    }
    let _ = dig.retry().await;
    stack.start_worker();
    dig.until_terminated().await;
    stack.end().await;
}

async fn many_stops_and_retries_at_once_end_where_the_last_one_says(at: At) {
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let dig = pair(&stack).await;
    dig.instantiate().await.unwrap();
    let (stops, retries) = tokio::join!(
        join_all((0..10).map(|_| dig.stop())),
        join_all((0..10).map(|_| dig.retry()))
    );
    for answer in stops.into_iter().chain(retries) {
        if let Err(refused) = answer {
            let code = refused.code();
            assert!(
                [Code::FailedPrecondition, Code::Aborted].contains(&code),
                "{refused:?}"
            );
        }
    }
    if dig.status().await.dig() == DigState::InstantiateStopped {
        dig.retry().await.unwrap();
    }
    dig.until_instantiated().await;
    for name in ["r1", "r2"] {
        assert_eq!(times(&stack, "c1", Verb::Apply, name), 1);
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(names_on(&stack, "c1").await, [""; 0]);
    stack.end().await;
}
