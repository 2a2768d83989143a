//! Delete of rows (protocol §6): nothing goes that is not ours, and nothing is called Deleted
//! that may come back.

mod items;
pub mod snapshot;

use crate::{
    attempts::{Finish, Job, Turn, drive},
    clusters::{
        answer::{Answer, NetError},
        pool::Slot,
    },
    judge::{self, Verdict},
    object::{Meta, Sight},
    release,
    request::{self, Api},
    step::{Ended, RowEnd, millis},
};
use items::{DeleteItem, list_many, prepare};
use model::{
    failure::Certainty,
    plan::Class,
    row::Row,
    state::{Goal, ResourceState},
};
use std::{sync::Arc, time::Duration};
use store::{Closed, Release, StoreError};
use tokio::time::Instant;

/// Requests of one delete attempt, one after the other: GET, DELETE, and both once more.
const REQUESTS: u32 = 4;

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
    list_many(job, &mut items).await;
    drive(job, Goal::Delete, REQUESTS, items, &mut ended, one).await?;
    Ok(ended)
}

async fn one(job: Arc<Job>, turn: Turn<DeleteItem>) -> Finish<DeleteItem> {
    let Turn {
        mut item,
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
        return gone(late);
    };
    let namespace = if api.namespaced {
        row.key.namespace.clone()
    } else {
        String::new()
    };
    // A second round when the object was replaced between GET and DELETE.
    for _ in 0..2 {
        let listed = item.seen.take();
        // What a list showed some time ago goes only if it is still as it was seen.
        let version = listed
            .as_ref()
            .map(|meta| meta.version.clone())
            .filter(|version| !version.is_empty());
        let read = match listed {
            Some(meta) => Get::There(meta),
            None => get(&job, &mut slot, &api, &namespace, &row).await,
        };
        let meta = match read {
            Get::There(meta) => meta,
            Get::Absent => return gone(late),
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
                meta.uid,
                "its keep annotation".to_owned(),
            )
            .await;
        }
        if meta.deleting {
            return deleting(&meta);
        }
        if row.class == Class::Shared {
            // The lists take slots of their own: with this one held, enough such rows would wait
            // for each other.
            drop(slot);
            let content = release::foreign_content(&job, &row).await;
            let since = Instant::now();
            slot = match job.link.slot(job.timeout).await {
                Ok(slot) => slot,
                Err(error) => return job.lost(&error, since, &row, item).await,
            };
            match content {
                release::Content::None => {}
                release::Content::Foreign(why) => {
                    return release::keep(&job, &mut slot, &api, &row, meta.uid, why).await;
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
        let built = request::delete(
            &api,
            &namespace,
            &row.key.name,
            &meta.uid,
            version.as_deref(),
        );
        let request = match built {
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
            Ok(answer) if answer.absent() => return gone(late).with_uid(meta.uid),
            Ok(answer) if answer.ok() => {
                return match remains(&answer) {
                    Remains::Object(left) => deleting(&left),
                    Remains::Nothing => gone(late).with_uid(meta.uid),
                    Remains::Unknown => {
                        judged(&job, &row, judge::read(&answer, Goal::Delete)).with_uid(meta.uid)
                    }
                };
            }
            Ok(answer) if answer.code == 404 => {
                job.link.discovery.doubt(&api.group, &answer);
                return judged(&job, &row, judge::read(&answer, Goal::Delete)).with_uid(meta.uid);
            }
            // A precondition failed: look again.
            Ok(answer)
                if answer.code == 409 && (version.is_some() || judge::is_uid_mismatch(&answer)) => {
            }
            Ok(answer) => {
                let mut finish = judged(&job, &row, judge::judge(&answer, Goal::Delete));
                finish.certainty = judge::certainty(&answer);
                return finish.with_uid(meta.uid);
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
    Lost(NetError, Instant),
}

async fn get(job: &Job, slot: &mut Slot, api: &Api, namespace: &str, row: &Row) -> Get {
    let request = match request::get_metadata(api, namespace, &row.key.name) {
        Ok(request) => request,
        Err(error) => return Get::Finish(Box::new(job.refused(judge::invalid(error.to_string())))),
    };
    let since = Instant::now();
    match job.link.send(slot, request, None, job.timeout).await {
        Err(error) => Get::Lost(error, since),
        Ok(answer) => match Sight::of(&answer) {
            Sight::There(meta) => Get::There(meta),
            Sight::Absent => Get::Absent,
            Sight::Nothing => {
                job.link.discovery.doubt(&api.group, &answer);
                let verdict = judge::read(&answer, Goal::Delete);
                Get::Finish(Box::new(judged(job, row, verdict)))
            }
        },
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

/// Absent: Deleted, unless an apply that got lost may still arrive. That is waited for whatever the
/// retry policy says, since nothing is wrong with the cluster.
pub fn gone<I>(late: Duration) -> Finish<I> {
    if late.is_zero() {
        return Finish::end(Certainty::Definite, Closed::Gone, RowEnd::Done);
    }
    let failure = judge::failure("lateRequest", "a lost request may still arrive");
    let closed = Closed::Transient {
        failure: failure.clone(),
        delay_ms: millis(late),
    };
    Finish::end(
        Certainty::Definite,
        closed,
        RowEnd::Retry {
            failure,
            delay: late,
        },
    )
}

fn deleting<I>(meta: &Meta) -> Finish<I> {
    let closed = Closed::Deleting {
        blocked_by: meta.waits_for(),
    };
    Finish::end(Certainty::Definite, closed, RowEnd::Waiting).with_uid(meta.uid.clone())
}

/// What a successful DELETE left.
#[derive(Debug)]
pub enum Remains {
    /// The object, on its way out.
    Object(Meta),
    Nothing,
    /// The answer is no API server's.
    Unknown,
}

pub fn remains(answer: &Answer) -> Remains {
    match Meta::read(&answer.body) {
        Some(meta) if meta.deleting || !meta.finalizers.is_empty() => Remains::Object(meta),
        Some(_) => Remains::Nothing,
        None => {
            let status = answer.json();
            match status["kind"] == "Status" && status["status"] == "Success" {
                true => Remains::Nothing,
                false => Remains::Unknown,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Remains, remains};
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
                "Nothing",
            ),
            (meta(json!({})), "Nothing"),
            (json!(null), "Unknown"),
            (json!({"kind": "Status", "status": "Failure"}), "Unknown"),
            (json!({"ok": true}), "Unknown"),
            (
                meta(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"})),
                "Object",
            ),
            (
                meta(
                    json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["foregroundDeletion"]}),
                ),
                "Object",
            ),
        ];
        for (body, left) in cases {
            let answer = Answer {
                code: 200,
                retry_after: None,
                body: body.to_string().into(),
            };
            let found = match remains(&answer) {
                Remains::Object(_) => "Object",
                Remains::Nothing => "Nothing",
                Remains::Unknown => "Unknown",
            };
            assert_eq!(found, left, "{body}");
        }
    }
}
