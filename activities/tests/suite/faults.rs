//! Clusters and networks that misbehave.

use super::bed::{Bed, cluster, config_map};
use model::{
    document::{Policy, Retry},
    row::Connectivity,
    state::{Goal, ResourceState},
};
use sandbox::host::{FaultKind, Verb};

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

async fn begun(bed: &Bed) {
    bed.instantiate().await;
    bed.begin("run-1").await;
    let shop = bed.row("shop").await.id;
    bed.activities
        .run_apply(bed.step("c1", &[shop]).await)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_retried_and_what_does_not_fails_at_once() {
    let cases = [
        (FaultKind::Reset, Ok("reset")),
        (FaultKind::DropReply, Ok("reset")),
        (FaultKind::Status { code: 503 }, Ok("serverError")),
        (FaultKind::Status { code: 429 }, Ok("tooManyRequests")),
        (FaultKind::Status { code: 401 }, Err("unauthorized")),
        (FaultKind::Status { code: 403 }, Err("forbidden")),
        (FaultKind::Status { code: 422 }, Err("invalid")),
    ];
    let yaml: String = (0..cases.len())
        .map(|n| config_map(&format!("r{n}")))
        .collect();
    let bed = Bed::new(1, &[("conf", &yaml)], quick()).await;
    begun(&bed).await;
    for (n, (fault, expected)) in cases.into_iter().enumerate() {
        let name = format!("r{n}");
        bed.fault("c1", fault, Some(Verb::Apply), Some(&name), Some(1));
        let row = bed.row(&name).await.id;
        let step = bed.step("c1", &[row]).await;
        let ended = bed.activities.run_apply(step.clone()).await.unwrap();
        let after = bed.row(&name).await;
        let code = after.error.map(|error| error.code);
        match expected {
            Ok(transient) => {
                assert_eq!(
                    (ended.outcome.retry, code.as_deref()),
                    (vec![row], Some(transient)),
                    "{fault:?}"
                );
                assert_eq!(after.state, ResourceState::Retrying(Goal::Apply));
                // The server's wish (1 s) counts where it is longer than the policy's 50 ms.
                let wish = matches!(fault, FaultKind::Status { code: 429 | 503 });
                let delay = ended.retry.unwrap().1;
                assert_eq!(
                    delay.as_millis(),
                    if wish { 1_000 } else { 50 },
                    "{fault:?}"
                );
                bed.activities.run_apply(step).await.unwrap();
                assert_eq!(
                    bed.row(&name).await.state,
                    ResourceState::Applied,
                    "{fault:?}"
                );
            }
            Err(last) => {
                assert_eq!(
                    (ended.outcome.failed, code.as_deref()),
                    (vec![row], Some(last)),
                    "{fault:?}"
                );
                assert_eq!(bed.log("c1", Verb::Apply, &name).len(), 1, "{fault:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_cluster_is_parked_and_its_rows_go_on_when_it_answers() {
    let bed = Bed::new(1, &[("conf", &config_map("a"))], quick()).await;
    begun(&bed).await;
    bed.fault("c1", FaultKind::BlackHole, None, None, None);
    let row = bed.row("a").await.id;
    let step = bed.step("c1", &[row]).await;
    let ended = bed.activities.run_apply(step.clone()).await.unwrap();
    assert!(ended.outcome.unreachable, "{:?}", ended.outcome);
    assert_eq!(ended.outcome.again, [row]);
    let parked = bed.store.cluster(&cluster("c1")).await.unwrap();
    assert_eq!(parked.connectivity, Connectivity::Retrying);
    assert!(parked.error.is_some());
    // While it is parked nothing is sent, and nothing waits.
    let again = bed.activities.run_apply(step.clone()).await.unwrap();
    assert!(again.outcome.unreachable);
    bed.host.heal("c1").await.unwrap();
    assert!(bed.reachable(&step, "conf").await);
    let ended = bed.activities.run_apply(step).await.unwrap();
    assert!(
        ended.outcome.again.is_empty() && ended.outcome.retry.is_empty(),
        "{:?}",
        ended.outcome
    );
    assert_eq!(bed.row("a").await.state, ResourceState::Applied);
    assert_eq!(
        bed.store
            .cluster(&cluster("c1"))
            .await
            .unwrap()
            .connectivity,
        Connectivity::Available
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_never_comes_back_fails_its_rows_when_the_retry_time_is_over() {
    let mut policy = quick();
    policy.retry.max_elapsed_ms = Some(1_500);
    let bed = Bed::new(1, &[("conf", &config_map("a"))], policy).await;
    bed.fault("c1", FaultKind::BlackHole, None, None, None);
    bed.instantiate().await;
    bed.begin("run-1").await;
    let row = bed.row("a").await.id;
    let step = bed.step("c1", &[row]).await;
    assert!(
        bed.activities
            .run_apply(step.clone())
            .await
            .unwrap()
            .outcome
            .unreachable
    );
    assert!(!bed.reachable(&step, "conf").await);
    let row = bed.row("a").await;
    assert_eq!(row.state, ResourceState::Failed(Goal::Apply));
    assert_eq!(
        (row.sent, row.error.unwrap().code.as_str()),
        (0, "retryTimeExceeded")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_under_an_old_fence_or_by_a_worker_that_stops() {
    let bed = Bed::new(1, &[("conf", &config_map("a"))], quick()).await;
    begun(&bed).await;
    let row = bed.row("a").await.id;
    let old = bed.step("c1", &[row]).await;
    bed.terminate().await;
    let ended = bed.activities.run_apply(old).await.unwrap();
    assert!(ended.outcome.superseded);
    bed.activities.stop().cancel();
    let ended = bed
        .activities
        .run_delete(bed.step("c1", &[row]).await)
        .await
        .unwrap();
    assert!(ended.outcome.drained);
    assert_eq!(ended.outcome.again, [row]);
    assert!(bed.log("c1", Verb::Apply, "a").is_empty());
    assert_eq!(bed.row("a").await.sent, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_not_used_before_it_is_known_which_one_it_is() {
    let bed = Bed::new(1, &[("conf", &config_map("a"))], quick()).await;
    let busy = FaultKind::Status { code: 503 };
    bed.fault("c1", busy, Some(Verb::Get), Some("kube-system"), Some(2));
    bed.instantiate().await;
    bed.begin("run-1").await;
    let shop = bed.row("shop").await.id;
    let step = bed.step("c1", &[shop]).await;
    let ended = bed.activities.run_apply(step.clone()).await.unwrap();
    assert!(ended.outcome.unreachable, "{:?}", ended.outcome);
    let row = bed.store.cluster(&cluster("c1")).await.unwrap();
    assert_eq!(row.connectivity, Connectivity::Retrying);
    assert!(bed.reachable(&step, "conf").await);
    let row = bed.store.cluster(&cluster("c1")).await.unwrap();
    assert!(row.uid.is_some());
    assert_eq!(bed.drive("run-1").await, "Instantiated");
}
