//! Lives of a context: fences, attempts, permits, settling.

use crate::{
    bed::{self, Bed},
    fixture::{
        begin, close, dig_ref, drive, go, instantiate, instantiate_again, log_is_legal, meta,
        prove, request, send, states,
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
    let (context, accepted) = instantiate(store, "d", &rows).await;
    assert_eq!(accepted.state, DigState::Instantiated);
    assert_eq!(drive(store, &context).await, ContextState::Instantiated);
    assert_eq!(states(store, &context, 4).await, ["Applied"; 4]);
    assert!(store.begin(&context, "run").await.unwrap().is_none());
    let first = store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let second = store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert!(first.changed && !second.changed);
    assert_eq!(first.fence, second.fence);
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    assert_eq!(states(store, &context, 4).await, ["Deleted"; 4]);
    assert!(bed.sql("SELECT key FROM claim").await.is_empty());
    assert!(bed.sql("SELECT id FROM attempt").await.is_empty());
    let refused = store.accept_terminate(&dig_ref("d"), &meta()).await;
    assert!(matches!(refused, Err(StoreError::WrongState { .. })));
    let (second, _) = instantiate_again(store, "d", &rows).await;
    assert_ne!(context, second);
    assert_eq!(drive(store, &second).await, ContextState::Instantiated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn terminate_before_anything_was_sent_contacts_nobody(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c1/y"]).await;
    let fence = begin(store, &context).await;
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        1,
        Definite,
        Closed::Applied,
    )
    .await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let state = store.context(&context).await.unwrap().state;
    assert_eq!(state, ContextState::PreTerminate);
    let fence = begin(store, &context).await;
    let granted = store.permit(&context, fence).await.unwrap();
    assert_eq!(granted, PermitRow::Granted);
    assert_eq!(
        states(store, &context, 2).await,
        ["Deleted", "Pending(Delete)"]
    );
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn an_old_fence_opens_nothing(bed: &Bed) {
    let store = &bed.store;
    let (context, accepted) = instantiate(store, "d", &["a/c1/x"]).await;
    let old = accepted.fence.unwrap();
    let fence = begin(store, &context).await;
    assert_ne!(old, fence, "a run takes a fence of its own");
    let other_run = store.begin(&context, "other").await.unwrap().unwrap();
    assert_ne!(other_run.fence, fence);
    for (stale, goal) in [
        (old, Goal::Apply),
        (fence, Goal::Apply),
        (other_run.fence, Goal::Delete),
        (Fence(i64::MAX), Goal::Apply),
    ] {
        let opened = store
            .open_attempts(&context, stale, goal, &[0], 1_000)
            .await
            .unwrap();
        assert!(matches!(opened[..], [Opened::Superseded]), "{opened:?}");
        assert!(
            store
                .outline(&context, stale, goal, None)
                .await
                .unwrap()
                .is_none()
        );
    }
    let now = other_run.fence;
    let attempt = go(store, &context, now, Goal::Apply, 0).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let opened = store
        .open_attempts(&context, now, Goal::Apply, &[0], 1_000)
        .await
        .unwrap();
    assert!(matches!(opened[..], [Opened::Superseded]));
    // The outcome of what was sent before is a fact, but no state.
    let mut closes = close(attempt, 0, Definite, Closed::Applied);
    closes[0].uid = Some("u".into());
    store.close_attempts(&context, now, closes).await.unwrap();
    let row = &store.rows(&context, &[0]).await.unwrap()[0];
    assert_eq!(row.state.to_string(), "Pending(Apply)");
    assert_eq!((row.uid.as_deref(), row.sent), (Some("u"), 1));
}

async fn terminated_needs_a_proof_on_every_cluster_under_the_fence_of_now(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c2/x", "a/c3/x"]).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let old = begin(store, &context).await;
    store.permit(&context, old).await.unwrap();
    assert_eq!(states(store, &context, 3).await, ["Deleted"; 3]);
    assert_eq!(
        store.settle(&context, old).await.unwrap(),
        SettleRow::Unfinished
    );
    store.record_proof(&context, old, 0, 2).await.unwrap();
    // A new run takes a new fence, under which nothing was proven yet.
    let fence = store.begin(&context, "next").await.unwrap().unwrap().fence;
    store.record_proof(&context, old, 2, 2).await.unwrap();
    // Not from its beginning on, with a gap, not to its end.
    for (offset, count) in [(2, 2), (0, 1), (2, 2)] {
        store
            .record_proof(&context, fence, offset, count)
            .await
            .unwrap();
        let settled = store.settle(&context, fence).await.unwrap();
        assert_eq!(settled, SettleRow::Unfinished, "{offset} {count}");
    }
    store.record_proof(&context, fence, 1, 2).await.unwrap();
    // What was found again takes the proof along.
    let found = store::FoundAgain {
        key: store.rows(&context, &[0]).await.unwrap()[0].key.clone(),
        uid: "u".into(),
    };
    store
        .found_again(&context, fence, vec![found])
        .await
        .unwrap();
    send(
        store,
        &context,
        fence,
        Goal::Delete,
        0,
        Definite,
        Closed::Gone,
    )
    .await;
    assert_eq!(
        store.settle(&context, fence).await.unwrap(),
        SettleRow::Unfinished
    );
    prove(store, &context, fence).await;
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::Terminated));
}

async fn settle_after_the_goal_moved_changes_nothing(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    let fence = begin(store, &context).await;
    let unfinished = store.settle(&context, fence).await.unwrap();
    assert_eq!(unfinished, SettleRow::Unfinished);
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        0,
        Definite,
        Closed::Applied,
    )
    .await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(
        store.settle(&context, fence).await.unwrap(),
        SettleRow::Moved
    );
    let fence = begin(store, &context).await;
    let unfinished = store.settle(&context, fence).await.unwrap();
    assert_eq!(
        unfinished,
        SettleRow::Unfinished,
        "PreTerminate does not settle"
    );
    let state = store.context(&context).await.unwrap().state;
    assert_eq!(state, ContextState::PreTerminate);
}

async fn the_permit_waits_for_the_send_window(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/x", "a/c1/y"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    let open = go(store, &context, fence, Goal::Apply, 0).await;
    // One that nobody closes, of a process that died: its window is over.
    let dead = bed.with(bed::windowless()).await;
    go(&dead, &context, fence, Goal::Apply, 1).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let fence = begin(store, &context).await;
    let wait = store.permit(&context, fence).await.unwrap();
    assert!(matches!(wait, PermitRow::Wait { ms: 1.. }), "{wait:?}");
    let stale = store.permit(&context, Fence(1)).await.unwrap();
    assert_eq!(stale, PermitRow::Superseded);
    let closes = close(open, 0, NotSent, Closed::NotSent);
    store.close_attempts(&context, fence, closes).await.unwrap();
    let granted = store.permit(&context, fence).await.unwrap();
    assert_eq!(granted, PermitRow::Granted);
    assert_eq!(
        states(store, &context, 2).await,
        ["Deleted", "Pending(Delete)"]
    );
}

async fn an_apply_waits_for_what_another_life_may_still_do(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    let fence = begin(store, &context).await;
    go(store, &context, fence, Goal::Apply, 0).await;
    let same = store
        .open_attempts(&context, fence, Goal::Apply, &[0], 1_000)
        .await
        .unwrap();
    assert!(
        matches!(same[..], [Opened::Go { .. }]),
        "a repeat is a new open"
    );
    let fence = store.begin(&context, "next").await.unwrap().unwrap().fence;
    let other = store
        .open_attempts(&context, fence, Goal::Apply, &[0], 1_000)
        .await
        .unwrap();
    assert!(matches!(other[..], [Opened::Busy { ms: 1.. }]), "{other:?}");
    bed.sql("UPDATE attempt SET effect_until = 0").await;
    go(store, &context, fence, Goal::Apply, 0).await;
}

async fn an_absence_is_not_believed_while_an_apply_may_arrive(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    let fence = begin(store, &context).await;
    let lost = go(
        &bed.with(bed::windowless()).await,
        &context,
        fence,
        Goal::Apply,
        0,
    )
    .await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let fence = begin(store, &context).await;
    store.permit(&context, fence).await.unwrap();
    let opened = store
        .open_attempts(&context, fence, Goal::Delete, &[0], 1_000)
        .await
        .unwrap();
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
    store.close_attempts(&context, fence, closes).await.unwrap();
    let closes = close(attempt, 0, Definite, Closed::Gone);
    store.close_attempts(&context, fence, closes).await.unwrap();
    let row = &store.rows(&context, &[0]).await.unwrap()[0];
    assert_eq!(row.state.to_string(), "Retrying(Delete)");
    assert_eq!(row.error.as_ref().unwrap().code, "lateRequest");
    send(
        store,
        &context,
        fence,
        Goal::Delete,
        0,
        Definite,
        Closed::Gone,
    )
    .await;
    assert_eq!(states(store, &context, 1).await, ["Deleted"]);
    // Terminated only when nothing is unexpired, whatever it is.
    let scope = store.proof_scope(&context, fence, 0, 10).await.unwrap();
    assert_eq!(scope.wait_ms, 0);
    assert_eq!(scope.clusters.len(), 1);
    prove(store, &context, fence).await;
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::Terminated));
}

async fn of_concurrent_instantiates_exactly_one_wins(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    drive(store, &context).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    drive(store, &context).await;
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
    let (context, accepted) = instantiate(store, "d", &["a/c1/x"]).await;
    let wanted = accepted.fence.unwrap();
    let wakes = store.unacked(10).await.unwrap();
    assert_eq!(wakes.len(), 1);
    assert_eq!((wakes[0].fence, wakes[0].goal), (wanted, Goal::Apply));
    store.ack(&context, Fence(wanted.0 - 1)).await.unwrap();
    assert_eq!(store.unacked(10).await.unwrap().len(), 1);
    for fence in [wanted, Fence(0)] {
        store.ack(&context, fence).await.unwrap();
        assert!(store.unacked(10).await.unwrap().is_empty());
    }
    assert_eq!(store.unsettled().await.unwrap().len(), 1);
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(store.unacked(10).await.unwrap()[0].goal, Goal::Delete);
    drive(store, &context).await;
    assert!(store.unsettled().await.unwrap().is_empty());
}
