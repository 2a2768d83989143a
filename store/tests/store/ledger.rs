//! The orphan ledger and what the collector asks the store.

use crate::{
    bed::Bed,
    fixture::{
        begin, close, cluster, dig_ref, drive, go, instantiate, instantiate_again, log_is_legal,
        meta, request,
    },
};
use model::{
    failure::Certainty::Definite,
    ids::{ClusterId, ContextId, ResourceKey},
    state::{ContextState, Goal},
};
use store::{
    Closed, LateObject, Life, Opened, OrphanChoice, Store, StoreConfig, StoreError, Tried,
};

on_both!(
    what_was_possibly_sent_goes_to_the_ledger_and_the_rest_ends,
    an_abandoned_cluster_holds_nothing_back_and_its_attempts_still_count_for_the_next_life,
    a_shared_namespace_on_an_abandoned_cluster_stays_with_its_other_dig,
    a_repeated_abandon_has_one_effect_and_an_unknown_cluster_none,
    entries_are_wanted_tried_and_forgotten,
    only_clusters_with_a_reason_are_visited,
    an_object_is_of_a_going_an_ended_or_an_unknown_life,
);

fn all() -> OrphanChoice {
    OrphanChoice::default()
}

async fn names(store: &Store) -> Vec<String> {
    let open = store.orphans(&all(), 0, 100).await.unwrap();
    open.into_iter().map(|o| o.key.to_string()).collect()
}

async fn abandon(store: &Store, name: &str, clusters: &[&str]) -> store::Accepted {
    let clusters: Vec<ClusterId> = clusters.iter().map(|name| cluster(name)).collect();
    store
        .accept_abandon(&dig_ref(name), &clusters, &meta())
        .await
        .unwrap()
}

fn object(context: &str, name: &str) -> LateObject {
    LateObject {
        context: ContextId(context.into()),
        app: "a".into(),
        key: ResourceKey {
            cluster: cluster("c1"),
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "shop".into(),
            name: name.into(),
        },
        version: "v1".into(),
        uid: format!("uid-{name}"),
    }
}

async fn what_was_possibly_sent_goes_to_the_ledger_and_the_rest_ends(bed: &Bed) {
    let store = &bed.store;
    let rows = ["/c1/NS", "a/c1/x", "a/c1/y", "a/c2/x"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    go(store, &context, fence, Goal::Apply, 0).await;
    let x = go(store, &context, fence, Goal::Apply, 1).await;
    abandon(store, "d", &["c1"]).await;
    let head = store.context(&context).await.unwrap();
    assert_eq!(head.state, ContextState::PreTerminate);
    let entries = store.orphans(&all(), 0, 100).await.unwrap();
    let sent: Vec<_> = entries.iter().map(|o| o.row).collect();
    assert_eq!(sent, [Some(0), Some(1)], "y never left");
    // A uid that is seen afterwards is the entry's.
    let mut closes = close(x, 1, Definite, Closed::Applied);
    closes[0].uid = Some("late".into());
    store.close_attempts(&context, fence, closes).await.unwrap();
    let entries = store.orphans(&all(), 0, 100).await.unwrap();
    assert_eq!(entries[1].uid.as_deref(), Some("late"));
    let rows = store.rows(&context, &[0, 1, 2, 3]).await.unwrap();
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.state.to_string(), row.kept.is_some()))
        .collect();
    let deleted = |kept| ("Deleted".to_owned(), kept);
    assert_eq!(shown[..3], [deleted(true), deleted(true), deleted(false)]);
    bed.sql("UPDATE attempt SET send_until = 0").await;
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn an_abandoned_cluster_holds_nothing_back_and_its_attempts_still_count_for_the_next_life(
    bed: &Bed,
) {
    let store = &bed.store;
    let rows = ["a/c1/x", "a/c2/x"];
    let (context, _) = instantiate(store, "d", &rows).await;
    let fence = begin(store, &context).await;
    go(store, &context, fence, Goal::Apply, 0).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    bed.sql("UPDATE attempt SET send_until = 0").await;
    let fence = begin(store, &context).await;
    store.permit(&context, fence).await.unwrap();
    let scope = store.proof_scope(&context, fence, 0, 10).await.unwrap();
    assert!(scope.wait_ms > 0 && scope.clusters.len() == 1);
    assert!(abandon(store, "d", &["c1"]).await.changed);
    let fence = begin(store, &context).await;
    let scope = store.proof_scope(&context, fence, 0, 10).await.unwrap();
    assert_eq!((scope.wait_ms, scope.clusters.len()), (0, 0));
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    let (next, _) = instantiate_again(store, "d", &rows).await;
    let fence = begin(store, &next).await;
    let opened = store
        .open_attempts(&next, fence, Goal::Apply, &[0], 1_000)
        .await
        .unwrap();
    assert!(matches!(opened[..], [Opened::Busy { .. }]), "{opened:?}");
}

async fn a_shared_namespace_on_an_abandoned_cluster_stays_with_its_other_dig(bed: &Bed) {
    let store = &bed.store;
    let (one, _) = instantiate(store, "one", &["/c1/NS", "a/c1/x"]).await;
    drive(store, &one).await;
    let (two, _) = instantiate(store, "two", &["/c1/NS", "a/c1/y"]).await;
    drive(store, &two).await;
    abandon(store, "one", &["c1"]).await;
    assert_eq!(drive(store, &one).await, ContextState::Terminated);
    let shared = &store.rows(&one, &[0]).await.unwrap()[0];
    assert_eq!(shared.kept.as_deref(), Some("still used by shop/two"));
    assert_eq!(names(store).await.len(), 1, "x alone");
    abandon(store, "two", &["c1"]).await;
    assert_eq!(drive(store, &two).await, ContextState::Terminated);
    assert_eq!(names(store).await.len(), 3, "the namespace with the last");
    assert!(bed.sql("SELECT key FROM claim").await.is_empty());
}

async fn a_repeated_abandon_has_one_effect_and_an_unknown_cluster_none(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c2/x"]).await;
    drive(store, &context).await;
    let nowhere = [cluster("c3")];
    let refused = store.accept_abandon(&dig_ref("d"), &nowhere, &meta()).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Refused {
                reason: "NOT_ON_CLUSTER",
                ..
            })
        ),
        "{refused:?}"
    );
    let state = store.context(&context).await.unwrap().state;
    assert_eq!(state, ContextState::Instantiated, "nothing happened");
    let asked = request("r", "abandon c1");
    let clusters = [cluster("c1")];
    let first = store.accept_abandon(&dig_ref("d"), &clusters, &asked).await;
    let again = store.accept_abandon(&dig_ref("d"), &clusters, &asked).await;
    assert_eq!(first.unwrap(), again.unwrap());
    let fence = store.context(&context).await.unwrap().fence;
    assert!(!abandon(store, "d", &["c1"]).await.changed);
    assert_eq!(store.context(&context).await.unwrap().fence, fence);
    assert_eq!(names(store).await.len(), 1);
    // Two at once: each takes its cluster, or finds it taken.
    let (one, two) = tokio::join!(
        abandon(store, "d", &["c1", "c2"]),
        abandon(store, "d", &["c2"])
    );
    assert!(one.changed != two.changed, "{one:?} {two:?}");
    assert_eq!(names(store).await.len(), 2);
    assert_eq!(drive(store, &context).await, ContextState::Terminated);
    log_is_legal(store, &dig_ref("d")).await;
}

async fn entries_are_wanted_tried_and_forgotten(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/w", "a/c1/x", "a/c1/y"];
    let (context, _) = instantiate(store, "d", &rows).await;
    drive(store, &context).await;
    abandon(store, "d", &["c1"]).await;
    drive(store, &context).await;
    let refused = store.delete_cluster(&cluster("c1"), &meta()).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
    let on = OrphanChoice {
        cluster: Some(cluster("c1")),
        ids: vec![],
    };
    let asked = request("collect", "c1");
    let wanted = store.want_orphans(&on, &asked).await.unwrap();
    assert_eq!(wanted.len(), 3);
    let scope = store.collect_scope(&cluster("c1"), 2).await.unwrap();
    assert_eq!(scope.wanted.len(), 2);
    for (orphan, tried) in wanted.iter().zip([
        Tried::Over("deleted".into()),
        Tried::Waits("the cluster is silent".into()),
        Tried::Still("forbidden".into()),
    ]) {
        for _ in 0..2 {
            store.orphan_tried(orphan, &tried).await.unwrap();
        }
    }
    let ids: Vec<i64> = wanted.iter().map(|o| o.id).collect();
    let after = store.orphans_by_id(&ids).await.unwrap();
    let shown: Vec<_> = after
        .iter()
        .map(|o| (o.ended_ms.is_some(), o.wanted_ms.is_some()))
        .collect();
    assert_eq!(shown, [(true, true), (false, true), (false, false)]);
    let scope = store.collect_scope(&cluster("c1"), 9).await.unwrap();
    assert_eq!(scope.wanted.len(), 1);
    // The same request speaks of the same entries, ended ones too.
    assert_eq!(store.want_orphans(&on, &asked).await.unwrap().len(), 3);

    let some = OrphanChoice {
        cluster: None,
        ids: ids[1..].to_vec(),
    };
    let gone = OrphanChoice {
        cluster: None,
        ids: ids.clone(),
    };
    let refused = store.forget_orphans(&gone, "why", &meta()).await;
    assert!(matches!(refused, Err(StoreError::NotFound { .. })));
    store.forget_orphans(&some, "why", &meta()).await.unwrap();
    assert!(names(store).await.is_empty());
    let found = [object(&context.0, "w"), object(&context.0, "x")];
    let left = store.in_ledger(&found).await.unwrap();
    assert_eq!(left, [(context.clone(), found[1].key.to_string())]);
    let events = store.events(&dig_ref("d"), 0, 1_000).await.unwrap();
    let count = |event: &str| events.iter().filter(|e| e.event == event).count();
    assert_eq!((count("OrphanCollected"), count("OrphanForgotten")), (1, 2));
    store.delete_cluster(&cluster("c1"), &meta()).await.unwrap();
}

async fn only_clusters_with_a_reason_are_visited(bed: &Bed) {
    let hasty = StoreConfig {
        collect_every_ms: 3_600_000,
        ..StoreConfig::default()
    };
    let store = &bed.with(hasty.clone()).await;
    let due = || async { store.collect_due(10).await.unwrap() };
    let (context, _) = instantiate(store, "d", &["a/c1/x", "a/c2/x"]).await;
    drive(store, &context).await;
    assert!(due().await.is_empty());
    abandon(store, "d", &["c2"]).await;
    drive(store, &context).await;
    // Both hold a tombstone: what arrives late on c2 may be of a row that was not there.
    assert_eq!(due().await, [cluster("c1"), cluster("c2")]);
    for name in ["c1", "c2"] {
        store.collect_started(&cluster(name)).await.unwrap();
    }
    assert!(due().await.is_empty(), "not before the interval is over");
    store.want_orphans(&all(), &meta()).await.unwrap();
    assert_eq!(due().await, [cluster("c2")], "somebody asked");
    store.collect_started(&cluster("c2")).await.unwrap();
    bed.sql("UPDATE collector SET visited_ms = visited_ms - 6000")
        .await;
    bed.sql("UPDATE orphan SET wanted_ms = wanted_ms - 6500")
        .await;
    assert_eq!(due().await, [cluster("c2")], "what it deleted may be gone");
    bed.sql("UPDATE orphan SET wanted_ms = wanted_ms - 6000")
        .await;
    assert!(due().await.is_empty(), "ever less often");
    bed.sql("UPDATE collector SET visited_ms = visited_ms - 1000")
        .await;
    bed.sql("UPDATE orphan SET wanted_ms = NULL").await;
    assert!(due().await.is_empty());
    store.probed(&cluster("c1"), Ok(None)).await.unwrap();
    assert_eq!(due().await, [cluster("c1")], "it connected");
    let forgetful = StoreConfig {
        tombstone_ms: -1_000,
        ..hasty
    };
    let other = bed.with(forgetful).await;
    assert!(other.collect_due(10).await.unwrap().is_empty());
    assert!(bed.sql("SELECT kind FROM tombstone").await.is_empty());
}

async fn an_object_is_of_a_going_an_ended_or_an_unknown_life(bed: &Bed) {
    let store = &bed.store;
    let (ended, _) = instantiate(store, "d", &["a/c1/x"]).await;
    drive(store, &ended).await;
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    drive(store, &ended).await;
    let (going, _) = instantiate_again(store, "d", &["a/c1/x"]).await;
    let unknown = ContextId("nobody".into());
    let asked = [ended.clone(), going.clone(), unknown.clone()];
    let lives = store.lives(&asked).await.unwrap();
    assert_eq!(lives[&ended], Life::Terminated);
    assert_eq!(lives[&going], Life::Going);
    assert_eq!(lives[&unknown], Life::Unknown);
    let scope = store.collect_scope(&cluster("c1"), 9).await.unwrap();
    assert_eq!(
        scope.kinds,
        [(String::new(), "v1".into(), "ConfigMap".into())]
    );
    let late = [object(&ended.0, "x"), object(&unknown.0, "y")];
    store.late_objects(&late).await.unwrap();
    let events = store.events(&dig_ref("d"), 0, 1_000).await.unwrap();
    let said: Vec<_> = events.iter().filter(|e| e.event == "LateObject").collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].message.as_deref().unwrap().contains("uid-x"));
    assert_eq!(store.report_unknown(&late[1..]).await.unwrap(), 1);
    assert_eq!(store.report_unknown(&late[1..]).await.unwrap(), 0);
    let open = store.orphans(&all(), 0, 9).await.unwrap();
    assert_eq!(open[0].reason, "unknown life");
    assert_eq!(
        store.holder_of(&late[0].key).await.unwrap().as_deref(),
        Some("shop/d")
    );
}
