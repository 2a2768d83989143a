//! The end of a Namespace or CRD: it goes only if nothing foreign depends on it (protocol §6).

use crate::{
    attempts::{Finish, Job},
    clusters::{
        answer::{Answer, NetError},
        discovery::NoApi,
        listable::{Unlisted, listable},
        pool::Slot,
    },
    judge::{self, Verdict},
    listing::{Listing, list},
    object::{Meta, foreign},
    request::{self, Api},
    step::RowEnd,
};
use futures::{StreamExt, stream};
use model::{
    failure::{Certainty, Failure},
    manifest::{APP_LABEL, CONTEXT_LABEL, INSTALLATION_LABEL},
    plan::Class,
    row::Row,
    state::Goal,
};
use std::collections::HashSet;
use store::{Closed, RowFilter};
use tokio::time::Instant;

const AT_ONCE: usize = 8;
const PAGE: u64 = 1_000;

/// What a Namespace holds, or a CRD serves, that is not ours.
pub enum Content {
    None,
    /// Kept, and why.
    Foreign(String),
    /// A list was refused: nothing can be said.
    Unknown(Verdict),
    Lost(NetError, Instant),
}

/// Looks for foreign objects that would go with a shared one.
pub async fn foreign_content(job: &Job, row: &Row) -> Content {
    let since = Instant::now();
    let apis = match row.key.kind.as_str() {
        "Namespace" => match listable(&job.link, job.timeout).await {
            Err(Unlisted {
                what,
                why: NoApi::Answer(answer),
            }) => {
                return Content::Unknown(Verdict::Transient {
                    failure: silent(&what, &answer),
                    after: None,
                });
            }
            apis => apis.map_err(|unlisted| unlisted.why),
        },
        _ => {
            let (plural, group) = row
                .key
                .name
                .split_once('.')
                .unwrap_or((row.key.name.as_str(), ""));
            job.link
                .discovery
                .served(&job.link, group, plural, job.timeout)
                .await
                .map(|api| api.into_iter().collect())
        }
    };
    let apis: Vec<Api> = match apis {
        Ok(apis) => apis,
        Err(NoApi::Net(error)) => return Content::Lost(error, since),
        // Whatever the reason: what a group that does not answer holds is not known.
        Err(NoApi::Answer(answer)) => {
            let failure = judge::read(&answer, Goal::Delete).failure().clone();
            return Content::Unknown(Verdict::Transient {
                failure,
                after: None,
            });
        }
        Err(NoApi::NoMatch) => Vec::new(),
    };
    let namespace = if row.key.kind == "Namespace" {
        row.key.name.as_str()
    } else {
        ""
    };
    let lists = stream::iter(apis).map(|api| async move {
        let listing = list(&job.link, &api, namespace, None, job.timeout).await;
        (api, listing)
    });
    let mut lists = lists.buffer_unordered(AT_ONCE);
    let mut objects: Vec<(String, Meta)> = Vec::new();
    while let Some((api, listing)) = lists.next().await {
        match listing {
            Listing::Objects(found) => {
                objects.extend(found.into_iter().map(|meta| (api.kind.clone(), meta)))
            }
            // Kinds that can be named but not listed (405) hold no objects of their own.
            Listing::Answered(answer) if answer.code == 405 => {}
            Listing::Answered(answer) if answer.code == 403 => {
                return Content::Foreign(format!(
                    "{} may not be listed, so it cannot be known whether it is empty",
                    api.plural
                ));
            }
            Listing::Answered(answer) => {
                return Content::Unknown(judge::read(&answer, Goal::Delete));
            }
            Listing::Lost(error) => return Content::Lost(error, since),
        }
    }
    let none = HashSet::new();
    if foreign(&objects, &row.context, &none).is_empty() {
        return Content::None;
    }
    // What our objects own is not foreign either.
    let ours = match uids(job, row).await {
        Ok(ours) => ours,
        Err(error) => {
            let failure = judge::failure("store", &error.to_string());
            return Content::Unknown(Verdict::Transient {
                failure,
                after: None,
            });
        }
    };
    let found = foreign(&objects, &row.context, &ours);
    match found.first() {
        None => Content::None,
        Some((kind, meta)) => {
            let others = match found.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let place = if meta.namespace.is_empty() || !namespace.is_empty() {
                String::new()
            } else {
                format!("{}/", meta.namespace)
            };
            Content::Foreign(format!(
                "foreign content: {kind} {place}{}{others}",
                meta.name
            ))
        }
    }
}

/// A group that the cluster promises and nobody serves. Kubernetes itself does not finish a
/// namespace then.
fn silent(what: &str, answer: &Answer) -> Failure {
    judge::failure(
        "groupSilent",
        &format!(
            "{what} does not say what it serves (HTTP {}), so it cannot be known whether the namespace is empty",
            answer.code
        ),
    )
}

/// Uids of the context's objects on the cluster: owners of what was left behind by them.
async fn uids(job: &Job, row: &Row) -> Result<HashSet<String>, store::StoreError> {
    let filter = RowFilter {
        cluster: Some(row.key.cluster.clone()),
        ..RowFilter::default()
    };
    let mut uids = HashSet::new();
    let mut after = None;
    loop {
        let rows = job
            .shared
            .store
            .status_rows(&row.context, &filter, after, PAGE)
            .await?;
        uids.extend(rows.iter().filter_map(|row| row.uid.clone()));
        match rows.last() {
            Some(last) if u64::try_from(rows.len()).unwrap_or(0) >= PAGE => after = Some(last.id),
            _ => return Ok(uids),
        }
    }
}

/// Takes our labels off an object that stays and closes its row as kept, with its uid: what it
/// owns stays too. Labels of a pod template
/// stay: taking them off would roll the pods.
pub async fn keep<I>(
    job: &Job,
    slot: &mut Slot,
    api: &Api,
    row: &Row,
    uid: String,
    why: String,
) -> Finish<I> {
    let namespace = if api.namespaced {
        row.key.namespace.as_str()
    } else {
        ""
    };
    let labels: &[&str] = match row.class {
        Class::Shared => &[INSTALLATION_LABEL],
        Class::Own => &[INSTALLATION_LABEL, CONTEXT_LABEL, APP_LABEL],
    };
    let request = match request::remove_labels(api, namespace, &row.key.name, labels) {
        Ok(request) => request,
        Err(error) => return job.refused(judge::invalid(error.to_string())),
    };
    let failure = match job.link.send(slot, request, None, job.timeout).await {
        Ok(answer) if answer.ok() || answer.absent() => {
            return Finish::end(Certainty::Definite, Closed::Kept(why), RowEnd::Done).with_uid(uid);
        }
        Ok(answer) => match judge::read(&answer, Goal::Delete) {
            Verdict::Transient { failure, .. } => failure,
            Verdict::Final(failure) => return job.refused(failure),
        },
        Err(error) => error.failure(),
    };
    // The patch may be repeated at will.
    job.transient(Certainty::Definite, row, failure, None)
}
