//! What an apply needs before its window opens: path, scope, manifest, labels.

use crate::{
    apply::{ApplyItem, SharedSeen, unsent},
    attempts::{Job, record_unsent},
    clusters::{answer::NetError, discovery::NoApi, hello::NotReady},
    judge::{self, Verdict},
    object::Sight,
    request::{self, Api},
    step::{Ended, RowEnd},
};
use futures::{StreamExt, stream};
use model::{
    ids::ClusterId,
    manifest::stamp,
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};
use store::{Found, RowFilter, StoreError};
use tokio::time::Instant;

/// Rows prepared at once.
const AT_ONCE: usize = 8;
/// Rows read at once when looking for a CRD of the context.
const PAGE: u64 = 1_000;

/// One row, prepared.
pub enum Prepared {
    Ready(Box<ApplyItem>),
    /// Decided without sending.
    Judged(Verdict),
    /// The cluster did not answer a question asked beforehand.
    Lost(NetError),
}

/// Prepares the rows that are not done; those that cannot be sent are recorded.
pub async fn prepare(job: &Arc<Job>, ended: &mut Ended) -> Result<Vec<ApplyItem>, StoreError> {
    let step = &job.step;
    let store = &job.shared.store;
    let mut open = Vec::new();
    for row in store.rows(&step.context, &step.rows).await? {
        match row.state {
            ResourceState::Failed(_) => ended.add(row.id, RowEnd::Failed),
            state if state.is_target(Goal::Apply) => {}
            _ => open.push(row),
        }
    }
    let digests: Vec<String> = open.iter().map(|row| row.digest.clone()).collect();
    let manifests = job.shared.manifests(&digests).await?;
    let installation = job.shared.installation().await?.to_owned();
    let since = Instant::now();
    let prepared: Vec<_> = stream::iter(open)
        .map(|row| {
            let manifest = manifests.get(&row.digest).cloned();
            let installation = installation.as_str();
            async move {
                let prepared = prepare_row(job, &row, manifest.as_deref(), installation).await;
                (row, prepared)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut items = Vec::new();
    for (row, prepared) in prepared {
        match prepared? {
            Prepared::Ready(item) => items.push(*item),
            Prepared::Lost(error) => lost(job, &row, &error, since, ended).await?,
            judged => {
                record_unsent(job, Goal::Apply, &[row.id], ended, |row| {
                    unsent(job, &judged, row)
                })
                .await?
            }
        }
    }
    items.sort_by_key(|item| item.row);
    Ok(items)
}

/// A question asked beforehand got no answer: the row waits with its cluster, or retries.
pub async fn lost(
    job: &Job,
    row: &Row,
    error: &NetError,
    since: Instant,
    ended: &mut Ended,
) -> Result<(), StoreError> {
    match job.cluster.still_answers(since).await {
        Err(NotReady::Store(error)) => Err(error),
        Err(NotReady::Parked(_)) => {
            ended.add(row.id, RowEnd::Unreachable);
            Ok(())
        }
        Ok(_) => {
            let verdict = Verdict::Transient {
                failure: error.failure(),
                after: None,
            };
            let judged = Prepared::Judged(verdict);
            record_unsent(job, row.goal, &[row.id], ended, |row| {
                unsent(job, &judged, row)
            })
            .await
        }
    }
}

async fn prepare_row(
    job: &Job,
    row: &Row,
    manifest: Option<&str>,
    installation: &str,
) -> Result<Prepared, StoreError> {
    let Some(mut object) = manifest.and_then(|text| serde_json::from_str::<Value>(text).ok())
    else {
        let failure = judge::failure("manifestMissing", "the manifest is not in the store");
        return Ok(Prepared::Judged(Verdict::Final(failure)));
    };
    let api = match resolve(job, row).await? {
        Ok(api) => api,
        Err(prepared) => return Ok(prepared),
    };
    let namespace = match scoped(job, row, &api).await? {
        Ok(namespace) => namespace,
        Err(prepared) => return Ok(prepared),
    };
    put_namespace(&mut object, &namespace);
    stamp(&mut object, &row.context, installation, &row.app);
    let shared = match row.class {
        Class::Own => None,
        Class::Shared => match shared_seen(job, row, &api, installation).await {
            Ok(seen) => {
                record_shared(job, row, &seen).await?;
                Some(seen)
            }
            Err(prepared) => return Ok(prepared),
        },
    };
    let (manager, force) = match row.class {
        Class::Shared => ("muster".to_owned(), false),
        Class::Own => (
            format!("muster-{}", row.context),
            job.policy.force_conflicts,
        ),
    };
    Ok(Prepared::Ready(Box::new(ApplyItem {
        row: row.id,
        api,
        namespace,
        name: row.key.name.clone(),
        object: Arc::new(object),
        manager,
        force,
        shared,
        uid: None,
    })))
}

/// The path of a row's kind, or why it cannot be sent.
async fn resolve(job: &Job, row: &Row) -> Result<Result<Api, Prepared>, StoreError> {
    let key = &row.key;
    match job
        .link
        .discovery
        .resolve(&job.link, &key.group, &row.version, &key.kind, job.timeout)
        .await
    {
        Ok(api) => Ok(Ok(api)),
        Err(NoApi::Net(error)) => Ok(Err(Prepared::Lost(error))),
        Err(NoApi::Answer(answer)) => Ok(Err(Prepared::Judged(judge::read(&answer, row.goal)))),
        Err(NoApi::NoMatch) => {
            // A CRD of this context may be on its way: then its kind appears in a moment.
            let suffix = format!(".{}", key.group);
            let planned = brings(job, &key.cluster, "CustomResourceDefinition", |name| {
                name.ends_with(&suffix)
            })
            .await?;
            Ok(Err(Prepared::Judged(judge::unknown_kind(
                Goal::Apply,
                planned,
            ))))
        }
    }
}

/// Whether the context has an object of a kind and name on the cluster.
pub async fn brings(
    job: &Job,
    cluster: &ClusterId,
    kind: &str,
    named: impl Fn(&str) -> bool,
) -> Result<bool, StoreError> {
    let filter = RowFilter {
        cluster: Some(cluster.clone()),
        ..RowFilter::default()
    };
    let mut after = None;
    loop {
        let rows = job
            .shared
            .store
            .status_rows(&job.step.context, &filter, after, PAGE)
            .await?;
        let found = rows
            .iter()
            .any(|row| row.key.kind == kind && named(&row.key.name));
        match rows.last() {
            _ if found => return Ok(true),
            Some(last) if u64::try_from(rows.len()).unwrap_or(0) >= PAGE => after = Some(last.id),
            _ => return Ok(false),
        }
    }
}

/// The namespace a row is in, once discovery knows its kind's scope; the row is corrected. `Err`
/// if another context holds the object that it really is.
async fn scoped(job: &Job, row: &Row, api: &Api) -> Result<Result<String, Prepared>, StoreError> {
    let namespace = &row.key.namespace;
    let right = match (api.namespaced, namespace.is_empty()) {
        (true, false) | (false, true) => return Ok(Ok(namespace.clone())),
        (false, false) => String::new(),
        (true, true) => {
            let context = job
                .shared
                .context(&job.step.context, job.step.fence)
                .await?;
            job.shared.store.dig(&context.dig).await?.doc.namespace
        }
    };
    let step = &job.step;
    match job
        .shared
        .store
        .correct_scope(&step.context, step.fence, row.id, &right)
        .await
    {
        Ok(()) => Ok(Ok(right)),
        Err(StoreError::Refused { object, cause, .. }) => {
            let failure = judge::failure("foreign", &format!("{object}: {cause}"));
            Ok(Err(Prepared::Judged(Verdict::Final(failure))))
        }
        Err(error) => Err(error),
    }
}

/// Sets or removes `metadata.namespace`, as the kind's scope wants it.
fn put_namespace(object: &mut Value, namespace: &str) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    if namespace.is_empty() {
        metadata.remove("namespace");
    } else {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
}

/// Looks for a Namespace or CRD before it is applied.
async fn shared_seen(
    job: &Job,
    row: &Row,
    api: &Api,
    installation: &str,
) -> Result<SharedSeen, Prepared> {
    let request = request::get_metadata(api, "", &row.key.name)
        .map_err(|error| Prepared::Judged(Verdict::Final(judge::invalid(error.to_string()))))?;
    let answer = job
        .link
        .ask(request, job.timeout)
        .await
        .map_err(Prepared::Lost)?;
    Ok(match Sight::of(&answer) {
        Sight::Absent => SharedSeen::Absent,
        Sight::There(meta) if meta.deleting => SharedSeen::Terminating,
        Sight::There(meta) if meta.of_installation(installation) => {
            SharedSeen::Ours { uid: meta.uid }
        }
        Sight::There(meta) => SharedSeen::Foreign { uid: meta.uid },
        Sight::Nothing => {
            job.link.discovery.doubt(&api.group, &answer);
            return Err(Prepared::Judged(judge::read(&answer, row.goal)));
        }
    })
}

/// What was found stands in the row: at the end it says whose the object is.
async fn record_shared(job: &Job, row: &Row, seen: &SharedSeen) -> Result<(), StoreError> {
    let (uid, ours) = match seen {
        SharedSeen::Ours { uid } => (uid, true),
        SharedSeen::Foreign { uid } => (uid, false),
        SharedSeen::Absent | SharedSeen::Terminating => return Ok(()),
    };
    let found = Found {
        row: row.id,
        uid: uid.clone(),
        ours,
        managers: String::new(),
    };
    job.shared
        .store
        .record_look(&job.step.context, job.step.fence, vec![found])
        .await
}

/// The paths of rows' kinds, for reads: kinds that are not served are left out.
pub async fn apis<'a>(
    job: &Job,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<HashMap<(String, String, String), Api>, NoApi> {
    let mut apis = HashMap::new();
    for row in rows {
        let gvk = (
            row.key.group.clone(),
            row.version.clone(),
            row.key.kind.clone(),
        );
        if apis.contains_key(&gvk) {
            continue;
        }
        let discovery = &job.link.discovery;
        let (link, within) = (&job.link, job.timeout);
        let found = match row.goal {
            Goal::Apply => {
                discovery
                    .resolve(link, &gvk.0, &gvk.1, &gvk.2, within)
                    .await
            }
            Goal::Delete => {
                discovery
                    .resolve_any(link, &gvk.0, &gvk.1, &gvk.2, within)
                    .await
            }
        };
        match found {
            Ok(api) => {
                apis.insert(gvk, api);
            }
            Err(NoApi::NoMatch) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(apis)
}

#[cfg(test)]
mod tests {
    use super::put_namespace;
    use serde_json::json;

    #[test]
    fn the_namespace_follows_the_scope() {
        let mut object = json!({"metadata": {"name": "a", "namespace": "old"}});
        put_namespace(&mut object, "shop");
        assert_eq!(object["metadata"]["namespace"], "shop");
        put_namespace(&mut object, "");
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}
