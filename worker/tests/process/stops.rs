//! A worker process that is stopped or paused under load.

use super::{ByHand, Process, R, api_binary, applies, names, postgres};
use sandbox::host::FaultKind;
use std::time::Duration;
use tests::{
    Dig, Stack,
    clusters::{client, config_maps},
    documents::{App, config_maps as maps, on},
    stack::store_url,
};

/// A stack without a worker, and a DIG of many objects on its clusters, being instantiated.
async fn under_way(clusters: &[&str], objects: usize, distance: Duration) -> (Stack, Dig) {
    let mut stack = Stack::start_far(clusters.len(), distance).await;
    stack.stop_worker().await;
    let names = names(objects);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let dig = stack
        .approved("x", &[App::new("a", maps(&names))], &on(clusters))
        .await;
    dig.instantiate().await.unwrap();
    (stack, dig)
}

fn worker_of(stack: &Stack) -> Process {
    let store = store_url(&stack.dir);
    let key = stack.dir.path().join("muster.key");
    Process::worker(&store, &stack.temporal.address, &key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_told_to_stop_under_load_drains_and_nothing_is_applied_twice_or_times_out() {
    let clusters = ["c1", "c2", "c3", "c4"];
    let (stack, dig) = under_way(&clusters, 60, Duration::from_millis(100)).await;
    let mut first = worker_of(&stack);
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 30)
        .await;
    first.signal("TERM");
    let status = first.ended().await;
    let log = first.log();
    assert!(status.success(), "{status}: {log}");
    // It says so when work in flight had to be cut off after the grace period.
    assert!(log.contains("stopped") && !log.contains("cut off"), "{log}");
    let applied = dig.status().await.count(R::Applied);
    assert!(applied < 240, "the worker was not stopped under load");
    let _second = worker_of(&stack);
    let status = dig.until_instantiated().await;
    for cluster in clusters {
        let mut applied = applies(stack.log(cluster));
        let all = applied.len();
        applied.sort();
        applied.dedup();
        assert_eq!((all, applied.len()), (60, 60), "{cluster}");
    }
    let context = status.head.context.unwrap().id;
    let temporal = stack.temporal.client().await.unwrap();
    let history = temporal.history_json(&format!("dig/p/x/{context}")).await;
    let history = String::from_utf8(history.unwrap()).unwrap();
    // A task for the worker that is gone is offered to others after the second that its own queue
    // has; no activity is given up for lack of time.
    assert!(!history.contains("ACTIVITY_TASK_TIMED_OUT"), "{history}");
    stack.end().await;
}

/// On PostgreSQL: a process that is paused in a transaction of SQLite keeps the file locked, for
/// whoever shares the machine with it.
#[tokio::test(flavor = "multi_thread")]
async fn case_10c_a_worker_process_that_was_paused_sends_nothing_after_the_terminate() {
    let (Some(api), Some(store)) = (api_binary(), postgres::database().await) else {
        return;
    };
    let stack = ByHand::new(api, Some(store), 1).await;
    let _api = stack.api();
    let mut paused = stack.worker();
    stack.register().await;
    let far = FaultKind::Latency { ms: 50 };
    stack.host.fault("c1", far).unwrap();
    let dig = stack.approved("x", 400, &["c1"]).await;
    dig.instantiate().await.unwrap();
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 50)
        .await;
    paused.signal("STOP");
    let applied = dig.status().await.count(R::Applied);
    assert!(applied < 400, "the worker was not paused under load");
    dig.terminate().await.unwrap();
    let _other = stack.worker();
    // Temporal offers tasks to the paused one until they time out, and what it had opened may
    // still arrive for a while.
    dig.until("deletes under way", |s| s.count(R::Deleted) > 0)
        .await;
    dig.until("most are Deleted", |s| s.count(R::Deleted) > 300)
        .await;
    dig.until_terminated().await;
    let log = || applies(stack.host.log("c1").unwrap()).len();
    let before = log();
    paused.signal("CONT");
    // It closes what it had opened, and goes: then nothing of it can leave any more.
    paused.signal("TERM");
    paused.ended().await;
    assert_eq!(log(), before);
    let client = client(&stack.host.cluster("c1").unwrap().kubeconfig).await;
    assert!(config_maps(&client).await.is_empty());
}
