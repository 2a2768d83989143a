//! The proof before Terminated: no object of the context is left (protocol §6).

mod left;

use crate::{
    clusters::hello::NotReady,
    object::Meta,
    request::{self, Api},
    shared::Shared,
    step::millis,
};
use futures::{StreamExt, stream};
use left::{Left, cluster_left};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, ResourceKey},
    row::Row,
};
use std::{collections::HashSet, sync::Arc, time::Duration};
use store::{FoundAgain, Gvk, RowFilter, StoreError};
use workflows::contract::{Proof, ProveInput};

/// Clusters at once.
const CLUSTERS_AT_ONCE: usize = 8;
/// Rows read at once.
const PAGE: u64 = 1_000;
/// Pods and ReplicaSets of objects that are gone follow within moments.
const FOLLOWING: Duration = Duration::from_millis(500);

/// Why a proof cannot be taken now.
#[derive(Debug)]
pub enum Unproven {
    Store(StoreError),
    /// A cluster refuses to list, or is too slow: the caller tries again with more time.
    Refused {
        cluster: ClusterId,
        failure: Failure,
    },
}

impl From<StoreError> for Unproven {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Lists the context's objects on some of its clusters.
pub async fn prove(
    shared: &Arc<Shared>,
    input: &ProveInput,
    within: Duration,
) -> Result<Proof, Unproven> {
    let store = &shared.store;
    let scope = store
        .proof_scope(&input.context, input.fence, input.offset, input.count)
        .await?;
    let mut proof = Proof {
        superseded: scope.superseded,
        wait_ms: scope.wait_ms,
        ..Proof::default()
    };
    if scope.superseded || scope.wait_ms > 0 {
        return Ok(proof);
    }
    let looks = stream::iter(scope.clusters).map(|(cluster, kinds)| async move {
        let left = cluster_left(shared, &input.context, &cluster, kinds.clone(), within).await;
        (cluster, kinds, left)
    });
    let looks: Vec<_> = looks.buffer_unordered(CLUSTERS_AT_ONCE).collect().await;
    // What the others answered counts, whatever one cluster refuses.
    let mut refused = None;
    for (cluster, kinds, left) in looks {
        match left? {
            Left::Unreachable => proof.unreachable.push(cluster),
            Left::Again(delay) => proof.wait_ms = proof.wait_ms.max(millis(delay)),
            Left::Refused(failure) => {
                tracing::warn!(context = %input.context, %cluster, error = %failure.message, "the proof is refused");
                refused.get_or_insert((cluster, failure));
            }
            Left::Found(found) if found.is_empty() => {}
            Left::Found(found) => {
                let rows = rows_of(shared, &input.context, &cluster).await?;
                let kept = rows.iter().filter(|row| row.kept.is_some());
                let kept = kept.filter_map(|row| row.uid.clone()).collect();
                let found = Sorted::new(&cluster, &kinds, &rows, beyond(found, kept));
                if !found.again.is_empty() {
                    proof.found += store
                        .found_again(&input.context, input.fence, found.again)
                        .await?;
                }
                if !found.followers.is_empty() {
                    proof.wait_ms = proof.wait_ms.max(millis(FOLLOWING));
                    chase(shared, &cluster, found.followers, within).await?;
                }
            }
        }
    }
    proof.unreachable.sort();
    let clean = proof.found == 0 && proof.wait_ms == 0 && proof.unreachable.is_empty();
    if clean && refused.is_none() {
        store
            .record_proof(&input.context, input.fence, input.offset, input.count)
            .await?;
    }
    match refused {
        // Nothing else to do before it is asked again.
        Some((cluster, failure)) if clean => Err(Unproven::Refused { cluster, failure }),
        _ => Ok(proof),
    }
}

/// Every row of the context on a cluster.
async fn rows_of(
    shared: &Shared,
    context: &ContextId,
    cluster: &ClusterId,
) -> Result<Vec<Row>, StoreError> {
    let filter = RowFilter {
        cluster: Some(cluster.clone()),
        ..RowFilter::default()
    };
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let after = rows.last().map(|row| row.id);
        let page = shared
            .store
            .status_rows(context, &filter, after, PAGE)
            .await?;
        let last = u64::try_from(page.len()).unwrap_or(0) < PAGE;
        rows.extend(page);
        if last {
            return Ok(rows);
        }
    }
}

/// What was found on a cluster, by what becomes of it.
struct Sorted {
    /// Objects of rows.
    again: Vec<FoundAgain>,
    /// Pods and ReplicaSets that controllers made of what had a row.
    followers: Vec<(Api, Meta)>,
}

impl Sorted {
    /// Everything else that carries our label was labelled by somebody else: it is named in the
    /// log, and neither it nor what it owns is deleted or waited for.
    fn new(cluster: &ClusterId, kinds: &[Gvk], rows: &[Row], found: Vec<(Api, Meta)>) -> Self {
        let keys: HashSet<String> = rows.iter().map(|row| row.key.to_string()).collect();
        let (mut again, mut followers, mut strays) = (Vec::new(), Vec::new(), HashSet::new());
        for (api, meta) in found {
            let of_rows = |(group, _, kind): &Gvk| *group == api.group && *kind == api.kind;
            let key = key(cluster, &api, &meta);
            if keys.contains(&key.to_string()) {
                again.push(FoundAgain {
                    key,
                    uid: meta.uid.clone(),
                });
            } else if is_follower(&api) && !kinds.iter().any(of_rows) {
                followers.push((api, meta));
            } else {
                tracing::warn!(%key, uid = %meta.uid, "carries the context's label and is none of its objects");
                strays.insert(meta.uid);
            }
        }
        Self {
            again,
            followers: beyond(followers, strays),
        }
    }
}

fn is_follower(api: &Api) -> bool {
    matches!(
        (api.group.as_str(), api.kind.as_str()),
        ("", "Pod") | ("apps", "ReplicaSet")
    )
}

/// Objects that are neither in a set nor owned, however far down, by one that is.
fn beyond(found: Vec<(Api, Meta)>, mut kept: HashSet<String>) -> Vec<(Api, Meta)> {
    loop {
        let before = kept.len();
        for (_, meta) in &found {
            if meta.owners.iter().any(|owner| kept.contains(owner)) {
                kept.insert(meta.uid.clone());
            }
        }
        if kept.len() == before {
            return found
                .into_iter()
                .filter(|(_, meta)| !kept.contains(&meta.uid))
                .collect();
        }
    }
}

fn key(cluster: &ClusterId, api: &Api, meta: &Meta) -> ResourceKey {
    ResourceKey {
        cluster: cluster.clone(),
        group: api.group.clone(),
        kind: api.kind.clone(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
    }
}

/// Pods and ReplicaSets that outlived their owner and are not on their way out: they carry our
/// label and have no row, so nobody else would delete them.
async fn chase(
    shared: &Shared,
    id: &ClusterId,
    followers: Vec<(Api, Meta)>,
    within: Duration,
) -> Result<(), StoreError> {
    let cluster = shared.clusters.of(id);
    let link = match cluster.ready().await {
        Ok(link) => link,
        Err(NotReady::Parked(_)) => return Ok(()),
        Err(NotReady::Store(error)) => return Err(error),
    };
    for (api, meta) in followers
        .into_iter()
        .filter(|(_, meta)| !meta.deleting && meta.owners.is_empty() && !meta.uid.is_empty())
    {
        if let Ok(request) = request::delete(&api, &meta.namespace, &meta.name, &meta.uid, None) {
            tracing::info!(cluster = %id, kind = %api.kind, namespace = %meta.namespace, name = %meta.name, "deleting what outlived its owner");
            let _ = link.ask(request, within).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(kind: &str, uid: &str, owner: Option<&str>) -> (Api, Meta) {
        let api = Api {
            group: match kind {
                "ReplicaSet" => "apps".to_owned(),
                _ => String::new(),
            },
            version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: String::new(),
            namespaced: true,
        };
        let meta = Meta {
            name: uid.to_owned(),
            uid: uid.to_owned(),
            owners: owner.map(str::to_owned).into_iter().collect(),
            ..Meta::default()
        };
        (api, meta)
    }

    fn uids(found: Vec<(Api, Meta)>) -> Vec<String> {
        found.into_iter().map(|(_, meta)| meta.uid).collect()
    }

    #[test]
    fn what_a_kept_object_owns_is_kept_with_it() {
        let found = vec![
            one("Pod", "pod", Some("set")),
            one("ReplicaSet", "set", Some("kept")),
            one("Pod", "left", Some("gone")),
        ];
        let left = beyond(found, HashSet::from(["kept".to_owned()]));
        assert_eq!(uids(left), ["left"]);
    }

    #[test]
    fn only_pods_and_replica_sets_of_no_rows_kind_are_chased() {
        let mut row = crate::fixture::row(1);
        let cluster = row.key.cluster.clone();
        let found = vec![
            one("ConfigMap", "mine", None),
            one("ConfigMap", "stray", None),
            one("Pod", "left", None),
            one("Pod", "of-stray", Some("stray")),
            one("ReplicaSet", "set", None),
        ];
        row.key = key(&cluster, &found[0].0, &found[0].1);
        let gvk = |group: &str, kind: &str| (group.to_owned(), "v1".to_owned(), kind.to_owned());
        let rows = [row];
        let kinds = [gvk("", "ConfigMap")];
        let sorted = Sorted::new(&cluster, &kinds, &rows, found.clone());
        assert_eq!(sorted.again.len(), 1);
        assert_eq!(sorted.again[0].uid, "mine");
        assert_eq!(uids(sorted.followers), ["left", "set"]);
        let kinds = [gvk("", "ConfigMap"), gvk("", "Pod")];
        let sorted = Sorted::new(&cluster, &kinds, &rows, found);
        assert_eq!(uids(sorted.followers), ["set"]);
    }
}
