//! Lives of a context: fences, attempts, permits, settling.

use crate::{
    bed::{self, Bed},
    fixture::{
        Life, close, dig_ref, drive, go, instantiate, instantiate_again, log_is_legal, meta,
        request,
    },
};
use model::{
    failure::Certainty::{Definite, NotSent},
    ids::Fence,
    state::{ContextState, DigState, Goal},
};
use store::{Closed, Opened, PermitRow, SettleRow, StoreError};

on_both!(
    a_life_with_every_step_twice,
    terminate_before_anything_was_sent_contacts_nobody,
    an_old_fence_opens_nothing,
    settle_after_the_goal_moved_changes_nothing,
    terminated_needs_a_proof_on_every_cluster_under_the_fence_of_now,
    the_permit_waits_for_the_send_window,
    an_apply_waits_for_what_another_life_may_still_do,
    an_absence_is_not_believed_while_an_apply_may_arrive,
    of_concurrent_instantiates_exactly_one_wins,
    a_stale_plan_is_refused,
    wakes_are_kept_until_acknowledged,
);

async fn a_life_with_every_step_twice(bed: &Bed) {
    let store = &bed.store;
    let rows = ["/c1/NS", "a/c1/x", "a/c1/y", "b/c2/x"];
    let life = Life::new(store, "d", &rows).await;
    assert_eq!(life.accepted.state, DigState::Instantiated);
    assert_eq!(life.drive().await, ContextState::Instantiated);
    assert_eq!(life.states(4).await, ["Applied"; 4]);
    assert!(store.begin(&life.context, "run").await.unwrap().is_none());
    let first = life.terminate().await;
    let second = life.terminate().await;
    assert!(first.changed && !second.changed);
    assert_eq!(first.fence, second.fence);
    assert_eq!(life.drive().await, ContextState::Terminated);
    assert_eq!(life.states(4).await, ["Deleted"; 4]);
    assert!(bed.sql("SELECT key FROM claim").await.is_empty());
    assert!(bed.sql("SELECT id FROM attempt").await.is_empty());
    let refused = store.accept_terminate(&dig_ref("d"), &meta()).await;
    assert!(matches!(refused, Err(StoreError::WrongState { .. })));
    let (second, _) = instantiate_again(store, "d", &rows).await;
    assert_ne!(life.context, second);
    assert_eq!(drive(store, &second).await, ContextState::Instantiated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn terminate_before_anything_was_sent_contacts_nobody(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::begun(store, "d", &["a/c1/x", "a/c1/y"]).await;
    life.applied(1).await;
    life.terminate().await;
    let state = life.state().await;
    assert_eq!(state, ContextState::PreTerminate);
    life.begin().await;
    let granted = life.permit().await;
    assert_eq!(granted, PermitRow::Granted);
    assert_eq!(life.states(2).await, ["Deleted", "Pending(Delete)"]);
    assert_eq!(life.drive().await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn an_old_fence_opens_nothing(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::new(store, "d", &["a/c1/x"]).await;
    let old = life.fence;
    life.begin().await;
    let fence = life.fence;
    assert_ne!(old, fence, "a run takes a fence of its own");
    life.begin_as("other").await;
    assert_ne!(life.fence, fence);
    for (stale, goal) in [
        (old, Goal::Apply),
        (fence, Goal::Apply),
        (life.fence, Goal::Delete),
        (Fence(i64::MAX), Goal::Apply),
    ] {
        let opened = store
            .open_attempts(&life.context, stale, goal, &[0], 1_000)
            .await
            .unwrap();
        assert!(matches!(opened[..], [Opened::Superseded]), "{opened:?}");
        assert!(
            store
                .outline(&life.context, stale, goal, None)
                .await
                .unwrap()
                .is_none()
        );
    }
    let attempt = life.go(Goal::Apply, 0).await;
    life.terminate().await;
    let opened = life.open(Goal::Apply, 0).await;
    assert!(matches!(opened[..], [Opened::Superseded]));
    // The outcome of what was sent before is a fact, but no state.
    let mut closes = close(attempt, 0, Definite, Closed::Applied);
    closes[0].uid = Some("u".into());
    life.close(closes).await;
    let row = life.row(0).await;
    assert_eq!(row.state.to_string(), "Pending(Apply)");
    assert_eq!((row.uid.as_deref(), row.sent), (Some("u"), 1));
}

async fn terminated_needs_a_proof_on_every_cluster_under_the_fence_of_now(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::new(store, "d", &["a/c1/x", "a/c2/x", "a/c3/x"]).await;
    life.terminate().await;
    life.begin().await;
    let old = life.fence;
    life.permit().await;
    assert_eq!(life.states(3).await, ["Deleted"; 3]);
    assert_eq!(life.settle().await, SettleRow::Unfinished);
    store.record_proof(&life.context, old, 0, 2).await.unwrap();
    // A new run takes a new fence, under which nothing was proven yet.
    life.begin_as("next").await;
    store.record_proof(&life.context, old, 2, 2).await.unwrap();
    // Not from its beginning on, with a gap, not to its end.
    for (offset, count) in [(2, 2), (0, 1), (2, 2)] {
        store
            .record_proof(&life.context, life.fence, offset, count)
            .await
            .unwrap();
        let settled = life.settle().await;
        assert_eq!(settled, SettleRow::Unfinished, "{offset} {count}");
    }
    store
        .record_proof(&life.context, life.fence, 1, 2)
        .await
        .unwrap();
    // What was found again takes the proof along.
    let found = store::FoundAgain {
        key: life.row(0).await.key,
        uid: "u".into(),
    };
    store
        .found_again(&life.context, life.fence, vec![found])
        .await
        .unwrap();
    life.gone(0).await;
    assert_eq!(life.settle().await, SettleRow::Unfinished);
    life.prove().await;
    let settled = life.settle().await;
    assert_eq!(settled, SettleRow::Settled(ContextState::Terminated));
}

async fn settle_after_the_goal_moved_changes_nothing(bed: &Bed) {
    let mut life = Life::begun(&bed.store, "d", &["a/c1/x"]).await;
    let unfinished = life.settle().await;
    assert_eq!(unfinished, SettleRow::Unfinished);
    life.applied(0).await;
    life.terminate().await;
    assert_eq!(life.settle().await, SettleRow::Moved);
    life.begin().await;
    let unfinished = life.settle().await;
    assert_eq!(
        unfinished,
        SettleRow::Unfinished,
        "PreTerminate does not settle"
    );
    let state = life.state().await;
    assert_eq!(state, ContextState::PreTerminate);
}

async fn the_permit_waits_for_the_send_window(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/x", "a/c1/y"];
    let mut life = Life::begun(store, "d", &rows).await;
    let open = life.go(Goal::Apply, 0).await;
    // One that nobody closes, of a process that died: its window is over.
    let dead = bed.with(bed::windowless()).await;
    go(&dead, &life.context, life.fence, Goal::Apply, 1).await;
    life.terminate().await;
    life.begin().await;
    let wait = life.permit().await;
    assert!(matches!(wait, PermitRow::Wait { ms: 1.. }), "{wait:?}");
    let stale = store.permit(&life.context, Fence(1)).await.unwrap();
    assert_eq!(stale, PermitRow::Superseded);
    let closes = close(open, 0, NotSent, Closed::NotSent);
    life.close(closes).await;
    let granted = life.permit().await;
    assert_eq!(granted, PermitRow::Granted);
    assert_eq!(life.states(2).await, ["Deleted", "Pending(Delete)"]);
}

async fn an_apply_waits_for_what_another_life_may_still_do(bed: &Bed) {
    let mut life = Life::begun(&bed.store, "d", &["a/c1/x"]).await;
    life.go(Goal::Apply, 0).await;
    let same = life.open(Goal::Apply, 0).await;
    assert!(
        matches!(same[..], [Opened::Go { .. }]),
        "a repeat is a new open"
    );
    life.begin_as("next").await;
    let other = life.open(Goal::Apply, 0).await;
    assert!(matches!(other[..], [Opened::Busy { ms: 1.. }]), "{other:?}");
    bed.sql("UPDATE attempt SET effect_until = 0").await;
    life.go(Goal::Apply, 0).await;
}

async fn an_absence_is_not_believed_while_an_apply_may_arrive(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::begun(store, "d", &["a/c1/x"]).await;
    let lost = go(
        &bed.with(bed::windowless()).await,
        &life.context,
        life.fence,
        Goal::Apply,
        0,
    )
    .await;
    life.terminate().await;
    life.begin().await;
    life.permit().await;
    let opened = life.open(Goal::Delete, 0).await;
    let [
        Opened::Go {
            attempt, late_ms, ..
        },
    ] = opened[..]
    else {
        panic!("{opened:?}")
    };
    assert!(late_ms > 0);
    // The apply arrives and is answered after the absence was seen: it was seen too early.
    let closes = close(lost, 0, Definite, Closed::Applied);
    life.close(closes).await;
    let closes = close(attempt, 0, Definite, Closed::Gone);
    life.close(closes).await;
    let row = life.row(0).await;
    assert_eq!(row.state.to_string(), "Retrying(Delete)");
    assert_eq!(row.error.as_ref().unwrap().code, "lateRequest");
    life.gone(0).await;
    assert_eq!(life.states(1).await, ["Deleted"]);
    // Terminated only when nothing is unexpired, whatever it is.
    let scope = store
        .proof_scope(&life.context, life.fence, 0, 10)
        .await
        .unwrap();
    assert_eq!(scope.wait_ms, 0);
    assert_eq!(scope.clusters.len(), 1);
    life.prove().await;
    let settled = life.settle().await;
    assert_eq!(settled, SettleRow::Settled(ContextState::Terminated));
}

async fn of_concurrent_instantiates_exactly_one_wins(bed: &Bed) {
    let store = &bed.store;
    let life = Life::new(store, "d", &["a/c1/x"]).await;
    life.drive().await;
    life.terminate().await;
    life.drive().await;
    let other = bed.with(bed::patient()).await;
    let tasks: Vec<_> = (0..8)
        .map(|i| {
            let store = if i % 2 == 0 {
                store.clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move {
                let id = dig_ref("d");
                let context = crate::fixture::fresh();
                let plan = crate::fixture::plan(&["a/c1/x"]);
                store.stage_plan(&id, &context, &plan).await.unwrap();
                let from = crate::fixture::rendered();
                store
                    .accept_instantiate(&id, &context, &from, &meta())
                    .await
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => won += 1,
            Err(StoreError::WrongState { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
}

async fn a_stale_plan_is_refused(bed: &Bed) {
    let store = &bed.store;
    instantiate(store, "d", &["a/c1/x"]).await;
    store
        .apply_documents(crate::fixture::documents(&["e"]), false, &meta())
        .await
        .unwrap();
    let id = dig_ref("e");
    let context = crate::fixture::fresh();
    let plan = crate::fixture::plan(&["a/c1/z"]);
    let mut from = crate::fixture::rendered();
    let not_approved = store
        .accept_instantiate(&id, &context, &from, &meta())
        .await;
    assert!(matches!(not_approved, Err(StoreError::WrongState { .. })));
    store.approve(&id, &meta()).await.unwrap();
    let not_staged = store
        .accept_instantiate(&id, &context, &from, &meta())
        .await;
    assert!(matches!(not_staged, Err(StoreError::Stale(_))));
    store.stage_plan(&id, &context, &plan).await.unwrap();
    store.stage_plan(&id, &context, &plan).await.unwrap();
    from.app = 7;
    let moved_on = store
        .accept_instantiate(&id, &context, &from, &meta())
        .await;
    assert!(matches!(moved_on, Err(StoreError::Stale(_))));
    let from = crate::fixture::rendered();
    let first = store
        .accept_instantiate(&id, &context, &from, &request("r", "b"))
        .await
        .unwrap();
    let again = store
        .accept_instantiate(&id, &context, &from, &request("r", "b"))
        .await
        .unwrap();
    assert_eq!(first, again);
    assert!(bed.sql("SELECT context FROM staged").await.is_empty());
}

async fn wakes_are_kept_until_acknowledged(bed: &Bed) {
    let store = &bed.store;
    let life = Life::new(store, "d", &["a/c1/x"]).await;
    let wanted = life.fence;
    let wakes = store.unacked(10).await.unwrap();
    assert_eq!(wakes.len(), 1);
    assert_eq!((wakes[0].fence, wakes[0].goal), (wanted, Goal::Apply));
    store.ack(&life.context, Fence(wanted.0 - 1)).await.unwrap();
    assert_eq!(store.unacked(10).await.unwrap().len(), 1);
    for fence in [wanted, Fence(0)] {
        store.ack(&life.context, fence).await.unwrap();
        assert!(store.unacked(10).await.unwrap().is_empty());
    }
    assert_eq!(store.unsettled().await.unwrap().len(), 1);
    life.terminate().await;
    assert_eq!(store.unacked(10).await.unwrap()[0].goal, Goal::Delete);
    life.drive().await;
    assert!(store.unsettled().await.unwrap().is_empty());
}
