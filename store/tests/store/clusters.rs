//! Parking, probing, identity.

use crate::{
    bed::Bed,
    fixture::{cluster, documents, failure, meta},
};
use model::row::Connectivity;
use store::{ProbeLease, StoreConfig};

on_both!(
    one_probe_at_a_time,
    two_names_of_one_cluster_are_parked,
    a_cluster_that_became_another_is_parked,
);

async fn one_probe_at_a_time(bed: &Bed) {
    let config = StoreConfig {
        probe_initial_ms: 0,
        probe_max_ms: 3_600_000,
        ..StoreConfig::default()
    };
    let store = &bed.with(config).await;
    let id = cluster("c1");
    store
        .apply_documents(documents(&[]), false, &meta())
        .await
        .unwrap();
    let free = store.probe_lease(&id, "w1", 60_000).await.unwrap();
    assert!(matches!(free, ProbeLease::Available));
    for _ in 0..2 {
        store.park(&id, &failure("timeout")).await.unwrap();
    }
    let parked = store.cluster(&id).await.unwrap();
    assert_eq!(parked.connectivity, Connectivity::Retrying);
    assert_eq!(
        (parked.attempts, parked.error),
        (1, Some(failure("timeout")))
    );
    for (holder, mine) in [("w1", true), ("w2", false), ("w1", true)] {
        let lease = store.probe_lease(&id, holder, 60_000).await.unwrap();
        assert_eq!(matches!(lease, ProbeLease::Yours), mine, "{lease:?}");
    }
    let still = store.probed(&id, Err(failure("reset"))).await.unwrap();
    assert_eq!(still, Connectivity::Retrying);
    let parked = store.cluster(&id).await.unwrap();
    assert_eq!((parked.attempts, parked.error), (2, Some(failure("reset"))));
    // The lease ended with the probe.
    let lease = store.probe_lease(&id, "w2", 60_000).await.unwrap();
    assert!(matches!(lease, ProbeLease::Yours), "{lease:?}");
    let back = store.probed(&id, Ok(Some("u1".into()))).await.unwrap();
    assert_eq!(back, Connectivity::Available);
    let row = store.cluster(&id).await.unwrap();
    assert_eq!(
        (row.uid.as_deref(), row.attempts, row.error),
        (Some("u1"), 0, None)
    );
}

async fn two_names_of_one_cluster_are_parked(bed: &Bed) {
    let store = &bed.store;
    store
        .apply_documents(documents(&[]), false, &meta())
        .await
        .unwrap();
    let same = || Ok(Some("same".to_owned()));
    let first = store.probed(&cluster("c1"), same()).await.unwrap();
    assert_eq!(first, Connectivity::Available);
    let second = store.probed(&cluster("c2"), same()).await.unwrap();
    assert_eq!(second, Connectivity::Retrying);
    let error = store.cluster(&cluster("c2")).await.unwrap().error.unwrap();
    assert_eq!(error.code, "duplicateCluster");
    assert!(error.message.contains("default+c1"), "{}", error.message);
    let first = store.probed(&cluster("c1"), same()).await.unwrap();
    assert_eq!(first, Connectivity::Available);
}

async fn a_cluster_that_became_another_is_parked(bed: &Bed) {
    let store = &bed.store;
    let id = cluster("c1");
    crate::fixture::instantiate(store, "d", &["a/c1/x"]).await;
    store.probed(&id, Ok(Some("old".into()))).await.unwrap();
    let mut set = documents(&[]);
    set.clusters[0].1 = "another kubeconfig".into();
    store.apply_documents(set, false, &meta()).await.unwrap();
    let parked = store.probed(&id, Ok(Some("new".into()))).await.unwrap();
    assert_eq!(parked, Connectivity::Retrying);
    let error = store.cluster(&id).await.unwrap().error.unwrap();
    assert_eq!(error.code, "identityChanged");
    let back = store.probed(&id, Ok(Some("old".into()))).await.unwrap();
    assert_eq!(back, Connectivity::Available);
}
