//! Documents, approval, request ids.

use crate::{
    bed::Bed,
    fixture::{self, dig_ref, documents, meta, request},
};
use model::state::DigState;
use store::{Change, StoreError};

on_both!(
    applying_twice_changes_nothing,
    approve_twice_is_one_entry,
    a_change_takes_the_approval_back,
    a_request_id_gets_its_answer_again_and_no_other_body,
    validate_only_stores_nothing,
    what_is_in_use_is_not_deleted,
    another_key_is_refused,
    a_database_of_a_later_version_is_refused,
    processes_that_start_at_once_make_one_installation,
);

async fn applying_twice_changes_nothing(bed: &Bed) {
    let store = &bed.store;
    for expected in [Change::Created, Change::Unchanged] {
        let results = store
            .apply_documents(documents(&["d"]), false, &meta())
            .await
            .unwrap();
        assert_eq!(results.len(), 4);
        assert!(results.iter().all(|r| r.change == expected), "{results:?}");
    }
    assert_eq!(store.digs(Some("shop")).await.unwrap().len(), 1);
    assert_eq!(store.clusters().await.unwrap().len(), 2);
    assert_eq!(store.composite_apps("shop").await.unwrap()[0].generation, 1);
    let config = store.kubeconfig(&fixture::cluster("c1")).await.unwrap();
    assert_eq!(config.text, "kubeconfig of c1");
}

async fn approve_twice_is_one_entry(bed: &Bed) {
    let store = &bed.store;
    store
        .apply_documents(documents(&["d"]), false, &meta())
        .await
        .unwrap();
    assert!(store.approve(&dig_ref("d"), &meta()).await.unwrap().changed);
    assert!(!store.approve(&dig_ref("d"), &meta()).await.unwrap().changed);
    let actions = store.summary(&dig_ref("d")).await.unwrap().actions;
    let states: Vec<_> = actions.iter().map(|a| a.state).collect();
    assert_eq!(states, [DigState::Created, DigState::Approved]);
}

async fn a_change_takes_the_approval_back(bed: &Bed) {
    let store = &bed.store;
    store
        .apply_documents(documents(&["d", "e"]), false, &meta())
        .await
        .unwrap();
    for name in ["d", "e"] {
        store.approve(&dig_ref(name), &meta()).await.unwrap();
    }
    let mut set = documents(&["d", "e"]);
    set.digs[0].namespace = "other".into();
    store.apply_documents(set, false, &meta()).await.unwrap();
    let state = async |name| store.dig(&dig_ref(name)).await.unwrap().state;
    assert_eq!(state("d").await, DigState::Created);
    assert_eq!(state("e").await, DigState::Approved);
    let mut set = documents(&[]);
    set.apps[0].apps.push(model::document::App {
        name: "new".into(),
        depends_on: vec![],
        manifests: vec![],
        objects: vec![],
    });
    store.apply_documents(set, false, &meta()).await.unwrap();
    assert_eq!(state("e").await, DigState::Created);
}

async fn a_request_id_gets_its_answer_again_and_no_other_body(bed: &Bed) {
    let store = &bed.store;
    let set = || documents(&["d"]);
    let first = store
        .apply_documents(set(), false, &request("a", "x"))
        .await
        .unwrap();
    let again = store
        .apply_documents(set(), false, &request("a", "x"))
        .await
        .unwrap();
    let text = |r: &[store::DocumentResult]| format!("{r:?}");
    assert_eq!(text(&first), text(&again));
    let approved = store
        .approve(&dig_ref("d"), &request("b", "y"))
        .await
        .unwrap();
    let again = store
        .approve(&dig_ref("d"), &request("b", "y"))
        .await
        .unwrap();
    assert_eq!(approved, again);
    assert!(again.changed);
    let known = store.answered(&request("b", "y")).await.unwrap();
    assert_eq!(known, Some(approved));
    for reused in [
        store.approve(&dig_ref("d"), &request("b", "z")).await.err(),
        store.answered(&request("b", "z")).await.err(),
    ] {
        assert!(matches!(reused, Some(StoreError::RequestIdReused(_))));
    }
    // What was refused did not use its id.
    let refused = store
        .accept_terminate(&dig_ref("d"), &request("c", "t"))
        .await;
    assert!(matches!(refused, Err(StoreError::WrongState { .. })));
    assert_eq!(store.answered(&request("c", "t")).await.unwrap(), None);
}

async fn validate_only_stores_nothing(bed: &Bed) {
    let results = bed
        .store
        .apply_documents(documents(&["d"]), true, &meta())
        .await
        .unwrap();
    assert!(results.iter().all(|r| r.change == Change::Created));
    assert!(bed.store.digs(None).await.unwrap().is_empty());
    assert!(bed.store.clusters().await.unwrap().is_empty());
}

async fn what_is_in_use_is_not_deleted(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = fixture::instantiate(store, "d", &["a/c1/x"]).await;
    let cluster = fixture::cluster("c1");
    let refused = store.delete_cluster(&cluster, &meta()).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
    let refused = store
        .delete_composite_app(&fixture::app_ref(), &meta())
        .await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
    let refused = store.delete_dig(&dig_ref("d"), &meta()).await;
    assert!(matches!(refused, Err(StoreError::WrongState { .. })));
    store
        .accept_terminate(&dig_ref("d"), &meta())
        .await
        .unwrap();
    fixture::drive(store, &context).await;
    store.delete_dig(&dig_ref("d"), &meta()).await.unwrap();
    store.delete_cluster(&cluster, &meta()).await.unwrap();
    let gone = store.delete_cluster(&cluster, &meta()).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
    store
        .delete_composite_app(&fixture::app_ref(), &meta())
        .await
        .unwrap();
}

async fn another_key_is_refused(bed: &Bed) {
    let other = store::Store::open(&bed.url, store::SealKey([1; 32])).await;
    assert!(matches!(other, Err(StoreError::WrongKey(_))));
    let same = bed.with(crate::bed::patient()).await;
    let name = same.installation().await.unwrap();
    assert_eq!(name, bed.store.installation().await.unwrap());
    same.ping().await.unwrap();
}

async fn processes_that_start_at_once_make_one_installation(bed: &Bed) {
    let url = match &bed.dir {
        Some(dir) => format!("sqlite:{}", dir.path().join("fresh.db").display()),
        None => crate::postgres::database().await.unwrap(),
    };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        tasks.spawn(async move {
            let key = store::SealKey(crate::bed::KEY);
            let store = store::Store::open(&url, key).await.unwrap();
            store.installation().await.unwrap()
        });
    }
    let names = tasks.join_all().await;
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
}

async fn a_database_of_a_later_version_is_refused(bed: &Bed) {
    bed.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)")
        .await;
    let refused = store::Store::open(&bed.url, store::SealKey(crate::bed::KEY)).await;
    assert!(matches!(refused, Err(StoreError::Newer(name)) if name == "m9999_later"));
}
