//! Accepting verbs (protocol §2): one transaction each, decided by the machines on locked rows.

use crate::{
    Accepted, Generations, RequestMeta, Result, Store, StoreError,
    abandon::{self, Abandoning},
    chunks, claims,
    heads::{self, DigHead, Head, Lock},
    log::{self, Line},
    requests,
    sql::{self, Columns, args, transact},
    watched,
};
use model::{
    document::AppRef,
    failure::Failure,
    ids::{ClusterId, ContextId, DigRef, Fence},
    plan::PlanApp,
    state::{ContextEvent, ContextState, DigEvent, DigState, Goal, context, dig},
};
use sea_orm::ConnectionTrait;

impl Store {
    pub async fn approve(&self, id: &DigRef, meta: &RequestMeta) -> Result<Accepted> {
        transact!(self, tx, {
            if let Some(answer) = requests::reserve(&tx, meta).await? {
                return Ok(answer);
            }
            let dig = heads::known_dig(&tx, id, Lock::Update).await?;
            let state = fire(&dig, DigEvent::Approve)?;
            let answer = Accepted {
                dig: id.clone(),
                state,
                context: None,
                fence: None,
                changed: state != dig.state,
            };
            requests::keep(&tx, meta, &answer).await?;
            if answer.changed {
                write(&tx, &dig, state, dig.pending, None).await?;
                log::act(&tx, dig.id, state, DigEvent::Approve, None, meta).await?;
                let line = log::of_dig(&dig, Some(dig.state), state, DigEvent::Approve, meta);
                log::append(&tx, &[line]).await?;
            }
            Ok(answer)
        })
    }

    /// Accepts Instantiate with the staged plan. `rendered_from` = what the plan was rendered from;
    /// if a document moved on since, the answer is `Stale` and the caller renders again.
    pub async fn accept_instantiate(
        &self,
        id: &DigRef,
        context: &ContextId,
        rendered_from: &Generations,
        meta: &RequestMeta,
    ) -> Result<Accepted> {
        transact!(self, tx, {
            if let Some(answer) = requests::reserve(&tx, meta).await? {
                return Ok(answer);
            }
            sql::lock_documents(&tx, false).await?;
            let dig = heads::known_dig(&tx, id, Lock::Update).await?;
            if let Some(known) = dig.context.as_ref().filter(|c| c.id == *context) {
                return Ok(accepted(&dig, dig.state, known, known.wanted, false));
            }
            let state = fire(&dig, DigEvent::Instantiate)?;
            if !current(&tx, &dig, rendered_from).await? {
                return Err(StoreError::Stale(id.to_string()));
            }
            let answer = instantiate(&tx, &dig, state, context, meta).await?;
            requests::keep(&tx, meta, &answer).await?;
            Ok(answer)
        })
    }

    /// Accepts Terminate: PreTerminate if it was Instantiating, else Terminating. A second one
    /// succeeds and changes nothing.
    pub async fn accept_terminate(&self, id: &DigRef, meta: &RequestMeta) -> Result<Accepted> {
        self.accept_abandon(id, &[], meta).await
    }

    /// As [`accept_terminate`](Self::accept_terminate), giving clusters up: what was possibly sent
    /// there goes to the orphan ledger. Also for a terminate that was accepted before.
    pub async fn accept_abandon(
        &self,
        id: &DigRef,
        clusters: &[ClusterId],
        meta: &RequestMeta,
    ) -> Result<Accepted> {
        transact!(self, tx, {
            if let Some(answer) = requests::reserve(&tx, meta).await? {
                return Ok(answer);
            }
            let dig = heads::known_dig(&tx, id, Lock::Update).await?;
            let state = fire(&dig, DigEvent::Terminate)?;
            let Some(head) = dig.context.clone() else {
                return Err(dig.refused(DigEvent::Terminate.verb()));
            };
            let fresh = abandon::fresh(&tx, &head, clusters).await?;
            if dig::terminate_is_repeat(dig.state, Some(head.state)) && fresh.is_empty() {
                let answer = accepted(&dig, state, &head, head.wanted, false);
                requests::keep(&tx, meta, &answer).await?;
                return Ok(answer);
            }
            let answer = terminate(&tx, &dig, state, head, &fresh, meta).await?;
            Ok(answer)
        })
    }
}

/// The DIG's next state by its machine.
pub(crate) fn fire(dig: &DigHead, event: DigEvent) -> Result<DigState> {
    match dig::next(Some(dig.state), dig.context_state(), event) {
        Ok(Some(state)) => Ok(state),
        Ok(None) | Err(_) => Err(dig.refused(event.verb())),
    }
}

pub(crate) fn accepted(
    dig: &DigHead,
    state: DigState,
    head: &Head,
    fence: i64,
    changed: bool,
) -> Accepted {
    Accepted {
        dig: dig.doc.id.clone(),
        state,
        context: Some(head.id.clone()),
        fence: Some(Fence(fence)),
        changed,
    }
}

/// Writes a DIG's state and, when given, its latest context.
pub(crate) async fn write<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    state: DigState,
    pending: bool,
    context: Option<&ContextId>,
) -> Result<()> {
    sql::run(
        db,
        "UPDATE dig SET state = $2, pending = $3, context = COALESCE($4, context) WHERE id = $1",
        args![
            dig.id,
            state.as_str(),
            i64::from(pending),
            context.map(|id| id.0.clone())
        ],
    )
    .await?;
    Ok(())
}

/// Nothing that the plan was rendered from has moved on.
async fn current<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    rendered_from: &Generations,
) -> Result<bool> {
    let AppRef {
        project,
        name,
        version,
    } = dig.doc.app.clone();
    let app = sql::one(
        db,
        "SELECT generation FROM composite_app \
         WHERE project = $1 AND name = $2 AND version = $3",
        args![project, name, version],
    )
    .await?;
    let Some(app) = app else {
        return Ok(false);
    };
    if dig.generation != rendered_from.dig || app.int("generation")? != rendered_from.app {
        return Ok(false);
    }
    let clusters: Vec<_> = rendered_from
        .clusters
        .iter()
        .map(|(id, generation)| serde_json::json!([id, generation]))
        .collect();
    let row = sql::one(
        db,
        "SELECT COUNT(*) AS n FROM json_rows($1; id text, generation int) AS v \
         JOIN cluster c ON c.id = v.id AND c.generation = v.generation",
        args![sql::json_param(&clusters)],
    )
    .await?;
    let known = row.map_or(Ok(0), |row| row.int("n"))?;
    Ok(known == clusters.len() as i64)
}

async fn instantiate<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    state: DigState,
    id: &ContextId,
    meta: &RequestMeta,
) -> Result<Accepted> {
    let staged = sql::one(
        db,
        "SELECT apps FROM staged \
         WHERE context = $1 AND project = $2 AND name = $3 AND complete = 1",
        args![
            id.0.clone(),
            dig.doc.id.project.clone(),
            dig.doc.id.name.clone()
        ],
    )
    .await?;
    let Some(staged) = staged else {
        return Err(StoreError::Stale(dig.doc.id.to_string()));
    };
    let apps: Vec<PlanApp> = staged.json("apps")?;
    let Ok(Some(first)) = context::next(None, ContextEvent::Instantiate) else {
        return Err(dig.refused(DigEvent::Instantiate.verb()));
    };
    let fence = sql::next_fence(db).await?;
    let head = Head {
        id: id.clone(),
        dig: dig.id,
        name: dig.doc.id.clone(),
        revision: 1,
        state: first,
        goal: Goal::Apply,
        fence,
        wanted: fence,
        run_id: None,
        policy: dig.doc.policy.clone(),
        apps,
        started_ms: sql::now_ms(db).await?,
        blocked_by: None,
        halted: None,
    };
    sql::run(
        db,
        "INSERT INTO context (id, dig, project, name, revision, state, goal, fence, wanted, \
         acked, started_ms, changed_ms, policy, apps) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 0, $9, $9, $10, $11)",
        args![
            head.id.0.clone(),
            head.dig,
            head.name.project.clone(),
            head.name.name.clone(),
            head.revision,
            head.state.as_str(),
            head.goal.as_str(),
            head.fence,
            head.started_ms,
            sql::to_json(&head.policy)?,
            sql::to_json(&head.apps)?
        ],
    )
    .await?;
    claims::take(db, id).await?;
    watched::begin(db, &head).await?;
    let sql = "DELETE FROM staged WHERE context = $1";
    sql::run(db, sql, args![id.0.clone()]).await?;
    write(db, dig, state, false, Some(id)).await?;
    let verb = DigEvent::Instantiate;
    let context = Some((id, head.revision));
    log::act(db, dig.id, state, verb, context, meta).await?;
    let lines = [
        log::of_dig(dig, Some(dig.state), state, verb, meta),
        verb_line(&head, None, ContextEvent::Instantiate, meta),
    ];
    log::append(db, &lines).await?;
    chunks::born(db, &head).await?;
    Ok(accepted(dig, state, &head, fence, true))
}

async fn terminate<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    state: DigState,
    mut head: Head,
    given_up: &[ClusterId],
    meta: &RequestMeta,
) -> Result<Accepted> {
    let verb = DigEvent::Terminate;
    let from = head.state;
    // A terminate that is under way goes on as it is, without the clusters that are given up.
    let under_way = dig::terminate_is_repeat(dig.state, Some(from));
    let to = match context::next(Some(from), ContextEvent::Terminate) {
        _ if under_way => from,
        Ok(Some(to)) => to,
        Ok(None) | Err(_) => return Err(dig.refused(verb.verb())),
    };
    head.state = to;
    head.goal = Goal::Delete;
    head.fence = sql::next_fence(db).await?;
    head.wanted = head.fence;
    sql::run(
        db,
        "UPDATE context SET state = $2, goal = $3, fence = $4, wanted = $4, changed_ms = now_ms(), \
         blocked_by = NULL, halted = NULL, anew = NULL WHERE id = $1",
        args![
            head.id.0.clone(),
            head.state.as_str(),
            head.goal.as_str(),
            head.fence
        ],
    )
    .await?;
    let abandoning = Abandoning::begin(db, &head, given_up, meta).await?;
    write(db, dig, state, dig.pending, None).await?;
    let context = Some((&head.id, head.revision));
    log::act(db, dig.id, state, verb, context, meta).await?;
    let answer = accepted(dig, state, &head, head.fence, true);
    requests::keep(db, meta, &answer).await?;
    let mut lines = vec![log::of_dig(dig, Some(dig.state), state, verb, meta)];
    if !under_way {
        let line = verb_line(&head, Some(from), ContextEvent::Terminate, meta);
        lines.push(line);
    }
    for cluster in given_up {
        lines.push(Line {
            actor: Some(meta.actor.clone()),
            request_id: meta.request_id.clone(),
            failure: Some(Failure::new(
                "abandoned",
                format!("cluster {cluster} is given up"),
            )),
            ..Line::of_context(&head, Some(to), to, "Abandon")
        });
    }
    log::append(db, &lines).await?;
    abandoning.end(db, &head, meta).await?;
    if to == ContextState::Terminating && !under_way {
        chunks::terminate(db, &head).await?;
    }
    Ok(answer)
}

pub(crate) fn verb_line(
    head: &Head,
    from: Option<ContextState>,
    event: ContextEvent,
    meta: &RequestMeta,
) -> Line {
    Line {
        actor: Some(meta.actor.clone()),
        request_id: meta.request_id.clone(),
        ..Line::of_context(head, from, head.state, event)
    }
}
