//! What a delete needs before it is opened: path, claim, and for large steps what is there.

use crate::{
    apply::unsent,
    attempts::{Item, Job, record_unsent},
    clusters::discovery::NoApi,
    delete::snapshot::Place,
    judge,
    listing::{Listing, list},
    look::FEW,
    object::Meta,
    prepare::{Prepared, lost},
    request::Api,
    step::Ended,
};
use model::{ids::RowId, manifest::CONTEXT_LABEL, plan::Class, row::Row, state::Goal};
use std::collections::HashMap;
use store::{Release, StoreError};
use tokio::time::Instant;

/// One row to be deleted.
pub struct DeleteItem {
    pub row: RowId,
    pub namespace: String,
    pub name: String,
    /// `None`: the cluster does not serve the kind, so the object cannot be there.
    pub api: Option<Api>,
    /// For shared kinds: this context is the last one and Muster created it.
    pub release: Option<Release>,
    /// Seen by the list of a large wave. Spares the GET, if the object did not change since.
    pub seen: Option<Meta>,
}

impl Item for DeleteItem {
    fn row(&self) -> RowId {
        self.row
    }
}

/// Finds the path and gives up the claim; `None` when that already decided the row.
pub async fn prepare(
    job: &Job,
    row: Row,
    ended: &mut Ended,
) -> Result<Option<DeleteItem>, StoreError> {
    let key = &row.key;
    let since = Instant::now();
    let api = match job
        .link
        .discovery
        .resolve_any(&job.link, &key.group, &row.version, &key.kind, job.timeout)
        .await
    {
        Ok(api) => Some(api),
        Err(NoApi::NoMatch) => None,
        Err(NoApi::Net(error)) => {
            lost(job, &row, &error, since, ended).await?;
            return Ok(None);
        }
        Err(NoApi::Answer(answer)) => {
            let judged = Prepared::Judged(judge::read(&answer, Goal::Delete));
            let unsent = |row: &Row| unsent(job, &judged, row);
            record_unsent(job, Goal::Delete, &[row.id], ended, unsent).await?;
            return Ok(None);
        }
    };
    let release = match row.class {
        Class::Own => None,
        Class::Shared => match job
            .shared
            .store
            .release_shared(&job.step.context, job.step.fence, row.id)
            .await?
        {
            Release::Superseded => {
                ended.outcome.superseded = true;
                return Ok(None);
            }
            release => Some(release),
        },
    };
    Ok(Some(DeleteItem {
        row: row.id,
        namespace: row.key.namespace,
        name: row.key.name,
        api,
        release,
        seen: None,
    }))
}

/// Where many objects of one kind and namespace are to go, a LIST by our label stands in for their
/// GETs, one for all steps of the wave. What it does not show is looked for one by one.
pub async fn list_many(job: &Job, items: &mut [DeleteItem]) {
    let mut groups: HashMap<(Api, String), Vec<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        if let (Some(api), None) = (&item.api, &item.release) {
            let namespace = if api.namespaced {
                item.namespace.clone()
            } else {
                String::new()
            };
            groups.entry((api.clone(), namespace)).or_default().push(at);
        }
    }
    let labels = format!("{CONTEXT_LABEL}={}", job.step.context);
    for ((api, namespace), members) in groups
        .into_iter()
        .filter(|(_, members)| members.len() > FEW)
    {
        let place = Place {
            context: job.step.context.clone(),
            fence: job.step.fence,
            cluster: job.step.cluster.clone(),
            api: api.clone(),
            namespace: namespace.clone(),
        };
        let names = members.iter().map(|at| items[*at].name.as_str());
        let listed =
            async || match list(&job.link, &api, &namespace, Some(&labels), job.timeout).await {
                Listing::Objects(objects) => Some(objects),
                Listing::Answered(_) | Listing::Lost(_) => None,
            };
        let now = Instant::now();
        let taken = job.shared.snapshots.take(place, names, now, listed);
        let mut seen = taken.await;
        for at in members {
            items[at].seen = seen.remove(&items[at].name);
        }
    }
}
