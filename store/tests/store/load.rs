//! Large contexts and grouped writes; prints figures, asserts none.
#![allow(clippy::print_stderr)] // figures for people

use crate::{
    bed::Bed,
    fixture::{begin, cluster, dig_ref, documents, fresh, meta, rendered},
};
use model::{
    failure::Certainty::Definite,
    ids::{ResourceKey, RowId},
    plan::{Class, Plan, PlanApp, PlanRow},
    state::{ContextState, Goal},
};
use std::time::Instant;
use store::{Close, Closed, Opened, SettleRow};

on_both!(a_large_context_is_accepted_driven_and_read);

/// `MUSTER_STORE_ROWS=50000` measures the size that the product promises.
fn rows() -> usize {
    let asked = std::env::var("MUSTER_STORE_ROWS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

async fn a_large_context_is_accepted_driven_and_read(bed: &Bed) {
    let store = &bed.store;
    let n = rows();
    let plan = Plan {
        apps: vec![PlanApp {
            name: "a".into(),
            depends_on: vec![],
            clusters: vec![cluster("c1"), cluster("c2")],
        }],
        rows: (0..n).map(|i| row(i, n)).collect(),
        manifests: vec![],
    };
    store
        .apply_documents(documents(&["d"]), false, &meta())
        .await
        .unwrap();
    store.approve(&dig_ref("d"), &meta()).await.unwrap();
    let context = fresh();
    let mut at = Instant::now();
    let mut lap = |what: &str| {
        let took = at.elapsed();
        let rate = n as f64 / took.as_secs_f64();
        eprintln!(
            "{n} rows: {what} {:.0} ms ({rate:.0}/s)",
            took.as_secs_f64() * 1e3
        );
        at = Instant::now();
    };
    store
        .stage_plan(&dig_ref("d"), &context, &plan)
        .await
        .unwrap();
    lap("staged");
    store
        .accept_instantiate(&dig_ref("d"), &context, &rendered(), &meta())
        .await
        .unwrap();
    lap("accepted");
    let fence = begin(store, &context).await;
    lap("begun");
    // As many callers as workflows of a busy worker, a few rows each.
    let ids: Vec<RowId> = (0..n as RowId).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for part in ids.chunks(n.div_ceil(64)) {
        let (store, context, part) = (store.clone(), context.clone(), part.to_vec());
        tasks.spawn(async move {
            for rows in part.chunks(8) {
                let opened = store
                    .open_attempts(&context, fence, Goal::Apply, rows, 1_000)
                    .await
                    .unwrap();
                let closes = opened.into_iter().map(|opened| match opened {
                    Opened::Go { attempt, row, .. } => Close {
                        attempt,
                        row: row.id,
                        certainty: Definite,
                        result: Closed::Applied,
                        uid: Some(format!("uid-{attempt}")),
                    },
                    other => panic!("{other:?}"),
                });
                store
                    .close_attempts(&context, fence, closes.collect())
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
    lap("opened and closed");
    let settled = store.settle(&context, fence).await.unwrap();
    assert_eq!(settled, SettleRow::Settled(ContextState::Instantiated));
    lap("settled");
    let summary = store.summary(&dig_ref("d")).await.unwrap();
    assert_eq!(summary.counts["Applied"], n as i64);
    lap("summary");
    assert!(store.problems(&context).await.unwrap().is_empty());
    lap("problems");
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    lap("terminate accepted");
}

fn row(i: usize, n: usize) -> PlanRow {
    PlanRow {
        id: i as RowId,
        app: "a".into(),
        key: ResourceKey {
            cluster: cluster(if i < n / 2 { "c1" } else { "c2" }),
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "shop".into(),
            name: format!("object-{i}"),
        },
        version: "v1".into(),
        wave: 1,
        class: Class::Own,
        digest: format!("{i:064x}"),
        implicit: false,
        keep: false,
    }
}
