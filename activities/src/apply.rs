//! Server-side apply of rows (protocol §5).

use crate::{
    attempts::{Finish, Item, Job, Next, Turn, drive},
    clusters::answer::Answer,
    established, failpoint,
    judge::{self, Verdict},
    object::{Meta, Sight},
    prepare::{self, Prepared},
    request::{self, Api},
    step::{Ended, RowEnd},
};
use model::{failure::Certainty, ids::RowId, row::Row, state::Goal};
use serde_json::Value;
use std::sync::Arc;
use store::{Closed, StoreError};
use tokio::time::Instant;

/// One row to be applied.
pub struct ApplyItem {
    pub row: RowId,
    pub api: Api,
    pub namespace: String,
    pub name: String,
    /// The object with our labels, without a uid.
    pub object: Arc<Value>,
    pub manager: String,
    pub force: bool,
    /// For Namespaces and CRDs: what was found before.
    pub shared: Option<SharedSeen>,
    /// Set when a look after a uid mismatch knows better than the row.
    pub uid: Option<Option<String>>,
}

/// A Namespace or CRD before it is applied (protocol §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedSeen {
    Absent,
    /// With our installation's label: shared, applied once.
    Ours {
        uid: String,
    },
    /// Without it: used as it is.
    Foreign {
        uid: String,
    },
    /// It is being deleted.
    Terminating,
}

impl Item for ApplyItem {
    fn row(&self) -> RowId {
        self.row
    }
}

/// Applies the rows of a step.
pub async fn apply(job: &Arc<Job>) -> Result<Ended, StoreError> {
    let mut ended = Ended::default();
    let items = prepare::prepare(job, &mut ended).await?;
    drive(job, Goal::Apply, 1, items, &mut ended, one).await?;
    Ok(ended)
}

async fn one(job: Arc<Job>, turn: Turn<ApplyItem>) -> Finish<ApplyItem> {
    let Turn {
        item,
        row,
        window,
        mut slot,
        ..
    } = turn;
    if !matches!(&item.shared, Some(SharedSeen::Absent) | None) {
        // What is there is not sent; whatever is asked about it takes a slot of its own.
        drop(slot);
        return found(&job, &item, &row).await;
    }
    let uid = item.uid.clone().unwrap_or_else(|| row.uid.clone());
    let built = match &uid {
        None => request::apply(
            &item.api,
            &item.namespace,
            &item.name,
            &item.manager,
            item.force,
            &item.object,
        ),
        Some(uid) => {
            let mut object = Value::clone(&item.object);
            object["metadata"]["uid"] = Value::String(uid.clone());
            request::apply(
                &item.api,
                &item.namespace,
                &item.name,
                &item.manager,
                item.force,
                &object,
            )
        }
    };
    let request = match built {
        Ok(request) => request,
        Err(error) => return job.refused(judge::invalid(error.to_string())),
    };
    failpoint::before_send(&row.key).await;
    let since = Instant::now();
    let answer = match job
        .link
        .send(&mut slot, request, Some(window), job.timeout)
        .await
    {
        Ok(answer) => answer,
        Err(error) => {
            drop(slot);
            return job.lost(&error, since, &row, item).await;
        }
    };
    if answer.ok() {
        drop(slot);
        return accepted(&job, &item, &row, &answer).await;
    }
    if uid.is_some() && judge::is_uid_mismatch(&answer) {
        return look_again(&job, &mut slot, item, &row).await;
    }
    match judge::judge(&answer, Goal::Apply) {
        Verdict::Transient { failure, after } => {
            if failure.code == "noSuchKind" {
                job.link.discovery.forget(&item.api.group);
            }
            job.transient(judge::certainty(&answer), &row, failure, after)
        }
        // The namespace is this context's own: it was there when its row was applied, and comes back.
        Verdict::Final(failure)
            if failure.code == "namespaceNotFound" && brings_namespace(&job, &row).await =>
        {
            job.transient(Certainty::Definite, &row, failure, None)
        }
        Verdict::Final(failure) => job.refused(failure),
    }
}

/// A Namespace or CRD that is there already.
async fn found(job: &Job, item: &ApplyItem, row: &Row) -> Finish<ApplyItem> {
    match &item.shared {
        Some(SharedSeen::Ours { uid }) => {
            settled(job, item, row, Closed::Applied, uid.clone()).await
        }
        Some(SharedSeen::Foreign { uid }) => {
            settled(job, item, row, Closed::Used, uid.clone()).await
        }
        Some(SharedSeen::Terminating | SharedSeen::Absent) | None => {
            job.transient(Certainty::NotSent, row, judge::terminating(&row.key), None)
        }
    }
}

async fn brings_namespace(job: &Job, row: &Row) -> bool {
    let named = |name: &str| name == row.key.namespace;
    prepare::brings(job, &row.key.cluster, "Namespace", named)
        .await
        .unwrap_or(true)
}

/// 200 or 201: the object is there, unless it is about to go.
async fn accepted(job: &Job, item: &ApplyItem, row: &Row, answer: &Answer) -> Finish<ApplyItem> {
    let Some(meta) = Meta::read(&answer.body) else {
        let failure = judge::failure("serverError", "the answer to an apply carried no object");
        return job.transient(Certainty::Ambiguous, row, failure, None);
    };
    if meta.deleting {
        return job
            .transient(Certainty::Definite, row, judge::terminating(&row.key), None)
            .with_uid(meta.uid);
    }
    settled(job, item, row, Closed::Applied, meta.uid).await
}

/// The object is in place; a CRD counts only once it is Established.
async fn settled(
    job: &Job,
    item: &ApplyItem,
    row: &Row,
    closed: Closed,
    uid: String,
) -> Finish<ApplyItem> {
    if item.api.kind == "CustomResourceDefinition" && item.api.group == "apiextensions.k8s.io" {
        if let Some(group) = item.object["spec"]["group"].as_str() {
            job.link.discovery.forget(group);
        }
        let (api, name) = (&item.api, &item.name);
        let served = established::wait(&job.link, api, name, &item.object, job.timeout).await;
        if let Err(failure) = served {
            return job
                .transient(Certainty::Definite, row, failure, None)
                .with_uid(uid);
        }
    }
    Finish::end(Certainty::Definite, closed, RowEnd::Done).with_uid(uid)
}

/// The object with the uid we knew is not there any more: what is?
async fn look_again(
    job: &Job,
    slot: &mut crate::clusters::pool::Slot,
    mut item: ApplyItem,
    row: &Row,
) -> Finish<ApplyItem> {
    let reopen = |item| Finish {
        certainty: Certainty::Definite,
        closed: Closed::NotSent,
        uid: None,
        next: Next::Reopen(item),
    };
    let request = match request::get_metadata(&item.api, &item.namespace, &item.name) {
        Ok(request) => request,
        Err(error) => return job.refused(judge::invalid(error.to_string())),
    };
    match job.link.send(slot, request, None, job.timeout).await {
        Ok(answer) => match Sight::of(&answer) {
            Sight::Absent => {
                item.uid = Some(None);
                reopen(item)
            }
            Sight::There(meta) if meta.of_context(&row.context) => {
                item.uid = Some(Some(meta.uid));
                reopen(item)
            }
            Sight::There(meta) => job.refused(judge::foreign(&meta)),
            Sight::Nothing => {
                job.link.discovery.doubt(&item.api.group, &answer);
                match judge::read(&answer, Goal::Apply) {
                    Verdict::Transient { failure, after } => {
                        job.transient(Certainty::Definite, row, failure, after)
                    }
                    Verdict::Final(failure) => job.refused(failure),
                }
            }
        },
        Err(error) => job.transient(Certainty::Definite, row, error.failure(), None),
    }
}

/// What became of a row before anything was sent.
pub fn unsent(job: &Job, prepared: &Prepared, row: &Row) -> (Closed, RowEnd) {
    match prepared {
        Prepared::Judged(Verdict::Final(failure)) => {
            (Closed::Refused(failure.clone()), RowEnd::Failed)
        }
        Prepared::Judged(Verdict::Transient { failure, after }) => crate::step::transient(
            row,
            &job.policy,
            failure.clone(),
            *after,
            crate::clusters::clock::wall_ms(),
        ),
        Prepared::Ready(_) | Prepared::Lost(_) => {
            (Closed::NotSent, RowEnd::Again(std::time::Duration::ZERO))
        }
    }
}
