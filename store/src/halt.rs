//! Stop, FailFast, and Retry: nothing more is sent under the present goal, and going on from there.
//!
//! Each takes a new fence, so that it is effective on all workers at once: nothing opened before
//! leaves later than W, and nothing is opened after. What is in flight is recorded as what it is.
//! Why the rows wait stands in the context alone and is read through it, so that halting a large
//! context writes one row.

use crate::{
    Accepted, RequestMeta, Result, Store, chunks,
    heads::{self, DigHead, Head, Lock},
    log::{self, Line},
    requests,
    sql::{self, args, transact},
    verbs,
};
use model::{
    document::OnFailure,
    failure::Failure,
    ids::DigRef,
    row::Row,
    state::{ContextState, DigEvent, Goal, ResourceState, context},
};
use sea_orm::ConnectionTrait;

/// What the rows of a stopped context wait for.
const STOPPED: &str = "retry or terminate: it was stopped";

impl Store {
    /// Accepts Stop: the context has failed from now on, nothing is compensated or deleted.
    pub async fn accept_stop(&self, id: &DigRef, meta: &RequestMeta) -> Result<Accepted> {
        self.turn(id, DigEvent::Stop, Some(STOPPED), meta).await
    }

    /// Accepts Retry: rows that are not in the target state are driven again, anew.
    pub async fn accept_retry(&self, id: &DigRef, meta: &RequestMeta) -> Result<Accepted> {
        self.turn(id, DigEvent::Retry, None, meta).await
    }

    async fn turn(
        &self,
        id: &DigRef,
        verb: DigEvent,
        halted: Option<&str>,
        meta: &RequestMeta,
    ) -> Result<Accepted> {
        transact!(self, tx, {
            if let Some(answer) = requests::reserve(&tx, meta).await? {
                return Ok(answer);
            }
            let dig = heads::known_dig(&tx, id, Lock::Update).await?;
            turn(&tx, &dig, verb, halted, meta).await
        })
    }
}

async fn turn<C: ConnectionTrait>(
    db: &C,
    dig: &DigHead,
    verb: DigEvent,
    halted: Option<&str>,
    meta: &RequestMeta,
) -> Result<Accepted> {
    let state = verbs::fire(dig, verb)?;
    let (Some(mut head), Some(event)) = (dig.context.clone(), verb.context_event()) else {
        return Err(dig.refused(verb.verb()));
    };
    let from = head.state;
    let Ok(Some(to)) = context::next(Some(from), event) else {
        return Err(dig.refused(verb.verb()));
    };
    head.state = to;
    head.fence = sql::next_fence(db).await?;
    head.wanted = head.fence;
    sql::run(
        db,
        "UPDATE context SET state = $2, fence = $3, wanted = $3, changed_ms = now_ms(), \
         blocked_by = NULL, halted = $4, anew = NULL WHERE id = $1",
        args![
            head.id.0.clone(),
            head.state.as_str(),
            head.fence,
            halted.map(str::to_owned)
        ],
    )
    .await?;
    verbs::write(db, dig, state, dig.pending, None).await?;
    let context = Some((&head.id, head.revision));
    log::act(db, dig.id, state, verb, context, meta).await?;
    let answer = verbs::accepted(dig, state, &head, head.fence, true);
    requests::keep(db, meta, &answer).await?;
    let lines = [
        log::of_dig(dig, Some(dig.state), state, verb, meta),
        verbs::verb_line(&head, Some(from), event, meta),
    ];
    log::append(db, &lines).await?;
    if halted.is_none() {
        chunks::anew(db, &head).await?;
    }
    Ok(answer)
}

/// A row has failed for good. If its context fails fast, nothing more is sent from now on: answers
/// the new fence and a line for the log. The context is locked for update.
pub(crate) async fn fail_fast<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    row: &Row,
) -> Result<Option<(i64, Line)>> {
    let first = head.policy.on_failure == OnFailure::FailFast
        && head.state == ContextState::Instantiating
        && head.halted.is_none()
        && row.state == ResourceState::Failed(Goal::Apply);
    if !first {
        return Ok(None);
    }
    let place = match row.key.namespace.as_str() {
        "" => String::new(),
        namespace => format!("{namespace}/"),
    };
    let why = format!(
        "retry or terminate: {} {place}{} on {} failed (onFailure: FailFast)",
        row.key.kind, row.key.name, row.key.cluster
    );
    let fence = sql::next_fence(db).await?;
    sql::run(
        db,
        "UPDATE context SET fence = $2, halted = $3 WHERE id = $1",
        args![head.id.0.clone(), fence, why.clone()],
    )
    .await?;
    let line = Line {
        failure: Some(Failure::new("failFast", why)),
        ..Line::of_context(head, Some(head.state), head.state, "Waits")
    };
    Ok(Some((fence, line)))
}
