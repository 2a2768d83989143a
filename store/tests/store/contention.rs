//! Two processes at once on the same contexts: nothing deadlocks for good, nothing is refused by
//! the database, and the log stays a legal one.

use crate::{
    bed::{Bed, patient},
    fixture::{close, dig_ref, drive, instantiate, log_is_legal, meta, prove},
};
use model::{
    failure::Certainty,
    ids::{ContextId, RowId},
    state::{ContextState, Goal},
};
use store::{Closed, Opened, Store};

on_both!(two_processes_drive_the_same_contexts);

const DIGS: usize = 4;
const ROWS: [&str; 6] = ["/c1/NS", "a/c1/u", "a/c1/v", "a/c1/w", "a/c2/u", "a/c2/v"];

async fn two_processes_drive_the_same_contexts(bed: &Bed) {
    let other = bed.with(patient()).await;
    let mut contexts = Vec::new();
    for dig in 0..DIGS {
        let rows: Vec<String> = ROWS
            .iter()
            .map(|row| match row.ends_with("NS") {
                true => (*row).to_owned(),
                false => format!("{row}{dig}"),
            })
            .collect();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        contexts.push(instantiate(&bed.store, &format!("d{dig}"), &rows).await.0);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (dig, context) in contexts.iter().enumerate() {
        for process in 0..2 {
            let store = if process == 0 { &bed.store } else { &other }.clone();
            let context = context.clone();
            tasks.spawn(async move {
                for round in 0..12 {
                    if process == 0 && round == 6 {
                        let id = dig_ref(&format!("d{dig}"));
                        store.accept_terminate(&id, &meta()).await.unwrap();
                    }
                    turn(&store, &context, &format!("run {process}")).await;
                }
            });
        }
    }
    tasks.join_all().await;
    for (dig, context) in contexts.iter().enumerate() {
        let id = dig_ref(&format!("d{dig}"));
        let state = bed.store.context(context).await.unwrap().state;
        if state != ContextState::Terminated {
            assert_eq!(drive(&bed.store, context).await, ContextState::Terminated);
        }
        log_is_legal(&bed.store, &id).await;
    }
    assert!(bed.sql("SELECT key FROM claim").await.is_empty());
}

/// What one run does of the work, whoever else is at it.
async fn turn(store: &Store, context: &ContextId, run: &str) {
    let Some(begun) = store.begin(context, run).await.unwrap() else {
        return;
    };
    store.permit(context, begun.fence).await.unwrap();
    let goal = match begun.state {
        ContextState::Instantiating => Goal::Apply,
        _ => Goal::Delete,
    };
    let rows: Vec<RowId> = match goal {
        Goal::Apply => (0..6).collect(),
        Goal::Delete => (1..6).rev().collect(),
    };
    let opened = store
        .open_attempts(context, begun.fence, goal, &rows, 1_000)
        .await
        .unwrap();
    for opened in opened {
        if let Opened::Go { attempt, row, .. } = opened {
            let result = match goal {
                Goal::Apply => Closed::Applied,
                Goal::Delete => Closed::Gone,
            };
            let closes = close(attempt, row.id, Certainty::Definite, result);
            store
                .close_attempts(context, begun.fence, closes)
                .await
                .unwrap();
        }
    }
    if goal == Goal::Delete {
        store.release_shared(context, begun.fence, 0).await.unwrap();
        prove(store, context, begun.fence).await;
    }
    store.settle(context, begun.fence).await.unwrap();
}
