//! Readiness: what watchers may write, what status shows of it, what a settle makes of it.

use crate::{
    bed::Bed,
    fixture::{begin, cluster, dig, dig_ref, documents, drive, fresh, meta, plan, rendered, send},
};
use model::{
    document::WaitFor,
    failure::Certainty::Definite,
    ids::{ContextId, RowId},
    plan::Plan,
    readiness::{self, Readiness as R, Recorded, Sight},
    state::{ContextState, Goal, ResourceState},
};
use store::{Beat, Closed, ReadyRow, RowFilter, Seen, SettleRow, Store};

on_both!(
    a_status_shows_what_the_model_makes_of_state_and_record,
    only_the_present_watcher_writes_and_only_where_something_is_watched,
    kinds_without_a_status_are_recorded_only_while_something_is_wrong,
    an_instantiation_that_asks_for_readiness_settles_with_it_or_fails_in_time,
    clusters_are_to_be_watched_while_a_life_is_and_by_one,
);

/// As the fixture's plan; names that begin with `d` are Deployments.
fn planned(rows: &[&str]) -> Plan {
    let mut plan = plan(rows);
    for row in &mut plan.rows {
        if row.key.name.starts_with('d') {
            row.key.group = "apps".into();
            row.key.kind = "Deployment".into();
        }
    }
    plan
}

async fn instantiate(
    store: &Store,
    rows: &[&str],
    wait_for: WaitFor,
    ready_timeout_ms: u64,
) -> ContextId {
    let mut set = documents(&[]);
    let mut doc = dig("d");
    doc.policy.wait_for = wait_for;
    doc.policy.ready_timeout_ms = ready_timeout_ms;
    set.digs.push(doc);
    store.apply_documents(set, false, &meta()).await.unwrap();
    store.approve(&dig_ref("d"), &meta()).await.unwrap();
    let context = fresh();
    store
        .stage_plan(&dig_ref("d"), &context, &planned(rows))
        .await
        .unwrap();
    store
        .accept_instantiate(&dig_ref("d"), &context, &rendered(), &meta())
        .await
        .unwrap();
    context
}

fn sight(readiness: R) -> Sight {
    match readiness {
        R::Ready => Sight::ready(),
        R::NotPresent => Sight::absent(),
        R::NotReady => readiness::of(&serde_json::json!({"kind": "Job", "apiVersion": "batch/v1"})),
    }
}

struct Watcher<'a> {
    store: &'a Store,
    context: &'a ContextId,
    epoch: i64,
}

impl<'a> Watcher<'a> {
    async fn take(store: &'a Store, context: &'a ContextId) -> Self {
        let epoch = store.take_watch(&cluster("c1")).await.unwrap();
        Self {
            store,
            context,
            epoch,
        }
    }

    /// What a row of c1 is seen as; how many watchers have lost their place.
    async fn sees(&self, row: RowId, by_presence: bool, sight: Sight) -> usize {
        let seen = Seen {
            cluster: cluster("c1"),
            epoch: self.epoch,
            context: self.context.clone(),
            row,
            by_presence,
            sight,
        };
        let beat = Beat {
            cluster: cluster("c1"),
            epoch: self.epoch,
            synced_ago_ms: Some(0),
        };
        let lost = self.store.record_readiness(&[seen], &[beat]).await.unwrap();
        lost.len()
    }
}

async fn shown(store: &Store, context: &ContextId) -> Vec<R> {
    let rows = store
        .shown_rows(context, &RowFilter::default(), None, 100)
        .await
        .unwrap();
    rows.into_iter().map(|row| row.readiness).collect()
}

async fn apply(store: &Store, context: &ContextId, rows: &[RowId]) {
    let fence = begin(store, context).await;
    for row in rows {
        send(
            store,
            context,
            fence,
            Goal::Apply,
            *row,
            Definite,
            Closed::Applied,
        )
        .await;
    }
}

async fn a_status_shows_what_the_model_makes_of_state_and_record(bed: &Bed) {
    let store = &bed.store;
    let context = instantiate(store, &["a/c1/d0"], WaitFor::Applied, 1).await;
    let records = [
        None,
        Some(Recorded::Unseen),
        Some(Recorded::Seen(R::Ready)),
        Some(Recorded::Seen(R::NotReady)),
        Some(Recorded::Seen(R::NotPresent)),
    ];
    for state in ResourceState::ALL {
        let (name, goal) = (state.name(), state.goal());
        bed.sql(&format!(
            "UPDATE resource SET state = '{name}', goal = '{goal}'"
        ))
        .await;
        for record in records {
            bed.sql("DELETE FROM readiness").await;
            if let Some(record) = record {
                let status = record.as_str();
                bed.sql(&format!(
                    "INSERT INTO readiness (context, id, cluster, status, stuck, since_ms) \
                     VALUES ('{context}', 0, 'default+c1', '{status}', 0, 1)"
                ))
                .await;
            }
            let expected = readiness::shown(*state, record);
            for asked in R::ALL {
                let filter = RowFilter {
                    readiness: Some(*asked),
                    ..RowFilter::default()
                };
                let rows = store.shown_rows(&context, &filter, None, 10).await.unwrap();
                let found = rows.first().map(|row| row.readiness);
                let wanted = (*asked == expected).then_some(expected);
                assert_eq!(found, wanted, "{state} {record:?} asked for {asked}");
            }
            bed.sql(&format!("UPDATE context SET goal = '{goal}'"))
                .await;
            let summary = store.summary(&dig_ref("d")).await.unwrap();
            assert_eq!(
                summary.by_bundle[0].ready.iter().find(|(_, n)| **n > 0),
                Some((&expected, &1)),
                "{state} {record:?}"
            );
        }
    }
}

async fn only_the_present_watcher_writes_and_only_where_something_is_watched(bed: &Bed) {
    let store = &bed.store;
    let context = instantiate(store, &["a/c1/d0"], WaitFor::Applied, 1).await;
    apply(store, &context, &[0]).await;
    assert_eq!(
        shown(store, &context).await,
        [R::NotReady],
        "unseen is not ready"
    );
    let old = Watcher::take(store, &context).await;
    assert_eq!(old.sees(0, false, sight(R::Ready)).await, 0);
    assert_eq!(shown(store, &context).await, [R::Ready]);
    let new = Watcher::take(store, &context).await;
    assert_eq!(
        old.sees(0, false, sight(R::NotPresent)).await,
        1,
        "it learns that it is replaced"
    );
    assert_eq!(shown(store, &context).await, [R::Ready]);
    assert_eq!(new.sees(0, false, sight(R::NotReady)).await, 0);
    assert_eq!(shown(store, &context).await, [R::NotReady]);
    let summary = store.summary(&dig_ref("d")).await.unwrap();
    assert!(summary.ready_as_of_ms.is_some());
    // The life ends, the watcher does not know yet.
    drive(store, &context).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    new.sees(0, false, sight(R::Ready)).await;
    assert!(bed.sql("SELECT * FROM readiness").await.is_empty());
}

async fn kinds_without_a_status_are_recorded_only_while_something_is_wrong(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/one", "a/c1/two"];
    let context = instantiate(store, &rows, WaitFor::Applied, 1).await;
    apply(store, &context, &[0]).await;
    let watcher = Watcher::take(store, &context).await;
    assert_eq!(shown(store, &context).await, [R::Ready, R::NotPresent]);
    assert!(bed.sql("SELECT * FROM readiness").await.is_empty());
    watcher.sees(0, true, sight(R::NotPresent)).await;
    // Not applied yet: its absence is no news.
    watcher.sees(1, true, sight(R::NotPresent)).await;
    assert_eq!(shown(store, &context).await, [R::NotPresent; 2]);
    assert_eq!(bed.sql("SELECT * FROM readiness").await.len(), 1);
    watcher.sees(0, true, sight(R::Ready)).await;
    assert!(bed.sql("SELECT * FROM readiness").await.is_empty());
}

async fn an_instantiation_that_asks_for_readiness_settles_with_it_or_fails_in_time(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/d0", "a/c1/one", "b/c1/d1"];
    let context = instantiate(store, &rows, WaitFor::Ready, 3_600_000).await;
    let fence = begin(store, &context).await;
    let readiness = async |app: Option<&str>| store.readiness(&context, fence, app).await.unwrap();
    assert!(
        matches!(readiness(None).await, ReadyRow::Expired(_)),
        "not for readiness to wait for"
    );
    assert!(matches!(readiness(Some("a")).await, ReadyRow::NotYet(_)));
    apply(store, &context, &[0, 1, 2]).await;
    let watcher = Watcher::take(store, &context).await;
    watcher.sees(0, false, sight(R::Ready)).await;
    assert_eq!(readiness(Some("a")).await, ReadyRow::Ready);
    let ReadyRow::NotYet(lacking) = readiness(None).await else {
        panic!("b is not ready")
    };
    assert_eq!(
        lacking.waits_for(),
        "readiness: 1 of 3 resources are not ready (Deployment/shop/d1 on default+c1: has not been looked at yet)"
    );
    let summary = store.summary(&dig_ref("d")).await.unwrap();
    assert_eq!(
        summary.dig.context.unwrap().blocked_by,
        Some(lacking.waits_for())
    );
    assert_eq!(
        store.settle(&context, fence).await.unwrap(),
        SettleRow::Unfinished
    );
    let problems = store.problems(&context).await.unwrap();
    assert_eq!(problems[0].failure.code, "notReady");
    // The patience of the policy is at an end.
    bed.sql("UPDATE resource SET since_ms = since_ms - 3600000")
        .await;
    bed.sql("UPDATE context SET changed_ms = changed_ms - 3600000")
        .await;
    assert!(matches!(readiness(None).await, ReadyRow::Expired(_)));
    assert!(
        matches!(readiness(Some("b")).await, ReadyRow::NotYet(_)),
        "an app is waited for without an end"
    );
    // Ready at the last moment.
    let failed = SettleRow::Settled(ContextState::InstantiateFailed);
    let settled = SettleRow::Settled(ContextState::Instantiated);
    let stuck = Sight {
        stuck: true,
        ..sight(R::NotReady)
    };
    watcher.sees(2, false, sight(R::Ready)).await;
    assert_eq!(readiness(None).await, ReadyRow::Ready);
    watcher.sees(2, false, stuck).await;
    assert_eq!(store.settle(&context, fence).await.unwrap(), failed);
    assert_ne!(failed, settled);
    assert_eq!(
        readiness(None).await,
        ReadyRow::Superseded,
        "the fence moved"
    );
}

async fn clusters_are_to_be_watched_while_a_life_is_and_by_one(bed: &Bed) {
    let store = &bed.store;
    let unwatched = async || -> Vec<String> {
        let found = store.unwatched(10_000, 100).await.unwrap();
        found.iter().map(ToString::to_string).collect()
    };
    assert!(unwatched().await.is_empty());
    let rows = ["a/c1/d0", "a/c1/one", "a/c2/two"];
    let context = instantiate(store, &rows, WaitFor::Applied, 1).await;
    // c2 has nothing whose readiness is not its presence: it is left alone while it is driven.
    assert_eq!(unwatched().await, ["default+c1"]);
    let epoch = store.take_watch(&cluster("c1")).await.unwrap();
    assert!(unwatched().await.is_empty());
    store.leave_watch(&cluster("c1"), epoch).await.unwrap();
    assert_eq!(unwatched().await, ["default+c1"]);
    let all = async || -> Vec<bool> {
        let found = store
            .watched(&[cluster("c1"), cluster("c2")])
            .await
            .unwrap();
        found
            .into_values()
            .flatten()
            .map(|watched| watched.all)
            .collect()
    };
    assert_eq!(all().await, [false]);
    drive(store, &context).await;
    assert_eq!(unwatched().await, ["default+c1", "default+c2"]);
    assert_eq!(all().await, [true, true]);
    let kinds: Vec<_> = store.watch_rows(&context, &cluster("c1")).await.unwrap();
    assert_eq!(
        kinds
            .iter()
            .map(|row| row.kind.as_str())
            .collect::<Vec<_>>(),
        ["Deployment", "ConfigMap"]
    );
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    assert!(unwatched().await.is_empty());
}
