//! What exists before a wave is applied (protocol §5.1): foreign objects are not touched.

use crate::{
    apply::unsent,
    attempts::{Job, record_unsent},
    clusters::{answer::NetError, discovery::NoApi},
    judge::{self, Verdict},
    listing::{Listing, list},
    object::{Meta, Sight},
    prepare::{self, Prepared, lost},
    request::{self, Api},
    step::{Ended, RowEnd, millis},
};
use futures::{StreamExt, stream};
use model::{
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use store::{Found, StoreError};
use tokio::time::Instant;

/// More rows of one kind and namespace than this are looked for with a LIST.
pub const FEW: usize = 8;
/// Reads in flight per step; the cluster's own limit holds besides.
const AT_ONCE: usize = 16;

/// What was seen of a row.
pub enum Seen {
    Absent,
    There(Box<Meta>),
    Answered(Verdict),
    Lost(NetError),
}

/// Looks for the rows of a step and records what is there. Shared kinds are left to `apply`,
/// which looks for them itself.
pub async fn look(job: &Arc<Job>) -> Result<Ended, StoreError> {
    let mut ended = Ended::default();
    let step = &job.step;
    let store = &job.shared.store;
    let mut rows = store.rows(&step.context, &step.rows).await?;
    rows.retain(|row| row.class == Class::Own && !row.state.is_target(Goal::Apply) && !failed(row));
    let since = Instant::now();
    let mut found = Vec::new();
    let mut refused = false;
    for (row, seen) in see(job, rows, None).await {
        match seen {
            Seen::Absent => {}
            Seen::There(meta) if meta.deleting && !meta.of_context(&row.context) => {
                // It goes; whether it was foreign does not matter in a moment.
                again(
                    job,
                    &row,
                    Verdict::Transient {
                        failure: judge::terminating(&row.key),
                        after: None,
                    },
                    &mut ended,
                )
                .await?;
            }
            Seen::There(meta) => {
                let ours = meta.of_context(&row.context);
                refused |= !ours;
                found.push(Found {
                    row: row.id,
                    ours,
                    managers: meta.managed_by(),
                    uid: meta.uid,
                });
            }
            Seen::Answered(verdict) => again(job, &row, verdict, &mut ended).await?,
            Seen::Lost(error) => {
                lost(job, &row, &error, since, &mut ended).await?;
            }
        }
    }
    if !found.is_empty() {
        let numbers: Vec<_> = found.iter().map(|found| found.row).collect();
        store.record_look(&step.context, step.fence, found).await?;
        if refused {
            // The store decides by the policy and by what it knew before.
            let after = store.rows(&step.context, &numbers).await?;
            after
                .iter()
                .filter(|row| failed(row))
                .for_each(|row| ended.add(row.id, RowEnd::Failed));
        }
    }
    Ok(not_promoted(ended))
}

/// A look is repeated as a look: what retries comes back as "again after the delay".
fn not_promoted(mut ended: Ended) -> Ended {
    if let Some((_, delay)) = ended.retry.take() {
        let outcome = &mut ended.outcome;
        outcome.again.append(&mut outcome.retry);
        outcome.again_ms = outcome.again_ms.max(millis(delay));
    }
    ended
}

fn failed(row: &Row) -> bool {
    matches!(row.state, ResourceState::Failed(_))
}

async fn again(
    job: &Job,
    row: &Row,
    verdict: Verdict,
    ended: &mut Ended,
) -> Result<(), StoreError> {
    let judged = Prepared::Judged(verdict);
    record_unsent(job, Goal::Apply, &[row.id], ended, |row| {
        unsent(job, &judged, row)
    })
    .await
}

type Group = (String, String, String, String);

/// Sees rows: a LIST per kind and namespace where there are many, else GETs. With `labels`, lists
/// hold only what carries them, and what they do not hold counts as absent.
pub async fn see(job: &Arc<Job>, rows: Vec<Row>, labels: Option<&str>) -> Vec<(Row, Seen)> {
    let apis = match prepare::apis(job, &rows).await {
        Ok(apis) => apis,
        Err(error) => {
            return rows
                .into_iter()
                .map(|row| {
                    let seen = match &error {
                        NoApi::Net(error) => Seen::Lost(error.clone()),
                        NoApi::Answer(answer) => Seen::Answered(judge::read(answer, row.goal)),
                        NoApi::NoMatch => Seen::Absent,
                    };
                    (row, seen)
                })
                .collect();
        }
    };
    let mut groups: BTreeMap<Group, Vec<Row>> = BTreeMap::new();
    for row in rows {
        let key = &row.key;
        let group = (
            key.group.clone(),
            row.version.clone(),
            key.kind.clone(),
            key.namespace.clone(),
        );
        groups.entry(group).or_default().push(row);
    }
    let mut out = Vec::new();
    for ((group, version, kind, namespace), rows) in groups {
        let Some(api) = apis.get(&(group, version, kind)) else {
            // A kind that is not served has no objects.
            out.extend(rows.into_iter().map(|row| (row, Seen::Absent)));
            continue;
        };
        if rows.len() > FEW {
            out.extend(see_many(job, api, &namespace, rows, labels).await);
        } else {
            let gets = stream::iter(rows).map(|row| async move {
                let seen = see_one(job, api, &row).await;
                (row, seen)
            });
            out.extend(gets.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        }
    }
    out
}

async fn see_one(job: &Job, api: &Api, row: &Row) -> Seen {
    // A namespaced row without a namespace is corrected when it is applied.
    if api.namespaced && row.key.namespace.is_empty() {
        return Seen::Absent;
    }
    let request = match request::get_metadata(api, &row.key.namespace, &row.key.name) {
        Ok(request) => request,
        Err(error) => return Seen::Answered(Verdict::Final(judge::invalid(error.to_string()))),
    };
    match job.link.ask(request, job.timeout).await {
        Err(error) => Seen::Lost(error),
        Ok(answer) => match Sight::of(&answer) {
            Sight::There(meta) => Seen::There(Box::new(meta)),
            Sight::Absent => Seen::Absent,
            Sight::Nothing => {
                job.link.discovery.doubt(&api.group, &answer);
                Seen::Answered(judge::read(&answer, row.goal))
            }
        },
    }
}

async fn see_many(
    job: &Job,
    api: &Api,
    namespace: &str,
    rows: Vec<Row>,
    labels: Option<&str>,
) -> Vec<(Row, Seen)> {
    match list(&job.link, api, namespace, labels, job.timeout).await {
        Listing::Objects(objects) => {
            let mut by_name: HashMap<String, Meta> = objects
                .into_iter()
                .map(|meta| (meta.name.clone(), meta))
                .collect();
            rows.into_iter()
                .map(|row| {
                    let seen = by_name
                        .remove(&row.key.name)
                        .map_or(Seen::Absent, |meta| Seen::There(Box::new(meta)));
                    (row, seen)
                })
                .collect()
        }
        Listing::Answered(answer) => rows
            .into_iter()
            .map(|row| {
                let verdict = judge::read(&answer, row.goal);
                (row, Seen::Answered(verdict))
            })
            .collect(),
        Listing::Lost(error) => rows
            .into_iter()
            .map(|row| (row, Seen::Lost(error.clone())))
            .collect(),
    }
}
