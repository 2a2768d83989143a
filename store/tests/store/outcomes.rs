//! What outcomes, looks, notes and proofs make of rows.

use crate::{
    bed::Bed,
    fixture::{Life, dig_ref, failure, last_event, log_is_legal},
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
    let life = Life::begun(store, "d", &rows).await;
    let transient = || Closed::Transient {
        failure: failure("timeout"),
        delay_ms: 5_000,
    };
    let apply = Goal::Apply;
    life.applied(0).await;
    life.send(apply, 1, Ambiguous, transient()).await;
    let first = life.row(1).await.failing_since_ms;
    life.send(apply, 1, Ambiguous, transient()).await;
    let refused = Closed::Refused(failure("invalid"));
    life.send(apply, 2, Definite, refused).await;
    life.send(apply, 3, Definite, Closed::Used).await;
    assert_eq!(
        life.states(4).await,
        ["Applied", "Retrying(Apply)", "Failed(Apply)", "Applied"]
    );
    let row = life.row(1).await;
    assert_eq!((row.attempts, row.sent), (2, 2));
    assert_eq!(row.failing_since_ms, first);
    assert!(row.next_attempt_ms > Some(row.since_ms));
    assert_eq!(row.error, Some(failure("timeout")));
    life.applied(1).await;
    let row = life.row(1).await;
    assert_eq!((&row.error, row.failing_since_ms), (&None, None));
    // A late answer does not bring a Failed row back.
    let opened = life.open(apply, 2).await;
    assert!(matches!(opened[..], [Opened::Done(_)]));
    let settled = life.settle().await;
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));
    log_is_legal(store, &dig_ref("d")).await;
}

async fn what_was_not_sent_is_taken_back(bed: &Bed) {
    let life = Life::begun(&bed.store, "d", &["a/c1/x"]).await;
    let refused = Closed::Transient {
        failure: failure("unreachable"),
        delay_ms: 1,
    };
    // Two looks that got no answer are attempts, so that the delays grow; what did not even
    // begin is none.
    for result in [refused.clone(), refused, Closed::NotSent] {
        life.send(Goal::Apply, 0, NotSent, result).await;
    }
    let row = life.row(0).await;
    assert_eq!((row.sent, row.attempts), (0, 2));
    assert_eq!(row.state.to_string(), "Retrying(Apply)");
    life.terminate().await;
    assert_eq!(life.drive().await, ContextState::Terminated);
}

async fn a_failure_holds_back_what_comes_behind_it(bed: &Bed) {
    let rows = ["/c1/NS", "a/c1/x", "a/c2/x"];
    let life = Life::begun(&bed.store, "d", &rows).await;
    let refused = Closed::Refused(failure("forbidden"));
    life.send(Goal::Apply, 0, Definite, refused).await;
    let unfinished = life.settle().await;
    assert_eq!(unfinished, SettleRow::Unfinished, "c2 is not held back");
    life.applied(2).await;
    let settled = life.settle().await;
    assert_eq!(settled, SettleRow::Settled(ContextState::InstantiateFailed));
    assert_eq!(
        life.states(3).await,
        ["Failed(Apply)", "Pending(Apply)", "Applied"]
    );
}

async fn a_failed_terminate_is_driven_again(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::new(store, "d", &["a/c1/x", "a/c1/y"]).await;
    life.drive().await;
    life.terminate().await;
    life.begin().await;
    let refused = Closed::Refused(failure("forbidden"));
    life.send(Goal::Delete, 0, Definite, refused).await;
    let waits = Closed::Deleting {
        blocked_by: "finalizers".into(),
    };
    life.send(Goal::Delete, 1, Definite, waits).await;
    let row = life.row(1).await;
    assert_eq!(row.blocked_by.as_deref(), Some("finalizers"));
    assert_eq!(life.settle().await, SettleRow::Unfinished);
    life.gone(1).await;
    let settled = life.settle().await;
    assert_eq!(settled, SettleRow::Settled(ContextState::TerminateFailed));
    life.terminate().await;
    assert_eq!(life.states(2).await, ["Pending(Delete)", "Deleted"]);
    assert_eq!(life.drive().await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn what_the_proof_finds_is_deleted_again(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::new(store, "d", &["a/c1/x", "a/c2/x"]).await;
    life.drive().await;
    life.terminate().await;
    life.begin().await;
    for row in [0, 1] {
        life.gone(row).await;
    }
    let key = life.row(1).await.key;
    let found = || {
        vec![FoundAgain {
            key: key.clone(),
            uid: "again".into(),
        }]
    };
    assert_eq!(
        store
            .found_again(&life.context, life.fence, found())
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .found_again(&life.context, life.fence, found())
            .await
            .unwrap(),
        0
    );
    assert_eq!(life.states(2).await, ["Deleted", "Pending(Delete)"]);
    assert_eq!(life.settle().await, SettleRow::Unfinished);
    assert_eq!(life.drive().await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn a_foreign_object_fails_its_row(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::begun(store, "d", &["/c1/NS", "a/c1/x", "a/c1/y"]).await;
    let found = |row, ours| store::Found {
        row,
        uid: format!("theirs-{row}"),
        ours,
        managers: "helm".into(),
    };
    for _ in 0..2 {
        let all = vec![found(0, false), found(1, false), found(2, true)];
        store
            .record_look(&life.context, life.fence, all)
            .await
            .unwrap();
    }
    assert_eq!(
        life.states(3).await,
        ["Pending(Apply)", "Failed(Apply)", "Pending(Apply)"]
    );
    let rows = store.rows(&life.context, &[0, 1, 2]).await.unwrap();
    assert_eq!(rows[0].preexisting_uid.as_deref(), Some("theirs-0"));
    assert_eq!(
        rows[1].error.as_ref().unwrap().message,
        "exists, managed by helm"
    );
    assert_eq!(rows[2].uid.as_deref(), Some("theirs-2"));
    life.send(Goal::Apply, 0, Definite, Closed::Used).await;
    life.applied(2).await;
    life.settle().await;
    life.terminate().await;
    assert_eq!(
        life.states(3).await,
        ["Pending(Delete)", "Deleted", "Pending(Delete)"]
    );
    life.begin().await;
    let release = store
        .release_shared(&life.context, life.fence, 0)
        .await
        .unwrap();
    assert_eq!(release, store::Release::NotOurs);
}

async fn notes_and_expiry_reach_waiting_rows(bed: &Bed) {
    let store = &bed.store;
    let life = Life::begun(store, "d", &["a/c1/x", "a/c2/x", "b/c1/z"]).await;
    let app = || NoteTarget::App("a".into());
    let before = last_event(store, "d").await;
    for _ in 0..2 {
        store
            .note(&life.context, life.fence, app(), Some("app b"))
            .await
            .unwrap();
    }
    let rows = store.rows(&life.context, &[0, 1, 2]).await.unwrap();
    let blocked: Vec<_> = rows.iter().map(|r| r.blocked_by.as_deref()).collect();
    assert_eq!(blocked, [Some("app b"), Some("app b"), None]);
    assert_eq!(last_event(store, "d").await, before + 1);
    store
        .note(&life.context, life.fence, NoteTarget::Rows(vec![0]), None)
        .await
        .unwrap();
    assert_eq!(life.row(0).await.blocked_by, None);
    let cluster = crate::fixture::cluster("c1");
    let expired = failure("retryTimeExceeded");
    for _ in 0..2 {
        store
            .expire_bundle(&life.context, life.fence, "a", &cluster, &expired)
            .await
            .unwrap();
    }
    assert_eq!(
        life.states(3).await,
        ["Failed(Apply)", "Pending(Apply)", "Pending(Apply)"]
    );
    log_is_legal(store, &dig_ref("d")).await;
}
