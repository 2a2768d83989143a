//! Stop, Retry and FailFast: nothing more is sent, what is in flight is a fact, and it goes on.

use crate::{
    bed::Bed,
    fixture::{
        begin, close, cluster, dig_ref, documents, drive, failure, go, instantiate,
        instantiate_again, log_is_legal, meta, request, send, states,
    },
};
use model::{
    document::OnFailure,
    failure::Certainty::{Ambiguous, Definite},
    ids::{ContextId, Fence, RowId},
    state::{ContextState, DigState, Goal},
};
use store::{Closed, Found, Opened, PermitRow, RowFilter, SettleRow, Store, StoreError};

on_both!(
    a_stop_settles_at_once_and_records_what_is_in_flight,
    a_stopped_terminate_goes_on_by_retry_and_by_terminate,
    stop_and_retry_are_refused_where_the_machines_have_no_row,
    a_repeated_stop_or_retry_has_one_effect,
    a_large_context_begins_anew_in_chunks_and_once,
    a_stop_and_a_settle_at_once_leave_one_of_the_two,
    of_a_stop_and_a_terminate_at_once_both_orders_are_legal,
    the_first_failure_halts_a_context_that_fails_fast,
    a_foreign_object_and_an_expired_bundle_halt_it_too,
);

fn transient() -> Closed {
    Closed::Transient {
        failure: failure("timeout"),
        delay_ms: 60_000,
    }
}

async fn opens(store: &Store, context: &ContextId, fence: Fence, row: i32) -> bool {
    let opened = store
        .open_attempts(context, fence, Goal::Apply, &[row], 1_000)
        .await
        .unwrap();
    matches!(opened[..], [Opened::Go { .. }])
}

/// What each row waits for, as status shows it.
async fn waits(store: &Store, context: &ContextId) -> Vec<Option<String>> {
    let rows = store
        .status_rows(context, &RowFilter::default(), None, 100)
        .await
        .unwrap();
    assert!(rows.iter().all(|row| row.next_attempt_ms.is_none()));
    rows.into_iter().map(|row| row.blocked_by).collect()
}

async fn a_stop_settles_at_once_and_records_what_is_in_flight(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/w", "a/c1/x", "a/c1/y", "a/c1/z"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        0,
        Definite,
        transient(),
    )
    .await;
    let x = go(store, &context, fence, Goal::Apply, 1).await;
    let y = go(store, &context, fence, Goal::Apply, 2).await;
    let stopped = store.accept_stop(&dig_ref("d"), &meta()).await.unwrap();
    assert_eq!(stopped.state, DigState::InstantiateStopped);
    let head = store.context(&context).await.unwrap();
    assert_eq!(head.state, ContextState::InstantiateFailed);
    assert!(store.begin(&context, "run").await.unwrap().is_none());
    for fence in [fence, stopped.fence.unwrap()] {
        assert!(!opens(store, &context, fence, 3).await);
    }
    let closes = close(x, 1, Definite, Closed::Applied);
    store.close_attempts(&context, fence, closes).await.unwrap();
    let closes = close(y, 2, Ambiguous, transient());
    store.close_attempts(&context, fence, closes).await.unwrap();
    assert_eq!(
        states(store, &context, 4).await,
        [
            "Retrying(Apply)",
            "Applied",
            "Retrying(Apply)",
            "Pending(Apply)"
        ]
    );
    let waits = waits(store, &context).await;
    for (row, says) in waits.iter().enumerate() {
        let stopped = says.as_deref().is_some_and(|why| why.contains("stopped"));
        assert_eq!(stopped, row != 1, "row {row}: {says:?}");
    }
    let problems = store.problems(&context).await.unwrap();
    assert_eq!(problems.iter().map(|p| p.count).sum::<i64>(), 3);
    assert!(problems.iter().all(|p| p.blocked_by.is_some()));

    let again = store.accept_retry(&dig_ref("d"), &meta()).await.unwrap();
    assert_eq!(again.state, DigState::Instantiated);
    assert_eq!(
        states(store, &context, 2).await,
        ["Pending(Apply)", "Applied"]
    );
    bed.sql("UPDATE attempt SET effect_until = 0").await;
    assert_eq!(drive(store, &context).await, ContextState::Instantiated);
    let attempts: Vec<i32> = store
        .rows(&context, &[0, 1])
        .await
        .unwrap()
        .iter()
        .map(|row| row.sent)
        .collect();
    assert_eq!(attempts[1], 1, "what was Applied is not driven again");
    log_is_legal(store, &dig_ref("d")).await;
}

async fn a_stopped_terminate_goes_on_by_retry_and_by_terminate(bed: &Bed) {
    let store = &bed.store;
    for verb in ["retry", "terminate"] {
        let id = dig_ref(verb);
        let rows = ["/c1/NS", "a/c1/x", "a/c1/y"];
        let (context, _) = instantiate(store, verb, &rows).await;
        drive(store, &context).await;
        store.accept_terminate(&id, &meta()).await.unwrap();
        let fence = begin(store, &context).await;
        send(
            store,
            &context,
            fence,
            Goal::Delete,
            1,
            Definite,
            Closed::Gone,
        )
        .await;
        let y = go(store, &context, fence, Goal::Delete, 2).await;
        let stopped = store.accept_stop(&id, &meta()).await.unwrap();
        assert_eq!(stopped.state, DigState::TerminateStopped);
        let head = store.context(&context).await.unwrap();
        assert_eq!(head.state, ContextState::TerminateFailed);
        let waiting = Closed::Deleting {
            blocked_by: "finalizers".into(),
        };
        let closes = close(y, 2, Definite, waiting);
        store.close_attempts(&context, fence, closes).await.unwrap();
        assert_eq!(
            states(store, &context, 3).await,
            ["Pending(Delete)", "Deleted", "Pending(Delete)"]
        );
        assert!(waits(store, &context).await[2].is_some());
        let on = match verb {
            "retry" => store.accept_retry(&id, &meta()).await,
            _ => store.accept_terminate(&id, &meta()).await,
        };
        assert_eq!(on.unwrap().state, DigState::Terminated);
        assert_eq!(drive(store, &context).await, ContextState::Terminated);
        log_is_legal(store, &id).await;
    }
}

async fn stop_and_retry_are_refused_where_the_machines_have_no_row(bed: &Bed) {
    let store = &bed.store;
    let id = dig_ref("d");
    let refused = |result: store::Accepted| panic!("{result:?}");
    let says = |error: StoreError| match error {
        StoreError::WrongState { state, allowed, .. } => format!("{state}: {allowed}"),
        other => panic!("{other:?}"),
    };
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    let retry = store.accept_retry(&id, &meta()).await;
    assert_eq!(
        retry.map_or_else(says, refused),
        "Instantiated (context Instantiating): stop, terminate"
    );
    drive(store, &context).await;
    let stop = store.accept_stop(&id, &meta()).await;
    assert_eq!(
        stop.map_or_else(says, refused),
        "Instantiated (context Instantiated): terminate"
    );
    store.accept_terminate(&id, &meta()).await.unwrap();
    drive(store, &context).await;
    let (context, _) = instantiate_again(store, "d", &["a/c1/x"]).await;
    store.accept_terminate(&id, &meta()).await.unwrap();
    let stop = store.accept_stop(&id, &meta()).await;
    assert_eq!(
        stop.map_or_else(says, refused),
        "Terminated (context PreTerminate): terminate"
    );
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    for result in [
        store.accept_stop(&id, &meta()).await,
        store.accept_retry(&id, &meta()).await,
    ] {
        assert_eq!(
            result.map_or_else(says, refused),
            "Terminated (context Terminated): delete, instantiate"
        );
    }
}

/// The first and the last row have trouble on their way to a goal.
async fn both_ends_wait(store: &Store, context: &ContextId, fence: Fence, goal: Goal, last: RowId) {
    for row in [0, last] {
        send(store, context, fence, goal, row, Definite, transient()).await;
    }
}

async fn a_large_context_begins_anew_in_chunks_and_once(bed: &Bed) {
    let store = &bed.store;
    // More than two chunks.
    let last = 4_000;
    let names: Vec<String> = (0..=last).map(|i| format!("a/c1/x{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (context, _) = instantiate(store, "d", &names).await;
    let retrying = async || {
        let rows = store.rows(&context, &[0, last]).await.unwrap();
        let retrying = rows.iter().filter(|row| row.state.name() == "Retrying");
        retrying.count()
    };
    let id = dig_ref("d");
    let fence = begin(store, &context).await;
    both_ends_wait(store, &context, fence, Goal::Apply, last).await;
    store.accept_stop(&id, &meta()).await.unwrap();
    store.accept_retry(&id, &meta()).await.unwrap();
    assert_eq!(retrying().await, 2, "the accept leaves the rows alone");
    // A terminate in between wins: nothing begins anew towards a goal that was given up.
    store.accept_terminate(&id, &meta()).await.unwrap();
    let fence = begin(store, &context).await;
    assert_eq!(retrying().await, 2);
    let permit = store.permit(&context, fence).await.unwrap();
    assert_eq!(permit, PermitRow::Granted);
    let fence = begin(store, &context).await;
    both_ends_wait(store, &context, fence, Goal::Delete, last).await;

    store.accept_stop(&id, &meta()).await.unwrap();
    store.accept_retry(&id, &meta()).await.unwrap();
    assert_eq!(retrying().await, 2);
    let fence = begin(store, &context).await;
    assert_eq!(retrying().await, 0, "the run that takes it up moves both");
    both_ends_wait(store, &context, fence, Goal::Delete, last).await;
    let run = store.begin(&context, "another run").await.unwrap().unwrap();
    assert_ne!(run.fence, fence);
    assert_eq!(retrying().await, 2, "what had trouble since is not moved");
    log_is_legal(store, &id).await;
}

async fn a_repeated_stop_or_retry_has_one_effect(bed: &Bed) {
    let store = &bed.store;
    let id = dig_ref("d");
    instantiate(store, "d", &["a/c1/x"]).await;
    let (one, two) = (request("s", "stop"), request("r", "retry"));
    let stopped = store.accept_stop(&id, &one).await.unwrap();
    let again = store.accept_retry(&id, &two).await.unwrap();
    // The answers of before, whatever the state is now.
    assert_eq!(store.accept_stop(&id, &one).await.unwrap(), stopped);
    assert_eq!(store.accept_retry(&id, &two).await.unwrap(), again);
    let reused = store.accept_stop(&id, &request("s", "other")).await;
    assert!(matches!(reused, Err(StoreError::RequestIdReused(_))));
    let summary = store.summary(&id).await.unwrap();
    let verbs: Vec<_> = summary.actions.iter().map(|a| a.verb.verb()).collect();
    assert_eq!(verbs, ["create", "approve", "instantiate", "stop", "retry"]);
}

async fn a_stop_and_a_settle_at_once_leave_one_of_the_two(bed: &Bed) {
    let store = &bed.store;
    for n in 0..8 {
        let name = format!("d{n}");
        let id = dig_ref(&name);
        let (context, _) = instantiate(store, &name, &["a/c1/x"]).await;
        let fence = begin(store, &context).await;
        let row = (Goal::Apply, 0, Definite, Closed::Applied);
        send(store, &context, fence, row.0, row.1, row.2, row.3).await;
        let meta = meta();
        let (stop, settle) =
            tokio::join!(store.accept_stop(&id, &meta), store.settle(&context, fence));
        let state = store.context(&context).await.unwrap().state;
        match (stop.is_ok(), settle.unwrap()) {
            (true, SettleRow::Moved) => assert_eq!(state, ContextState::InstantiateFailed),
            (false, SettleRow::Settled(_)) => assert_eq!(state, ContextState::Instantiated),
            both => panic!("{both:?}"),
        }
        // So that the next round may claim the object.
        store.accept_terminate(&id, &meta).await.unwrap();
        assert_eq!(drive(store, &context).await, ContextState::Terminated);
        log_is_legal(store, &id).await;
    }
}

async fn of_a_stop_and_a_terminate_at_once_both_orders_are_legal(bed: &Bed) {
    let store = &bed.store;
    for n in 0..8 {
        let name = format!("d{n}");
        let id = dig_ref(&name);
        let (context, _) = instantiate(store, &name, &["a/c1/x"]).await;
        let fence = begin(store, &context).await;
        go(store, &context, fence, Goal::Apply, 0).await;
        let meta = meta();
        let (stop, terminate) = tokio::join!(
            store.accept_stop(&id, &meta),
            store.accept_terminate(&id, &meta)
        );
        terminate.unwrap();
        let state = store.context(&context).await.unwrap().state;
        // After a stop nothing more can leave either: the row was opened, so it is asked for.
        let expected = match stop.is_ok() {
            true => ContextState::Terminating,
            false => ContextState::PreTerminate,
        };
        assert_eq!(state, expected);
        bed.sql("UPDATE attempt SET send_until = 0, effect_until = 0")
            .await;
        assert_eq!(drive(store, &context).await, ContextState::Terminated);
        log_is_legal(store, &id).await;
    }
}

/// A context whose DIG says `onFailure: FailFast`.
async fn fails_fast(store: &Store, rows: &[&str]) -> ContextId {
    let mut documents = documents(&["d"]);
    documents.digs[0].policy.on_failure = OnFailure::FailFast;
    store
        .apply_documents(documents, false, &meta())
        .await
        .unwrap();
    store.approve(&dig_ref("d"), &meta()).await.unwrap();
    instantiate_again(store, "d", rows).await.0
}

async fn the_first_failure_halts_a_context_that_fails_fast(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/x", "a/c2/x", "b/c2/y"];
    let context = fails_fast(store, &rows).await;
    let fence = begin(store, &context).await;
    let in_flight = go(store, &context, fence, Goal::Apply, 1).await;
    let refused = Closed::Refused(failure("invalid"));
    send(store, &context, fence, Goal::Apply, 0, Definite, refused).await;
    assert!(!opens(store, &context, fence, 2).await, "another cluster");
    let begun = store.begin(&context, "run").await.unwrap().unwrap();
    assert!(begun.halted && begun.fence != fence);
    assert!(!opens(store, &context, begun.fence, 2).await);
    let settled = store.settle(&context, begun.fence).await.unwrap();
    assert_eq!(settled, SettleRow::Unfinished, "one is in flight");
    let closes = close(in_flight, 1, Definite, Closed::Applied);
    store.close_attempts(&context, fence, closes).await.unwrap();
    let settled = store.settle(&context, begun.fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));
    assert_eq!(
        states(store, &context, 3).await,
        ["Failed(Apply)", "Applied", "Pending(Apply)"]
    );
    let why = waits(store, &context).await[2].clone().unwrap();
    assert!(
        why.contains("ConfigMap shop/x on ") && why.contains("FailFast"),
        "{why}"
    );
    store.accept_retry(&dig_ref("d"), &meta()).await.unwrap();
    assert_eq!(drive(store, &context).await, ContextState::Instantiated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn a_foreign_object_and_an_expired_bundle_halt_it_too(bed: &Bed) {
    let store = &bed.store;
    let context = fails_fast(store, &["a/c1/x", "a/c2/x"]).await;
    let fence = begin(store, &context).await;
    let found = Found {
        row: 0,
        uid: "u".into(),
        ours: false,
        managers: "kubectl".into(),
    };
    store
        .record_look(&context, fence, vec![found])
        .await
        .unwrap();
    assert!(!opens(store, &context, fence, 1).await);
    let fence = begin(store, &context).await;
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));

    store.accept_retry(&dig_ref("d"), &meta()).await.unwrap();
    let fence = begin(store, &context).await;
    let late = failure("retryTimeExceeded");
    store
        .expire_bundle(&context, fence, "a", &cluster("c1"), &late)
        .await
        .unwrap();
    assert!(!opens(store, &context, fence, 1).await);
    assert_eq!(
        states(store, &context, 2).await,
        ["Failed(Apply)", "Pending(Apply)"]
    );
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}
