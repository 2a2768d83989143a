//! What status reads.

use crate::{
    bed::Bed,
    fixture::{Life, cluster, dig_ref, failure, last_event},
};
use model::{
    failure::Certainty::Definite,
    row::Connectivity,
    state::{Goal, ResourceState},
};
use store::{Closed, NoteTarget, RowFilter};

on_both!(counts_problems_and_rows_agree, events_resume_after_a_number,);

async fn counts_problems_and_rows_agree(bed: &Bed) {
    let store = &bed.store;
    let rows = ["a/c1/one", "a/c1/two", "a/c1/three", "a/c2/one", "b/c2/two"];
    let life = Life::begun(store, "d", &rows).await;
    life.applied(0).await;
    let refused = Closed::Refused(failure("invalid"));
    life.send(Goal::Apply, 1, Definite, refused).await;
    let blocked = NoteTarget::Rows(vec![2]);
    store
        .note(&life.context, life.fence, blocked, Some("a failure"))
        .await
        .unwrap();
    store
        .park(&cluster("c2"), &failure("timeout"))
        .await
        .unwrap();

    let summary = store.summary(&dig_ref("d")).await.unwrap();
    let counts: Vec<_> = summary
        .counts
        .iter()
        .map(|(k, n)| (k.as_str(), *n))
        .collect();
    assert_eq!(
        counts,
        [
            ("Applied", 1),
            ("Deleted", 0),
            ("Failed", 1),
            ("Pending", 1),
            ("Retrying", 2)
        ]
    );
    assert_eq!(summary.by_bundle.len(), 3);
    assert_eq!(summary.by_bundle[1].connectivity, Connectivity::Retrying);

    let problems = store.problems(&life.context).await.unwrap();
    let seen: Vec<_> = problems
        .iter()
        .map(|p| (p.failure.code.as_str(), p.count, p.app.as_deref().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("invalid", 1, "a"),
            ("timeout", 1, "a"),
            ("timeout", 1, "b"),
            ("blocked", 1, "a")
        ]
    );
    assert_eq!(problems[0].resource.as_ref().unwrap().name, "two");

    let names = async |filter: RowFilter| -> Vec<String> {
        let rows = store
            .status_rows(&life.context, &filter, None, 100)
            .await
            .unwrap();
        rows.iter()
            .map(|r| format!("{}/{}", r.key.cluster.name, r.key.name))
            .collect()
    };
    let state = |state: &str| RowFilter {
        state: Some(state.into()),
        ..RowFilter::default()
    };
    assert_eq!(names(RowFilter::default()).await.len(), 5);
    assert_eq!(names(state("retrying")).await, ["c2/one", "c2/two"]);
    assert_eq!(names(state("Pending")).await, ["c1/three"]);
    let one = RowFilter {
        resource: Some("ConfigMap/one".into()),
        cluster: Some(cluster("c2")),
        ..RowFilter::default()
    };
    assert_eq!(names(one).await, ["c2/one"]);
    let page = store
        .status_rows(&life.context, &RowFilter::default(), Some(2), 1)
        .await
        .unwrap();
    assert_eq!(page[0].id, 3);
    assert_eq!(page[0].state, ResourceState::Retrying(Goal::Apply));
    assert_eq!(page[0].error, Some(failure("timeout")));
    assert!(page[0].next_attempt_ms.is_some());
}

async fn events_resume_after_a_number(bed: &Bed) {
    let store = &bed.store;
    let mut life = Life::new(store, "d", &["a/c1/x"]).await;
    let all = store.events(&dig_ref("d"), 0, 100).await.unwrap();
    let seen: Vec<_> = all
        .iter()
        .map(|e| (e.event.as_str(), e.to.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("Create", "Created"),
            ("Approve", "Approved"),
            ("Instantiate", "Instantiated"),
            ("Instantiate", "Instantiating"),
            ("Instantiate", "Pending(Apply)"),
        ]
    );
    let last = last_event(store, "d").await;
    assert_eq!(last, all.last().unwrap().seq);
    life.begin().await;
    life.applied(0).await;
    let new = store.events(&dig_ref("d"), last, 100).await.unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].object.as_ref().unwrap().name, "x");
    assert_eq!(new[0].attempt, Some(1));
}
