//! Claims: one object, one group; Namespaces are shared and the last one deletes them.

use crate::{
    bed::Bed,
    fixture::{begin, dig_ref, documents, drive, fresh, instantiate, meta, plan, rendered, send},
};
use model::{
    failure::Certainty::Definite,
    state::{ContextState, Goal},
};
use store::{Closed, Release, Store, StoreError};

on_both!(
    two_groups_cannot_hold_one_object,
    a_shared_namespace_goes_with_the_last,
    nobody_claims_what_is_being_deleted,
    a_corrected_scope_moves_the_claim,
);

async fn accept(store: &Store, name: &str, rows: &[&str]) -> Result<(), StoreError> {
    let id = dig_ref(name);
    store
        .apply_documents(documents(&[name]), false, &meta())
        .await?;
    store.approve(&id, &meta()).await?;
    let context = fresh();
    store.stage_plan(&id, &context, &plan(rows)).await?;
    store
        .accept_instantiate(&id, &context, &rendered(), &meta())
        .await
        .map(|_| ())
}

async fn two_groups_cannot_hold_one_object(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "one", &["a/c1/x"]).await;
    let refused = accept(store, "two", &["b/c1/y", "b/c1/x"]).await;
    let Err(StoreError::Refused { object, cause, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(object, "ConfigMap shop/x on default+c1");
    assert!(cause.contains("shop/one"), "{cause}");
    // The refused one holds nothing, and another cluster is another object.
    let held = "SELECT h.key FROM holder h JOIN context c ON c.id = h.context";
    assert_eq!(bed.sql(held).await.len(), 1);
    accept(store, "three", &["b/c2/x"]).await.unwrap();
    store
        .accept_terminate(&dig_ref("one"), &meta())
        .await
        .unwrap();
    drive(store, &context).await;
    accept(store, "two", &["b/c1/y", "b/c1/x"]).await.unwrap();
}

async fn a_shared_namespace_goes_with_the_last(bed: &Bed) {
    let store = &bed.store;
    let (one, _) = instantiate(store, "one", &["a/c1/NS", "a/c1/x"]).await;
    drive(store, &one).await;
    let (two, _) = instantiate(store, "two", &["a/c1/NS", "a/c1/y"]).await;
    let fence = begin(store, &two).await;
    let found = store::Found {
        row: 0,
        uid: "uid-0".into(),
        ours: true,
        managers: "muster".into(),
    };
    store.record_look(&two, fence, vec![found]).await.unwrap();
    drive(store, &two).await;
    store
        .accept_terminate(&dig_ref("one"), &meta())
        .await
        .unwrap();
    assert_eq!(drive(store, &one).await, ContextState::Terminated);
    let kept = &store.rows(&one, &[0]).await.unwrap()[0].kept;
    assert_eq!(kept.as_deref(), Some("used by shop/two"));
    store
        .accept_terminate(&dig_ref("two"), &meta())
        .await
        .unwrap();
    assert_eq!(drive(store, &two).await, ContextState::Terminated);
    assert_eq!(store.rows(&two, &[0]).await.unwrap()[0].kept, None);
    assert!(bed.sql("SELECT key FROM claim").await.is_empty());
}

async fn nobody_claims_what_is_being_deleted(bed: &Bed) {
    let store = &bed.store;
    let (one, _) = instantiate(store, "one", &["a/c1/NS", "a/c1/x"]).await;
    drive(store, &one).await;
    store
        .accept_terminate(&dig_ref("one"), &meta())
        .await
        .unwrap();
    let fence = begin(store, &one).await;
    let cluster = crate::fixture::cluster("c1");
    assert!(!store.others_deleted(&one, &cluster).await.unwrap());
    send(store, &one, fence, Goal::Delete, 1, Definite, Closed::Gone).await;
    assert!(store.others_deleted(&one, &cluster).await.unwrap());
    let last = store.release_shared(&one, fence, 0).await.unwrap();
    assert_eq!(last, Release::Delete);
    let refused = accept(store, "two", &["a/c1/NS", "a/c1/y"]).await;
    let Err(StoreError::Refused { cause, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(cause, "is being deleted, try again");
    send(store, &one, fence, Goal::Delete, 0, Definite, Closed::Gone).await;
    accept(store, "two", &["a/c1/NS", "a/c1/y"]).await.unwrap();
}

async fn a_corrected_scope_moves_the_claim(bed: &Bed) {
    let store = &bed.store;
    let (context, _) = instantiate(store, "one", &["a/c1/x"]).await;
    let fence = begin(store, &context).await;
    for _ in 0..2 {
        store.correct_scope(&context, fence, 0, "").await.unwrap();
    }
    let row = &store.rows(&context, &[0]).await.unwrap()[0];
    assert_eq!(row.key.namespace, "");
    let holders = bed.sql("SELECT key FROM holder").await;
    assert_eq!(holders.len(), 1);
    let key: String = holders[0].try_get("", "key").unwrap();
    assert_eq!(key, row.key.to_string());
    assert_eq!(bed.sql("SELECT key FROM claim").await.len(), 1);
}
