//! Delete of rows (protocol §6): nothing goes that is not ours, and nothing is called Deleted
//! that may come back.

use crate::{
    attempts::{Finish, Item, Job, Turn, drive},
    clusters::{answer::Answer, discovery::NoApi, pool::Slot},
    judge::{self, Verdict},
    object::Meta,
    prepare::lost,
    release,
    request::{self, Api},
    step::{Ended, RowEnd},
};
use model::{
    failure::Certainty,
    ids::RowId,
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use store::{Closed, Release, StoreError};
use tokio::time::Instant;

/// Requests of one delete attempt, one after the other: GET, DELETE, and both once more.
const REQUESTS: u32 = 4;

/// One row to be deleted.
struct DeleteItem {
    row: RowId,
    /// `None`: the cluster does not serve the kind, so the object cannot be there.
    api: Option<Api>,
    /// For shared kinds: this context is the last one and Muster created it.
    release: Option<Release>,
}

impl Item for DeleteItem {
    fn row(&self) -> RowId {
        self.row
    }
}

/// Deletes the rows of a step.
pub async fn delete(job: &Arc<Job>) -> Result<Ended, StoreError> {
    let mut ended = Ended::default();
    let step = &job.step;
    let store = &job.shared.store;
    let mut rows = store.rows(&step.context, &step.rows).await?;
    rows.retain(|row| match row.state {
        ResourceState::Failed(_) => {
            ended.add(row.id, RowEnd::Failed);
            false
        }
        state => !state.is_target(Goal::Delete),
    });
    if rows.iter().any(|row| row.class == Class::Shared)
        && !store.others_deleted(&step.context, &step.cluster).await?
    {
        rows.retain(|row| {
            let shared = row.class == Class::Shared;
            if shared {
                ended.add(row.id, RowEnd::Left);
            }
            !shared
        });
    }
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        if let Some(item) = prepare(job, row, &mut ended).await? {
            items.push(item);
        }
        if ended.outcome.superseded {
            return Ok(ended);
        }
    }
    drive(job, Goal::Delete, REQUESTS, items, &mut ended, one).await?;
    Ok(ended)
}

async fn prepare(job: &Job, row: Row, ended: &mut Ended) -> Result<Option<DeleteItem>, StoreError> {
    let key = &row.key;
    let since = Instant::now();
    let api = match job
        .link
        .discovery
        .resolve(&job.link, &key.group, &row.version, &key.kind, job.timeout)
        .await
    {
        Ok(api) => Some(api),
        Err(NoApi::NoMatch) => None,
        Err(NoApi::Net(error)) => {
            lost(job, &row, &error, since, ended).await?;
            return Ok(None);
        }
        Err(NoApi::Answer(answer)) => {
            let judged = crate::prepare::Prepared::Judged(judge::judge(&answer, Goal::Delete));
            let unsent = |row: &Row| crate::apply::unsent(job, &judged, row);
            crate::attempts::record_unsent(job, Goal::Delete, &[row.id], ended, unsent).await?;
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
        api,
        release,
    }))
}

async fn one(job: Arc<Job>, turn: Turn<DeleteItem>) -> Finish<DeleteItem> {
    let Turn {
        item,
        row,
        late,
        mut slot,
        ..
    } = turn;
    let kept = |why: String| Finish::end(Certainty::Definite, Closed::Kept(why), RowEnd::Done);
    match &item.release {
        Some(Release::StillUsed { by }) => return kept(format!("still used by {by}")),
        Some(Release::NotOurs) => return kept("it was there before".to_owned()),
        Some(Release::Delete | Release::Superseded) | None => {}
    }
    let Some(api) = item.api.clone() else {
        return gone(&job, &row, late);
    };
    let namespace = if api.namespaced {
        row.key.namespace.clone()
    } else {
        String::new()
    };
    // A second round when the object was replaced between GET and DELETE.
    for _ in 0..2 {
        let meta = match get(&job, &mut slot, &api, &namespace, &row).await {
            Get::There(meta) => meta,
            Get::Absent => return gone(&job, &row, late),
            Get::Finish(finish) => return *finish,
            Get::Lost(error, since) => {
                drop(slot);
                // A GET has no effect, whether it arrived or not.
                let mut finish = job.lost(&error, since, &row, item).await;
                finish.certainty = if finish.certainty == Certainty::Ambiguous {
                    Certainty::Definite
                } else {
                    finish.certainty
                };
                return finish;
            }
        };
        let ours = match row.class {
            Class::Own => meta.of_context(&row.context),
            Class::Shared => match job.shared.installation().await {
                Ok(installation) => meta.of_installation(installation),
                Err(_) => {
                    return Finish::end(
                        Certainty::Definite,
                        Closed::NotSent,
                        RowEnd::Again(Duration::from_secs(1)),
                    );
                }
            },
        };
        if !ours {
            return kept(format!("foreign, managed by {}", meta.managed_by()));
        }
        if row.keep {
            return release::keep(
                &job,
                &mut slot,
                &api,
                &row,
                "its keep annotation".to_owned(),
            )
            .await;
        }
        if meta.deleting {
            return deleting(&meta);
        }
        if row.class == Class::Shared {
            match release::foreign_content(&job, &row).await {
                release::Content::None => {}
                release::Content::Foreign(why) => {
                    return release::keep(&job, &mut slot, &api, &row, why).await;
                }
                release::Content::Unknown(verdict) => return judged(&job, &row, verdict),
                release::Content::Lost(error, since) => {
                    drop(slot);
                    let mut finish = job.lost(&error, since, &row, item).await;
                    finish.certainty = Certainty::Definite;
                    return finish;
                }
            }
        }
        let request = match request::delete(&api, &namespace, &row.key.name, &meta.uid) {
            Ok(request) => request,
            Err(error) => return job.refused(judge::invalid(error.to_string())),
        };
        let since = Instant::now();
        // No window here: a late delete can only hit the very object that was to go.
        match job.link.send(&mut slot, request, None, job.timeout).await {
            Err(error) => {
                drop(slot);
                return job.lost(&error, since, &row, item).await.with_uid(meta.uid);
            }
            Ok(answer) if answer.code == 404 => return gone(&job, &row, late).with_uid(meta.uid),
            Ok(answer) if answer.ok() => {
                return match remains(&answer) {
                    Some(left) => deleting(&left),
                    None => gone(&job, &row, late).with_uid(meta.uid),
                };
            }
            // The uid precondition failed: look again.
            Ok(answer) if answer.code == 409 && judge::is_uid_mismatch(&answer) => {}
            Ok(answer) => {
                return judged(&job, &row, judge::judge(&answer, Goal::Delete)).with_uid(meta.uid);
            }
        }
    }
    job.transient(
        Certainty::Definite,
        &row,
        judge::failure("conflict", "the object was replaced while it was deleted"),
        None,
    )
}

enum Get {
    There(Meta),
    Absent,
    Finish(Box<Finish<DeleteItem>>),
    Lost(crate::clusters::answer::NetError, Instant),
}

async fn get(job: &Job, slot: &mut Slot, api: &Api, namespace: &str, row: &Row) -> Get {
    let request = match request::get_metadata(api, namespace, &row.key.name) {
        Ok(request) => request,
        Err(error) => return Get::Finish(Box::new(job.refused(judge::invalid(error.to_string())))),
    };
    let since = Instant::now();
    match job.link.send(slot, request, None, job.timeout).await {
        Err(error) => Get::Lost(error, since),
        Ok(answer) if answer.code == 404 => Get::Absent,
        Ok(answer) if answer.ok() => Meta::read(&answer.json()).map_or(Get::Absent, Get::There),
        Ok(answer) => Get::Finish(Box::new(judged(
            job,
            row,
            judge::judge(&answer, Goal::Delete),
        ))),
    }
}

fn judged<I>(job: &Job, row: &Row, verdict: Verdict) -> Finish<I> {
    match verdict {
        Verdict::Transient { failure, after } => {
            job.transient(Certainty::Definite, row, failure, after)
        }
        Verdict::Final(failure) => job.refused(failure),
    }
}

/// Absent: Deleted, unless an apply that got lost may still arrive.
pub fn gone<I>(job: &Job, row: &Row, late: Duration) -> Finish<I> {
    if late.is_zero() {
        return Finish::end(Certainty::Definite, Closed::Gone, RowEnd::Done);
    }
    job.transient(
        Certainty::Definite,
        row,
        judge::failure("lateRequest", "a lost request may still arrive"),
        Some(late),
    )
}

fn deleting<I>(meta: &Meta) -> Finish<I> {
    let closed = Closed::Deleting {
        blocked_by: meta.waits_for(),
    };
    Finish::end(Certainty::Definite, closed, RowEnd::Waiting).with_uid(meta.uid.clone())
}

/// What a successful DELETE left: the object with a deletionTimestamp, or nothing.
fn remains(answer: &Answer) -> Option<Meta> {
    let body: Value = answer.json();
    if body["kind"] == "Status" {
        return None;
    }
    Meta::read(&body).filter(|meta| meta.deleting || !meta.finalizers.is_empty())
}

#[cfg(test)]
mod tests {
    use super::remains;
    use crate::clusters::answer::Answer;
    use serde_json::{Value, json};

    #[test]
    fn a_delete_answer_says_whether_the_object_is_gone() {
        let meta = |extra: Value| {
            let mut meta = json!({"name": "a", "uid": "u"});
            meta.as_object_mut()
                .into_iter()
                .for_each(|m| m.extend(extra.as_object().cloned().unwrap_or_default()));
            json!({"kind": "ConfigMap", "metadata": meta})
        };
        let cases = [
            (
                json!({"kind": "Status", "status": "Success", "details": {"uid": "u"}}),
                false,
            ),
            (meta(json!({})), false),
            (
                meta(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
                true,
            ),
            (
                meta(
                    json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}),
                ),
                true,
            ),
        ];
        for (body, left) in cases {
            let answer = Answer {
                code: 200,
                retry_after: None,
                body: body.to_string().into(),
            };
            assert_eq!(remains(&answer).is_some(), left, "{body}");
        }
    }
}
