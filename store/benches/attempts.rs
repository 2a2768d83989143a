//! Attempts opened and closed per second, without any cluster: what the store alone costs.
//!
//! `cargo bench -p muster-store --bench attempts [-- ROWS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use model::{
    document::{AppRef, Cluster, CompositeApp, Dig, Policy},
    failure::Certainty,
    ids::{ContextId, DigRef, Fence, ResourceKey, RowId},
    plan::{Class, Plan, PlanApp, PlanManifest, PlanRow},
    state::{ContextState, Goal},
};
use std::time::Instant;
use store::{
    Close, Closed, DocumentSet, Generations, Opened, PermitRow, RequestMeta, SealKey, SettleRow,
    Store,
};

/// Rows of one call and calls at once, as a workflow drives a large wave.
const CHUNK: usize = 32;
const CALLS: usize = 4;

fn plan(rows: usize) -> Plan {
    let cluster: model::ids::ClusterId = "sandbox+c1".parse().unwrap();
    Plan {
        apps: vec![PlanApp {
            name: "a".into(),
            depends_on: vec![],
            clusters: vec![cluster.clone()],
        }],
        rows: (0..rows)
            .map(|i| PlanRow {
                id: i as RowId,
                app: "a".into(),
                key: ResourceKey {
                    cluster: cluster.clone(),
                    group: String::new(),
                    kind: "ConfigMap".into(),
                    namespace: "shop".into(),
                    name: format!("m{i}"),
                },
                version: "v1".into(),
                wave: 1,
                class: Class::Own,
                digest: format!("digest-{i}"),
                implicit: false,
                keep: false,
            })
            .collect(),
        manifests: (0..rows)
            .map(|i| PlanManifest {
                digest: format!("digest-{i}"),
                secret: false,
                json: format!("{{\"name\":\"m{i}\"}}"),
            })
            .collect(),
    }
}

async fn drive(store: &Store, context: &ContextId, fence: Fence, goal: Goal, rows: usize) {
    let ids: Vec<RowId> = (0..rows as RowId).collect();
    let mut calls = tokio::task::JoinSet::new();
    for chunk in ids.chunks(CHUNK) {
        if calls.len() == CALLS {
            calls.join_next().await.unwrap().unwrap();
        }
        let (store, context, chunk) = (store.clone(), context.clone(), chunk.to_vec());
        calls.spawn(async move {
            let opened = store
                .open_attempts(&context, fence, goal, &chunk, 1_000)
                .await
                .unwrap();
            let closes = opened
                .into_iter()
                .map(|opened| match opened {
                    Opened::Go { attempt, row, .. } => Close {
                        attempt,
                        row: row.id,
                        certainty: Certainty::Definite,
                        result: match goal {
                            Goal::Apply => Closed::Applied,
                            Goal::Delete => Closed::Gone,
                        },
                        uid: Some(format!("0b2a6a4c-7e2f-4d5e-9a51-{:012}", row.id)),
                    },
                    other => panic!("{other:?}"),
                })
                .collect();
            store.close_attempts(&context, fence, closes).await.unwrap();
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let (rows, rounds) = match numbers[..] {
        [rows, rounds] => (rows, rounds),
        _ => (10_000, 3),
    };
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", dir.path().join("muster.db").display());
    let store = Store::open(&url, SealKey([7; 32])).await.unwrap();
    let meta = RequestMeta {
        actor: "bench".into(),
        ..RequestMeta::default()
    };
    let app = AppRef {
        project: "p".into(),
        name: "a".into(),
        version: "v1".into(),
    };
    let dig = DigRef {
        project: "p".into(),
        name: "d".into(),
    };
    let documents = DocumentSet {
        clusters: vec![(
            Cluster {
                id: "sandbox+c1".parse().unwrap(),
                labels: Default::default(),
                context: None,
                kubeconfig: "./c1.yaml".into(),
            },
            "kubeconfig".into(),
        )],
        apps: vec![CompositeApp {
            id: app.clone(),
            apps: vec![],
        }],
        digs: vec![Dig {
            id: dig.clone(),
            app,
            namespace: "shop".into(),
            placement: vec![],
            policy: Policy::default(),
        }],
    };
    store
        .apply_documents(documents, false, &meta)
        .await
        .unwrap();
    store.approve(&dig, &meta).await.unwrap();
    let generations = Generations {
        dig: 1,
        app: 1,
        clusters: [("sandbox+c1".parse().unwrap(), 1)].into(),
    };
    println!("| rows | | seconds | opened and closed per second |\n|---|---|---|---|");
    for round in 0..rounds {
        let context = ContextId::new(round as u64, rand::random());
        store.stage_plan(&dig, &context, &plan(rows)).await.unwrap();
        store
            .accept_instantiate(&dig, &context, &generations, &meta)
            .await
            .unwrap();
        for (goal, settled) in [
            (Goal::Apply, ContextState::Instantiated),
            (Goal::Delete, ContextState::Terminated),
        ] {
            if goal == Goal::Delete {
                store.accept_terminate(&dig, &meta).await.unwrap();
            }
            let mut begun = store.begin(&context, "run").await.unwrap().unwrap();
            if begun.state == ContextState::PreTerminate {
                let permit = store.permit(&context, begun.fence).await.unwrap();
                assert_eq!(permit, PermitRow::Granted);
                begun = store.begin(&context, "run").await.unwrap().unwrap();
            }
            let since = Instant::now();
            drive(&store, &context, begun.fence, goal, rows).await;
            let seconds = since.elapsed().as_secs_f64();
            println!(
                "| {rows} | {goal} | {seconds:.2} | {:.0} |",
                rows as f64 / seconds
            );
            if goal == Goal::Delete {
                let proof = store.record_proof(&context, begun.fence, 0, 1);
                proof.await.unwrap();
            }
            let end = store.settle(&context, begun.fence).await.unwrap();
            assert_eq!(end, SettleRow::Settled(settled));
        }
    }
}
