//! Abandoned clusters, the orphan ledger, and the collector.

use super::bed::{Bed, cluster, until};
use model::{
    document::Policy,
    ids::ContextId,
    state::{Goal, ResourceState},
};
use sandbox::host::{FaultKind, Verb};
use serde_json::json;
use std::time::Duration;
use store::{OrphanChoice, StoreError, Tried};
use workflows::contract::{CollectInput, Collected};

/// In a namespace that outlives the context.
const MINE: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: mine, namespace: default}\n---\n";
const IN_SHOP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n---\n";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SHOP: &str = "/api/v1/namespaces/shop";

async fn collect(bed: &Bed, name: &str) -> Collected {
    let input = CollectInput {
        cluster: cluster(name),
    };
    let within = Duration::from_secs(10);
    bed.activities.run_collect(input, within).await.unwrap()
}

async fn there(bed: &Bed, name: &str, object: &str) -> bool {
    bed.object(name, &format!("{MAPS}/{object}"))
        .await
        .is_some()
}

/// An object that says whose life it is of.
async fn labelled(bed: &Bed, object: &str, installation: &str, context: &str) {
    let labels = json!({"muster.dev/context": context, "muster.dev/installation": installation});
    let object = json!({"metadata": {"name": object, "labels": labels}});
    bed.create("c1", MAPS, object).await;
}

async fn orphans(bed: &Bed) -> Vec<(String, String)> {
    let all = OrphanChoice::default();
    let found = bed.store.orphans(&all, 0, 100).await.unwrap();
    found.into_iter().map(|o| (o.key.name, o.reason)).collect()
}

async fn events(bed: &Bed, event: &str) -> usize {
    let events = bed.store.events(bed.dig(), 0, 10_000).await.unwrap();
    events.iter().filter(|e| e.event == event).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_arrives_after_terminated_is_collected() {
    let bed = Bed::new(1, &[("conf", MINE)], Policy::default()).await;
    bed.instantiate().await;
    bed.begin("run-1").await;
    // Later than the 4 s for which a lost request is waited for here.
    let late = FaultKind::Late { ms: 8_000 };
    bed.fault("c1", late, Some(Verb::Apply), Some("mine"), Some(1));
    let row = bed.row("mine").await.id;
    let step = bed.step("c1", &[row]).await;
    bed.activities.run_apply(step).await.unwrap();
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert!(!there(&bed, "c1", "mine").await, "it came too early");
    let due = bed.store.collect_due(10).await.unwrap();
    assert_eq!(due, [cluster("c1")]);
    until("it arrives", async || there(&bed, "c1", "mine").await).await;
    let collected = collect(&bed, "c1").await;
    assert_eq!((collected.late, collected.reported), (1, 0));
    assert!(!there(&bed, "c1", "mine").await);
    assert_eq!(events(&bed, "LateObject").await, 1);
    assert_eq!(collect(&bed, "c1").await.late, 0);
    assert_eq!(bed.state().await, "Terminated");
    // Visited: not due again before the interval is over.
    bed.store.collect_started(&cluster("c1")).await.unwrap();
    assert!(bed.store.collect_due(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_collector_tells_dead_lives_from_going_unknown_and_foreign_ones() {
    let mut bed = Bed::new(1, &[("conf", MINE)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    // A cluster where nothing ended is never visited.
    assert!(bed.store.collect_due(10).await.unwrap().is_empty());
    bed.terminate().await;
    assert_eq!(bed.drive("run-2").await, "Terminated");
    let dead = bed.context.0.clone();
    bed.context = ContextId::new(1_700_000_000_000, 8);
    bed.instantiate().await;
    assert_eq!(bed.drive("run-3").await, "Instantiated");

    let ours = bed.store.installation().await.unwrap();
    labelled(&bed, "dead", &ours, &dead).await;
    labelled(&bed, "unknown", &ours, "01jzzzzzzzzzzzzzzzzzzzzzzz").await;
    labelled(&bed, "foreign", "another-installation", &dead).await;
    let collected = collect(&bed, "c1").await;
    assert_eq!((collected.late, collected.reported), (1, 1));
    for (object, stays) in [
        ("dead", false),
        ("mine", true),
        ("unknown", true),
        ("foreign", true),
    ] {
        assert_eq!(there(&bed, "c1", object).await, stays, "{object}");
    }
    let reported = [("unknown".to_owned(), "unknown life".to_owned())];
    assert_eq!(orphans(&bed).await, reported);
    assert_eq!(collect(&bed, "c1").await.reported, 0, "once is enough");
    // Only when somebody says so.
    let all = OrphanChoice::default();
    bed.store.want_orphans(&all, &Bed::meta()).await.unwrap();
    assert_eq!(collect(&bed, "c1").await.over, 1);
    assert!(!there(&bed, "c1", "unknown").await);
    assert!(orphans(&bed).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abandoned_cluster_leaves_a_ledger_that_is_collected_or_forgotten() {
    let yaml = format!("{MINE}{IN_SHOP}");
    let bed = Bed::new(2, &[("conf", &yaml)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.fault("c2", FaultKind::BlackHole, None, None, None);
    bed.abandon(&["c2"]).await.unwrap();
    assert_eq!(bed.drive("run-2").await, "Terminated");
    for row in bed.rows().await {
        assert_eq!(row.state, ResourceState::Deleted);
        let kept = row.kept.clone().unwrap_or_default();
        let abandoned = kept.starts_with("abandoned");
        assert_eq!(abandoned, row.key.cluster == cluster("c2"), "{row:?}");
    }
    let mut names: Vec<_> = orphans(&bed).await.into_iter().map(|o| o.0).collect();
    names.sort();
    assert_eq!(names, ["mine", "other", "shop"]);
    assert!(!there(&bed, "c1", "mine").await);
    let refused = bed.store.delete_cluster(&cluster("c2"), &Bed::meta()).await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Refused {
                reason: "HAS_ORPHANS",
                ..
            })
        ),
        "{refused:?}"
    );

    // Wanted, but the cluster is still silent: it waits.
    let all = OrphanChoice::default();
    bed.store.want_orphans(&all, &Bed::meta()).await.unwrap();
    assert_eq!(collect(&bed, "c2").await.over, 0);
    let waits = bed.store.orphans(&all, 0, 10).await.unwrap();
    assert!(
        waits
            .iter()
            .all(|o| o.wanted_ms.is_some() && o.outcome.is_some())
    );
    bed.host.heal("c2").await.unwrap();
    // One of them is left to whoever looks after it now.
    let mine = waits.iter().find(|o| o.key.name == "mine").unwrap().id;
    let chosen = OrphanChoice {
        cluster: None,
        ids: vec![mine],
    };
    let forgotten = bed
        .store
        .forget_orphans(&chosen, "kept by hand", &Bed::meta())
        .await;
    assert_eq!(forgotten.unwrap().len(), 1);
    let mut over = 0;
    until("both entries are over", async || {
        over += collect(&bed, "c2").await.over;
        over >= 2
    })
    .await;
    assert!(bed.object("c2", SHOP).await.is_none());
    assert!(
        there(&bed, "c2", "mine").await,
        "it was forgotten, not deleted"
    );
    assert!(orphans(&bed).await.is_empty());
    assert_eq!(events(&bed, "OrphanCollected").await, 2);
    assert_eq!(events(&bed, "OrphanForgotten").await, 1);
    bed.store
        .delete_cluster(&cluster("c2"), &Bed::meta())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_somebody_elses_by_now_is_never_collected() {
    let bed = Bed::new(1, &[("conf", MINE)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.abandon(&["c1"]).await.unwrap();
    assert_eq!(bed.drive("run-2").await, "Terminated");
    assert!(there(&bed, "c1", "mine").await, "abandoned means untouched");
    assert_eq!(bed.log("c1", Verb::Delete, "mine").len(), 0);
    let delete = http::Request::delete(format!("{MAPS}/mine"))
        .body(Vec::new())
        .unwrap();
    let client = bed.client("c1").await;
    let within = Duration::from_secs(10);
    assert!(client.ask(delete, within).await.unwrap().ok());
    let theirs = json!({"metadata": {"name": "mine"}});
    bed.create("c1", MAPS, theirs).await;
    let all = OrphanChoice::default();
    let wanted = bed.store.want_orphans(&all, &Bed::meta()).await.unwrap();
    assert_eq!(collect(&bed, "c1").await.over, wanted.len());
    assert!(there(&bed, "c1", "mine").await);
    let ids: Vec<_> = wanted.iter().map(|o| o.id).collect();
    let ended = bed.store.orphans_by_id(&ids).await.unwrap();
    let says = |name: &str| {
        let orphan = ended.iter().find(|o| o.key.name == name).unwrap();
        orphan.outcome.clone().unwrap()
    };
    assert!(says("mine").contains("not ours"), "{}", says("mine"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_in_flight_when_its_cluster_is_abandoned_changes_nothing_that_was_said() {
    let bed = Bed::new(1, &[("conf", MINE)], Policy::default()).await;
    bed.instantiate().await;
    assert_eq!(bed.drive("run-1").await, "Instantiated");
    bed.terminate().await;
    bed.begin("run-2").await;
    let row = bed.row("mine").await.id;
    let slow = FaultKind::Latency { ms: 700 };
    bed.fault("c1", slow, Some(Verb::Delete), Some("mine"), None);
    let step = bed.step("c1", &[row]).await;
    let activities = bed.activities.clone();
    let flying = tokio::spawn(async move { activities.run_delete(step).await });
    until("it is sent", async || bed.row("mine").await.attempts > 0).await;
    bed.abandon(&["c1"]).await.unwrap();
    flying.await.unwrap().unwrap();
    let mine = bed.row("mine").await;
    assert_eq!(mine.state, ResourceState::Deleted);
    assert_eq!(mine.goal, Goal::Delete);
    assert!(mine.kept.unwrap().starts_with("abandoned"));
    assert_eq!(bed.drive("run-2").await, "Terminated");
    let all = OrphanChoice::default();
    let wanted = bed.store.want_orphans(&all, &Bed::meta()).await.unwrap();
    collect(&bed, "c1").await;
    let mine = wanted.iter().find(|o| o.key.name == "mine").unwrap();
    let ended = bed.store.orphans_by_id(&[mine.id]).await.unwrap();
    assert_eq!(ended[0].outcome.as_deref(), Some("gone already"));
    // A try whose answer came twice ends the entry once.
    let again = Tried::Over("deleted".into());
    bed.store.orphan_tried(mine, &again).await.unwrap();
    assert_eq!(
        events(&bed, "OrphanCollected").await,
        wanted.len(),
        "one line each"
    );
}
