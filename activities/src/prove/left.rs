//! What is left of a context on one cluster, as far as its credentials let us look.

use super::rows_of;
use crate::{
    clusters::{
        answer::{Answer, NetError},
        discovery::NoApi,
        hello::NotReady,
        link::Link,
    },
    judge,
    listing::{Listing, list},
    object::{Meta, Sight},
    request::{self, Api},
    shared::Shared,
};
use futures::{StreamExt, stream};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId},
    manifest::CONTEXT_LABEL,
    row::Row,
    state::Goal,
};
use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};
use store::{Gvk, StoreError};
use tokio::time::Instant;
use workflows::limits::LOCAL_REQUEST_TIMEOUT;

/// Lists per cluster at once.
const LISTS_AT_ONCE: usize = 4;
/// After a passing answer without a wish of its own.
const AGAIN: Duration = Duration::from_secs(1);

pub enum Left {
    /// Objects, with the kinds they are of.
    Found(Vec<(Api, Meta)>),
    Unreachable,
    /// A passing answer: look again.
    Again(Duration),
    Refused(Failure),
}

/// Why a cluster's look ended early.
enum Early {
    Store(StoreError),
    Net(NetError),
    Left(Left),
}

impl From<NetError> for Early {
    fn from(error: NetError) -> Self {
        Self::Net(error)
    }
}

impl From<&Answer> for Early {
    fn from(answer: &Answer) -> Self {
        Self::Left(match judge::read(answer, Goal::Delete) {
            judge::Verdict::Transient { after, .. } => Left::Again(after.unwrap_or(AGAIN)),
            judge::Verdict::Final(failure) => Left::Refused(failure),
        })
    }
}

pub async fn cluster_left(
    shared: &Shared,
    context: &ContextId,
    id: &ClusterId,
    kinds: Vec<Gvk>,
    within: Duration,
) -> Result<Left, StoreError> {
    let cluster = shared.clusters.of(id);
    if cluster.is_slow() && within <= LOCAL_REQUEST_TIMEOUT {
        let slow = "answers slowly: it is asked again with more time";
        return Ok(Left::Refused(Failure::new("slow", slow)));
    }
    let link = match cluster.ready().await {
        Ok(link) => link,
        Err(NotReady::Parked(_)) => return Ok(Left::Unreachable),
        Err(NotReady::Store(error)) => return Err(error),
    };
    let since = Instant::now();
    match kinds_left(shared, context, id, &link, kinds, within).await {
        Ok(found) => Ok(Left::Found(found)),
        Err(Early::Left(left)) => Ok(left),
        Err(Early::Store(error)) => Err(error),
        Err(Early::Net(error)) => match cluster.still_answers(since).await {
            Ok(_) => Ok(Left::Refused(error.failure())),
            Err(NotReady::Parked(_)) => Ok(Left::Unreachable),
            Err(NotReady::Store(error)) => Err(error),
        },
    }
}

async fn kinds_left(
    shared: &Shared,
    context: &ContextId,
    id: &ClusterId,
    link: &Link,
    of_rows: Vec<Gvk>,
    within: Duration,
) -> Result<Vec<(Api, Meta)>, Early> {
    let pods = (String::new(), "v1".to_owned(), "Pod".to_owned());
    let sets = ("apps".to_owned(), "v1".to_owned(), "ReplicaSet".to_owned());
    let kinds: BTreeSet<Gvk> = of_rows.iter().cloned().chain([pods, sets]).collect();
    let labels = format!("{CONTEXT_LABEL}={context}");
    let labels = labels.as_str();
    let lists = stream::iter(kinds).map(|(group, version, kind)| async move {
        let discovery = &link.discovery;
        match discovery
            .resolve_any(link, &group, &version, &kind, within)
            .await
        {
            Ok(api) => {
                let listing = list(link, &api, "", Some(labels), within).await;
                Ok(Some((api, listing)))
            }
            Err(NoApi::NoMatch) => Ok(None),
            Err(NoApi::Answer(answer)) => Err(Early::from(&answer)),
            Err(NoApi::Net(error)) => Err(Early::from(error)),
        }
    });
    let mut lists = lists.buffer_unordered(LISTS_AT_ONCE);
    let mut found = Vec::new();
    let mut denied = Vec::new();
    while let Some(listed) = lists.next().await {
        let Some((api, listing)) = listed? else {
            continue;
        };
        match listing {
            Listing::Objects(objects) => {
                found.extend(objects.into_iter().map(|meta| (api.clone(), meta)));
            }
            Listing::Answered(answer) if answer.code == 403 => denied.push(api),
            Listing::Answered(answer) => return Err(Early::from(&answer)),
            Listing::Lost(error) => return Err(error.into()),
        }
    }
    if !denied.is_empty() {
        let rows = rows_of(shared, context, id).await.map_err(Early::Store)?;
        for api in denied {
            let same = |(group, _, kind): &Gvk| *group == api.group && *kind == api.kind;
            let objects = if of_rows.iter().any(same) {
                rows_left(link, context, &rows, &api, labels, within).await?
            } else {
                let (objects, unseen) = in_namespaces(link, &rows, &api, labels, within).await?;
                for namespace in unseen {
                    tracing::warn!(cluster = %id, kind = %api.kind, %namespace, "may not be listed, left out of the proof");
                }
                objects
            };
            found.extend(objects.into_iter().map(|meta| (api.clone(), meta)));
        }
    }
    Ok(found)
}

/// A kind of rows that may not be listed everywhere: in the rows' namespaces, and where that is
/// refused too, object by object.
async fn rows_left(
    link: &Link,
    context: &ContextId,
    rows: &[Row],
    api: &Api,
    labels: &str,
    within: Duration,
) -> Result<Vec<Meta>, Early> {
    let rows: Vec<Row> = rows
        .iter()
        .filter(|row| row.key.group == api.group && row.key.kind == api.kind && row.sent > 0)
        .cloned()
        .collect();
    let (mut found, unseen) = in_namespaces(link, &rows, api, labels, within).await?;
    for row in rows {
        let namespace = row.key.namespace.as_str();
        if api.namespaced && !unseen.contains(namespace) {
            continue;
        }
        let request = request::get_metadata(api, namespace, &row.key.name)
            .map_err(|error| Early::Left(Left::Refused(judge::invalid(error.to_string()))))?;
        let answer = link.ask(request, within).await?;
        match Sight::of(&answer) {
            Sight::There(meta) if meta.of_context(context) => found.push(meta),
            Sight::There(_) | Sight::Absent => {}
            Sight::Nothing => {
                link.discovery.doubt(&api.group, &answer);
                return Err(Early::from(&answer));
            }
        }
    }
    Ok(found)
}

/// A namespaced kind in the namespaces of rows; also the namespaces where it may not be listed.
async fn in_namespaces(
    link: &Link,
    rows: &[Row],
    api: &Api,
    labels: &str,
    within: Duration,
) -> Result<(Vec<Meta>, HashSet<String>), Early> {
    let namespaces: BTreeSet<&str> = rows
        .iter()
        .map(|row| row.key.namespace.as_str())
        .filter(|namespace| api.namespaced && !namespace.is_empty())
        .collect();
    let (mut found, mut unseen) = (Vec::new(), HashSet::new());
    for namespace in namespaces {
        match list(link, api, namespace, Some(labels), within).await {
            Listing::Objects(objects) => found.extend(objects),
            Listing::Answered(answer) if answer.code == 403 => {
                unseen.insert(namespace.to_owned());
            }
            Listing::Answered(answer) => return Err(Early::from(&answer)),
            Listing::Lost(error) => return Err(error.into()),
        }
    }
    Ok((found, unseen))
}
