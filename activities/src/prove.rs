//! The proof before Terminated: no object of the context is left (protocol §6).

use crate::{
    clusters::{hello::NotReady, link::Link},
    judge,
    listing::{Listing, list},
    object::Meta,
    request::{self, Api},
    shared::Shared,
    step::millis,
};
use futures::{StreamExt, stream};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, ResourceKey},
    manifest::CONTEXT_LABEL,
    state::Goal,
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};
use store::{FoundAgain, RowFilter, StoreError};
use tokio::time::Instant;
use workflows::contract::{Proof, ProveInput};

/// Clusters, and lists per cluster, at once.
const CLUSTERS_AT_ONCE: usize = 8;
const LISTS_AT_ONCE: usize = 4;
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

enum Left {
    /// Objects, with the kinds they are of.
    Found(Vec<(Api, Meta)>),
    Unreachable,
    /// A passing answer: look again.
    Again(Duration),
    Refused(Failure),
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
    for (cluster, kinds, left) in looks {
        match left? {
            Left::Unreachable => proof.unreachable.push(cluster),
            Left::Again(delay) => proof.wait_ms = proof.wait_ms.max(millis(delay)),
            Left::Refused(failure) => return Err(Unproven::Refused { cluster, failure }),
            Left::Found(found) if found.is_empty() => {}
            Left::Found(found) => {
                let found = without_kept(shared, input, &cluster, found).await?;
                let of_rows = |api: &Api| {
                    kinds
                        .iter()
                        .any(|(group, _, kind)| *group == api.group && *kind == api.kind)
                };
                let again: Vec<_> = found
                    .iter()
                    .filter(|(api, _)| of_rows(api))
                    .map(|(api, meta)| FoundAgain {
                        key: key(&cluster, api, meta),
                        uid: meta.uid.clone(),
                    })
                    .collect();
                let moved = match again.is_empty() {
                    true => 0,
                    false => {
                        store
                            .found_again(&input.context, input.fence, again)
                            .await?
                    }
                };
                proof.found += moved;
                if moved < found.len() {
                    // What has no row: made by controllers of what had one.
                    proof.wait_ms = proof.wait_ms.max(millis(FOLLOWING));
                    chase(shared, &cluster, found, within).await?;
                }
            }
        }
    }
    proof.unreachable.sort();
    Ok(proof)
}

/// Leaves out what is kept, and what belongs to it: a kept Deployment's pods still carry the label
/// of its template.
async fn without_kept(
    shared: &Shared,
    input: &ProveInput,
    cluster: &ClusterId,
    found: Vec<(Api, Meta)>,
) -> Result<Vec<(Api, Meta)>, StoreError> {
    let filter = RowFilter {
        cluster: Some(cluster.clone()),
        ..RowFilter::default()
    };
    let mut kept: HashSet<String> = HashSet::new();
    let mut after = None;
    loop {
        let rows = shared
            .store
            .status_rows(&input.context, &filter, after, PAGE)
            .await?;
        kept.extend(
            rows.iter()
                .filter(|row| row.kept.is_some())
                .filter_map(|row| row.uid.clone()),
        );
        match rows.last() {
            Some(last) if u64::try_from(rows.len()).unwrap_or(0) >= PAGE => after = Some(last.id),
            _ => break,
        }
    }
    Ok(beyond(found, kept))
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

async fn cluster_left(
    shared: &Shared,
    context: &ContextId,
    id: &ClusterId,
    kinds: Vec<(String, String, String)>,
    within: Duration,
) -> Result<Left, StoreError> {
    let cluster = shared.clusters.of(id);
    let link = match cluster.ready().await {
        Ok(link) => link,
        Err(NotReady::Parked(_)) => return Ok(Left::Unreachable),
        Err(NotReady::Store(error)) => return Err(error),
    };
    let since = Instant::now();
    match kinds_left(&link, context, kinds, within).await {
        Ok(left) => Ok(left),
        Err(error) => match cluster.still_answers(since).await {
            Ok(_) => Ok(Left::Refused(error.failure())),
            Err(NotReady::Parked(_)) => Ok(Left::Unreachable),
            Err(NotReady::Store(error)) => Err(error),
        },
    }
}

async fn kinds_left(
    link: &Link,
    context: &ContextId,
    kinds: Vec<(String, String, String)>,
    within: Duration,
) -> Result<Left, crate::clusters::answer::NetError> {
    let pods = (String::new(), "v1".to_owned(), "Pod".to_owned());
    let sets = ("apps".to_owned(), "v1".to_owned(), "ReplicaSet".to_owned());
    let kinds: BTreeSet<_> = kinds.into_iter().chain([pods, sets]).collect();
    let labels = format!("{CONTEXT_LABEL}={context}");
    let labels = labels.as_str();
    let lists = stream::iter(kinds).map(|(group, version, kind)| async move {
        use crate::clusters::discovery::NoApi;
        match link
            .discovery
            .resolve(link, &group, &version, &kind, within)
            .await
        {
            Ok(api) => {
                let listing = list(link, &api, "", Some(labels), within).await;
                (Some(api), listing)
            }
            Err(NoApi::NoMatch) => (None, Listing::NotServed),
            Err(NoApi::Answer(answer)) => (None, Listing::Answered(answer)),
            Err(NoApi::Net(error)) => (None, Listing::Lost(error)),
        }
    });
    let mut lists = lists.buffer_unordered(LISTS_AT_ONCE);
    let mut found = Vec::new();
    while let Some((api, listing)) = lists.next().await {
        match (api, listing) {
            (Some(api), Listing::Objects(objects)) => {
                found.extend(objects.into_iter().map(|meta| (api.clone(), meta)));
            }
            (_, Listing::Objects(_) | Listing::NotServed) => {}
            (_, Listing::Lost(error)) => return Err(error),
            (_, Listing::Answered(answer)) => {
                return Ok(match judge::judge(&answer, Goal::Delete) {
                    judge::Verdict::Transient { after, .. } => {
                        Left::Again(after.unwrap_or(Duration::from_secs(1)))
                    }
                    judge::Verdict::Final(failure) => Left::Refused(failure),
                });
            }
        }
    }
    Ok(Left::Found(found))
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
        .filter(|(_, meta)| !meta.deleting && meta.owners.is_empty())
    {
        if let Ok(request) = request::delete(&api, &meta.namespace, &meta.name, &meta.uid) {
            tracing::info!(cluster = %id, kind = %api.kind, namespace = %meta.namespace, name = %meta.name, "deleting what outlived its owner");
            let _ = link.ask(request, within).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kept_object_owns_is_kept_with_it() {
        let one = |kind: &str, uid: &str, owner: Option<&str>| {
            let api = Api {
                group: String::new(),
                version: "v1".to_owned(),
                kind: kind.to_owned(),
                plural: String::new(),
                namespaced: true,
            };
            let owners = owner.map(str::to_owned).into_iter().collect();
            (
                api,
                Meta {
                    uid: uid.to_owned(),
                    owners,
                    ..Meta::default()
                },
            )
        };
        let found = vec![
            one("Pod", "pod", Some("set")),
            one("ReplicaSet", "set", Some("kept")),
            one("Pod", "left", Some("gone")),
        ];
        let left = beyond(found, HashSet::from(["kept".to_owned()]));
        assert_eq!(
            left.into_iter()
                .map(|(_, meta)| meta.uid)
                .collect::<Vec<_>>(),
            ["left"]
        );
    }
}
