//! What outcomes, looks, notes and proofs make of rows.

use crate::{
    bed::Bed,
    fixture::{begin, dig_ref, drive, failure, instantiate, log_is_legal, meta, send, states},
};
use model::{
    failure::Certainty::{Ambiguous, Definite, NotSent},
    state::{ContextState, Goal},
};
use store::{Closed, FoundAgain, NoteTarget, Opened, SettleRow};

on_both!(
    outcomes_become_states,
    what_was_not_sent_is_taken_back,
    a_failure_holds_back_what_comes_behind_it,
    a_failed_terminate_is_driven_again,
    what_the_proof_finds_is_deleted_again,
    a_foreign_object_fails_its_row,
    notes_and_expiry_reach_waiting_rows,
);

async fn outcomes_become_states(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/applied", "a/c1/retrying", "a/c1/failed", "a/c1/used"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    let transient = || Closed::Transient {
        failure: failure("timeout"),
        delay_ms: 5_000,
    };
    let apply = Goal::Apply;
    send(store, &context, fence, apply, 0, Definite, Closed::Applied).await;
    send(store, &context, fence, apply, 1, Ambiguous, transient()).await;
    let first = store.rows(&context, &[1]).await.unwrap()[0].failing_since_ms;
    send(store, &context, fence, apply, 1, Ambiguous, transient()).await;
    let refused = Closed::Refused(failure("invalid"));
    send(store, &context, fence, apply, 2, Definite, refused).await;
    send(store, &context, fence, apply, 3, Definite, Closed::Used).await;
    assert_eq!(
        states(store, &context, 4).await,
        ["Applied", "Retrying(Apply)", "Failed(Apply)", "Applied"]
    );
    let row = &store.rows(&context, &[1]).await.unwrap()[0];
    assert_eq!((row.attempts, row.sent), (2, 2));
    assert_eq!(row.failing_since_ms, first);
    assert!(row.next_attempt_ms > Some(row.since_ms));
    assert_eq!(row.error, Some(failure("timeout")));
    send(store, &context, fence, apply, 1, Definite, Closed::Applied).await;
    let row = &store.rows(&context, &[1]).await.unwrap()[0];
    assert_eq!((&row.error, row.failing_since_ms), (&None, None));
    // A late answer does not bring a Failed row back.
    let opened = store
        .open_attempts(&context, fence, apply, &[2], 1_000)
        .await;
    assert!(matches!(opened.unwrap()[..], [Opened::Done(_)]));
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));
    log_is_legal(store, &dig_ref("d")).await;
}

async fn what_was_not_sent_is_taken_back(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x"]).await;
    let fence = begin(store, &context).await;
    let refused = Closed::Transient {
        failure: failure("unreachable"),
        delay_ms: 1,
    };
    // Two looks that got no answer are attempts, so that the delays grow; what did not even
    // begin is none.
    for result in [refused.clone(), refused, Closed::NotSent] {
        send(store, &context, fence, Goal::Apply, 0, NotSent, result).await;
    }
    let row = &store.rows(&context, &[0]).await.unwrap()[0];
    assert_eq!((row.sent, row.attempts), (0, 2));
    assert_eq!(row.state.to_string(), "Retrying(Apply)");
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
}

async fn a_failure_holds_back_what_comes_behind_it(bed: &Bed) {
    let store = &bed.store;
    let rows = ["/c1/NS", "a/c1/x", "a/c2/x"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    let refused = Closed::Refused(failure("forbidden"));
    send(store, &context, fence, Goal::Apply, 0, Definite, refused).await;
    let unfinished = store.settle(&context, fence).await.unwrap();
    assert_eq!(unfinished, SettleRow::Unfinished, "c2 is not held back");
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        2,
        Definite,
        Closed::Applied,
    )
    .await;
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));
    assert_eq!(
        states(store, &context, 3).await,
        ["Failed(Apply)", "Pending(Apply)", "Applied"]
    );
}

async fn a_failed_terminate_is_driven_again(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c1/y"]).await;
    drive(store, &context).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let fence = begin(store, &context).await;
    let refused = Closed::Refused(failure("forbidden"));
    send(store, &context, fence, Goal::Delete, 0, Definite, refused).await;
    let waits = Closed::Deleting {
        blocked_by: "finalizers".into(),
    };
    send(store, &context, fence, Goal::Delete, 1, Definite, waits).await;
    let row = &store.rows(&context, &[1]).await.unwrap()[0];
    assert_eq!(row.blocked_by.as_deref(), Some("finalizers"));
    assert_eq!(
        store.settle(&context, fence).await.unwrap(),
        SettleRow::Unfinished
    );
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
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::TerminateFailed));
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(
        states(store, &context, 2).await,
        ["Pending(Delete)", "Deleted"]
    );
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn what_the_proof_finds_is_deleted_again(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c2/x"]).await;
    drive(store, &context).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    let fence = begin(store, &context).await;
    for row in [0, 1] {
        send(
            store,
            &context,
            fence,
            Goal::Delete,
            row,
            Definite,
            Closed::Gone,
        )
        .await;
    }
    let key = store.rows(&context, &[1]).await.unwrap()[0].key.clone();
    let found = || {
        vec![FoundAgain {
            key: key.clone(),
            uid: "again".into(),
        }]
    };
    assert_eq!(
        store.found_again(&context, fence, found()).await.unwrap(),
        1
    );
    assert_eq!(
        store.found_again(&context, fence, found()).await.unwrap(),
        0
    );
    assert_eq!(
        states(store, &context, 2).await,
        ["Deleted", "Pending(Delete)"]
    );
    assert_eq!(
        store.settle(&context, fence).await.unwrap(),
        SettleRow::Unfinished
    );
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn a_foreign_object_fails_its_row(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["/c1/NS", "a/c1/x", "a/c1/y"]).await;
    let fence = begin(store, &context).await;
    let found = |row, ours| store::Found {
        row,
        uid: format!("theirs-{row}"),
        ours,
        managers: "helm".into(),
    };
    for _ in 0..2 {
        let all = vec![found(0, false), found(1, false), found(2, true)];
        store.record_look(&context, fence, all).await.unwrap();
    }
    assert_eq!(
        states(store, &context, 3).await,
        ["Pending(Apply)", "Failed(Apply)", "Pending(Apply)"]
    );
    let rows = store.rows(&context, &[0, 1, 2]).await.unwrap();
    assert_eq!(rows[0].preexisting_uid.as_deref(), Some("theirs-0"));
    assert_eq!(
        rows[1].error.as_ref().unwrap().message,
        "exists, managed by helm"
    );
    assert_eq!(rows[2].uid.as_deref(), Some("theirs-2"));
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        0,
        Definite,
        Closed::Used,
    )
    .await;
    send(
        store,
        &context,
        fence,
        Goal::Apply,
        2,
        Definite,
        Closed::Applied,
    )
    .await;
    store.settle(&context, fence).await.unwrap();
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(
        states(store, &context, 3).await,
        ["Pending(Delete)", "Deleted", "Pending(Delete)"]
    );
    let fence = begin(store, &context).await;
    let release = store.release_shared(&context, fence, 0).await.unwrap();
    assert_eq!(release, store::Release::NotOurs);
}

async fn notes_and_expiry_reach_waiting_rows(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c2/x", "b/c1/z"]).await;
    let fence = begin(store, &context).await;
    let app = || NoteTarget::App("a".into());
    let before = store.last_seq(&dig_ref("d")).await.unwrap();
    for _ in 0..2 {
        store
            .note(&context, fence, app(), Some("app b"))
            .await
            .unwrap();
    }
    let rows = store.rows(&context, &[0, 1, 2]).await.unwrap();
    let blocked: Vec<_> = rows.iter().map(|r| r.blocked_by.as_deref()).collect();
    assert_eq!(blocked, [Some("app b"), Some("app b"), None]);
    assert_eq!(store.last_seq(&dig_ref("d")).await.unwrap(), before + 1);
    store
        .note(&context, fence, NoteTarget::Rows(vec![0]), None)
        .await
        .unwrap();
    assert_eq!(
        store.rows(&context, &[0]).await.unwrap()[0].blocked_by,
        None
    );
    let cluster = crate::fixture::cluster("c1");
    let expired = failure("retryTimeExceeded");
    for _ in 0..2 {
        store
            .expire_bundle(&context, fence, "a", &cluster, &expired)
            .await
            .unwrap();
    }
    assert_eq!(
        states(store, &context, 3).await,
        ["Failed(Apply)", "Pending(Apply)", "Pending(Apply)"]
    );
    log_is_legal(store, &dig_ref("d")).await;
}
