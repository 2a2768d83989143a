//! Clusters that are parked, slow, or answer badly for a while: what they are asked, and how often.

use super::bed::{Bed, cluster, config_map};
use activities::{Activities, ActivitiesConfig, reachable::Looked};
use model::{
    document::{Policy, Retry},
    row::Connectivity,
    state::{Goal, ResourceState},
};
use sandbox::host::{FaultKind, Verb};
use workflows::contract::{Reachable, ReachableInput, Step};

fn quick() -> Policy {
    let retry = Retry {
        initial_interval_ms: 50,
        ..Retry::default()
    };
    Policy {
        retry,
        ..Policy::default()
    }
}

/// A context under way on c1, its namespace there, and another worker beside the bed's own.
async fn bed(objects: &str) -> (Bed, Activities) {
    let bed = Bed::new(1, &[("conf", objects)], quick()).await;
    bed.instantiate().await;
    bed.begin("run-1").await;
    let shop = bed.row("shop").await.id;
    let step = bed.step("c1", &[shop]).await;
    bed.activities.run_apply(step).await.unwrap();
    let other = Activities::new(bed.store.clone(), ActivitiesConfig::default());
    (bed, other)
}

/// Looks, and probes when one is due, until the cluster answers.
async fn until_reachable(worker: &Activities, step: &Step) {
    let input = || ReachableInput {
        context: step.context.clone(),
        fence: step.fence,
        cluster: step.cluster.clone(),
        app: "conf".to_owned(),
    };
    loop {
        match worker.run_reachable(input()).await.unwrap() {
            Looked::Known(answer) => return assert_eq!(answer, Reachable::Yes),
            Looked::NotYet { delay, .. } => tokio::time::sleep(delay).await,
        }
    }
}

async fn connectivity(bed: &Bed) -> Connectivity {
    let row = bed.store.cluster(&cluster("c1")).await.unwrap();
    row.connectivity
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_cluster_is_asked_by_its_probe_only_whoever_else_wants_it() {
    let (bed, other) = bed(&config_map("a")).await;
    let row = bed.row("a").await.id;
    let step = bed.step("c1", &[row]).await;
    bed.fault("c1", FaultKind::Reset, None, None, None);
    let ended = bed.activities.run_apply(step.clone()).await.unwrap();
    assert!(ended.outcome.unreachable, "{:?}", ended.outcome);
    assert_eq!(connectivity(&bed).await, Connectivity::Retrying);
    let asked = || bed.host.log("c1").unwrap().len();
    let before = asked();
    for worker in [&bed.activities, &other, &other, &bed.activities] {
        for ended in [
            worker.run_look(step.clone()).await.unwrap(),
            worker.run_apply(step.clone()).await.unwrap(),
        ] {
            assert!(ended.outcome.unreachable, "{:?}", ended.outcome);
            assert_eq!(ended.outcome.again, [row]);
        }
    }
    assert_eq!(asked(), before, "steps asked a parked cluster");
    bed.host.heal("c1").await.unwrap();
    // Nobody believes it before a probe said so; then every worker does.
    let still = other.run_apply(step.clone()).await.unwrap();
    assert!(still.outcome.unreachable);
    assert_eq!(asked(), before);
    assert!(bed.reachable(&step, "conf").await);
    until_reachable(&other, &step).await;
    other.run_apply(step).await.unwrap();
    assert_eq!(bed.row("a").await.state, ResourceState::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_cluster_is_not_dead_and_its_rows_have_regular_activities_at_once() {
    let (bed, other) = bed(&format!("{}{}", config_map("a"), config_map("b"))).await;
    bed.fault("c1", FaultKind::Latency { ms: 1_300 }, None, None, None);
    let rows = [bed.row("a").await.id, bed.row("b").await.id];
    // A worker that never talked to it says hello first, briefly; the probe has more time.
    let step = bed.step("c1", &rows).await;
    let first = other.run_apply(step.clone()).await.unwrap();
    assert!(first.outcome.unreachable, "{:?}", first.outcome);
    until_reachable(&other, &step).await;
    for ended in [
        other.run_look(step.clone()).await.unwrap(),
        other.run_apply(step.clone()).await.unwrap(),
    ] {
        assert_eq!(ended.outcome.retry, rows, "{:?}", ended.outcome);
    }
    assert!(bed.log("c1", Verb::Apply, "a").is_empty());
    assert_eq!(connectivity(&bed).await, Connectivity::Available);
    let promoted = Step {
        promoted: true,
        ..bed.step("c1", &rows[..1]).await
    };
    other.run_apply(promoted).await.unwrap();
    assert_eq!(bed.row("a").await.state, ResourceState::Applied);
    assert_eq!(bed.log("c1", Verb::Apply, "a").len(), 1);
    // One quick answer, and it is a cluster like any other.
    bed.host.heal("c1").await.unwrap();
    let step = Step {
        promoted: true,
        ..bed.step("c1", &rows[1..]).await
    };
    other.run_look(step.clone()).await.unwrap();
    let step = Step {
        promoted: false,
        ..step
    };
    let ended = other.run_apply(step).await.unwrap();
    assert!(ended.outcome.retry.is_empty(), "{:?}", ended.outcome);
    assert_eq!(bed.row("b").await.state, ResourceState::Applied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_that_gets_no_answer_is_repeated_ever_later_and_counted() {
    let (bed, _) = bed(&config_map("a")).await;
    let busy = FaultKind::Status { code: 500 };
    bed.fault("c1", busy, Some(Verb::Get), Some("a"), None);
    let row = bed.row("a").await.id;
    let step = bed.step("c1", &[row]).await;
    let mut delays = vec![];
    for _ in 0..5 {
        let ended = bed.activities.run_look(step.clone()).await.unwrap();
        assert_eq!(ended.outcome.again, [row]);
        delays.push(ended.outcome.again_ms);
    }
    assert_eq!(delays, [50, 100, 200, 400, 800]);
    let after = bed.row("a").await;
    assert_eq!(after.state, ResourceState::Retrying(Goal::Apply));
    assert_eq!((after.attempts, after.sent), (5, 0));
}
