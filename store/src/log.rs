//! The operation log and the action history: append-only.

use crate::{
    Action, EventRow, Pulse, Result, Store,
    heads::{self, DigHead, Head, Lock},
    resources,
    sql::{self, Columns, Part, args},
};
use model::{
    failure::Failure,
    ids::{ContextId, DigRef, RowId},
    state::{DigEvent, DigState},
};
use sea_orm::ConnectionTrait;
use std::collections::HashMap;

/// One line on its way into the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    pub dig: i64,
    pub context: Option<(ContextId, i64)>,
    pub resource: Option<RowId>,
    pub app: Option<String>,
    pub from: Option<String>,
    pub to: String,
    pub event: String,
    pub attempt: Option<i32>,
    pub failure: Option<Failure>,
    pub actor: Option<String>,
    pub request_id: Option<String>,
}

/// Why an object stays where it is, as the log says it.
pub(crate) fn kept(why: &str) -> Failure {
    Failure::new("kept", why)
}

impl Line {
    /// A transition of the context itself.
    pub(crate) fn of_context(
        head: &Head,
        from: Option<impl ToString>,
        to: impl ToString,
        event: impl ToString,
    ) -> Self {
        Self {
            dig: head.dig,
            context: Some((head.id.clone(), head.revision)),
            from: from.map(|state| state.to_string()),
            to: to.to_string(),
            event: event.to_string(),
            ..Self::default()
        }
    }

    fn values(&self) -> impl serde::Serialize {
        (
            self.dig,
            self.context.as_ref().map(|c| &c.0.0),
            self.context.as_ref().map(|c| c.1),
            self.resource,
            &self.app,
            &self.from,
            &self.to,
            &self.event,
            self.attempt,
            self.failure.as_ref().map(|f| &f.code),
            self.failure.as_ref().map(|f| &f.message),
            &self.actor,
            &self.request_id,
        )
    }
}

/// Appends lines; the last thing a transaction does but its own rows.
pub(crate) async fn append<C: ConnectionTrait>(db: &C, lines: &[Line]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    sql::lock_log(db).await?;
    sql::run_parts(db, part(lines).into_iter().collect()).await
}

/// What appends lines, once the log is locked.
pub(crate) fn part(lines: &[Line]) -> Option<Part> {
    if lines.is_empty() {
        return None;
    }
    let rows: Vec<_> = lines.iter().map(Line::values).collect();
    let sql = "INSERT INTO event (dig, time_ms, context, revision, resource, app, from_state, \
         to_state, event, attempt, code, message, actor, request_id) \
         SELECT v.dig, now_ms(), v.context, v.revision, v.resource, v.app, v.from_state, \
         v.to_state, v.event, v.attempt, v.code, v.message, v.actor, v.request_id \
         FROM json_rows($1; dig int, context text, revision int, resource int, app text, \
         from_state text, to_state text, event text, attempt int, code text, message text, \
         actor text, request_id text) AS v";
    Some((sql.to_owned(), args![sql::json_param(&rows)]))
}

/// Appends to the action history of a DIG.
pub(crate) async fn act<C: ConnectionTrait>(
    db: &C,
    dig: i64,
    state: DigState,
    verb: DigEvent,
    context: Option<(&ContextId, i64)>,
    meta: &crate::RequestMeta,
) -> Result<()> {
    sql::run(
        db,
        "INSERT INTO action (dig, state, verb, context, revision, time_ms, actor, request_id) \
         VALUES ($1, $2, $3, $4, $5, now_ms(), $6, $7)",
        args![
            dig,
            state.as_str(),
            verb.as_str(),
            context.map(|c| c.0.0.clone()),
            context.map_or(0, |c| c.1),
            meta.actor.clone(),
            meta.request_id.clone()
        ],
    )
    .await?;
    Ok(())
}

/// The history, oldest first.
pub(crate) async fn actions<C: ConnectionTrait>(db: &C, dig: i64) -> Result<Vec<Action>> {
    let rows = sql::all(
        db,
        "SELECT state, verb, context, revision, time_ms, actor, request_id FROM action \
         WHERE dig = $1 ORDER BY seq",
        args![dig],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Action {
                state: row.parsed("state")?,
                verb: row.parsed("verb")?,
                context: row.text_opt("context")?.map(ContextId),
                revision: row.int("revision")? as i32,
                time_ms: row.int("time_ms")?,
                actor: row.text("actor")?,
                request_id: row.text_opt("request_id")?,
            })
        })
        .collect()
}

/// The line of a verb on the DIG itself.
pub(crate) fn of_dig(
    dig: &DigHead,
    from: Option<DigState>,
    to: DigState,
    verb: DigEvent,
    meta: &crate::RequestMeta,
) -> Line {
    Line {
        dig: dig.id,
        from: from.map(|state| state.to_string()),
        to: to.to_string(),
        event: verb.to_string(),
        actor: Some(meta.actor.clone()),
        request_id: meta.request_id.clone(),
        ..Line::default()
    }
}

impl Store {
    /// The operation log after `after_seq`, oldest first.
    pub async fn events(&self, id: &DigRef, after_seq: i64, limit: u64) -> Result<Vec<EventRow>> {
        let db = &self.shared.read;
        let dig = heads::known_dig(db, id, Lock::None).await?;
        let rows = sql::all(
            db,
            "SELECT e.seq, e.time_ms, e.context, e.revision, e.app, e.from_state, e.to_state, \
             e.event, e.attempt, e.code, e.message, e.actor, e.request_id, \
             r.cluster, r.grp, r.kind, r.namespace, r.name \
             FROM event e LEFT JOIN resource r ON r.context = e.context AND r.id = e.resource \
             WHERE e.dig = $1 AND e.seq > $2 ORDER BY e.seq LIMIT $3",
            args![dig.id, after_seq, i64::try_from(limit).unwrap_or(i64::MAX)],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let object = match row.text_opt("cluster")? {
                    Some(_) => Some(resources::key(row)?),
                    None => None,
                };
                Ok(EventRow {
                    seq: row.int("seq")?,
                    time_ms: row.int("time_ms")?,
                    context: row.text_opt("context")?.map(ContextId),
                    revision: row.int_opt("revision")?.map(|n| n as i32),
                    object,
                    app: row.text_opt("app")?,
                    from: row.text_opt("from_state")?,
                    to: row.text("to_state")?,
                    event: row.text("event")?,
                    attempt: row.int_opt("attempt")?.map(|n| n as i32),
                    code: row.text_opt("code")?,
                    message: row.text_opt("message")?,
                    actor: row.text_opt("actor")?,
                    request_id: row.text_opt("request_id")?,
                })
            })
            .collect()
    }

    /// When the last line was written; `None` if there is none.
    pub async fn last_event_ms(&self, id: &DigRef) -> Result<Option<i64>> {
        let row = sql::one(
            &self.shared.read,
            "SELECT MAX(e.time_ms) AS last FROM event AS e \
             WHERE e.seq = (SELECT MAX(l.seq) FROM event AS l JOIN dig AS d ON d.id = l.dig \
             WHERE d.project = $1 AND d.name = $2)",
            args![id.project.clone(), id.name.clone()],
        )
        .await?;
        row.map_or(Ok(None), |row| row.int_opt("last"))
    }

    /// What changes when anything of a DIG that leaves an event does, for many at once; cheap to
    /// ask for. A DIG that is not there is left out.
    pub async fn pulses(&self, ids: &[DigRef]) -> Result<HashMap<DigRef, Pulse>> {
        let rows: Vec<_> = ids.iter().map(|id| (&id.project, &id.name)).collect();
        let rows = sql::all(
            &self.shared.read,
            "SELECT d.project, d.name, \
             (SELECT COALESCE(MAX(e.seq), 0) FROM event e WHERE e.dig = d.id) AS seq, \
             d.state AS dig, c.state AS context \
             FROM json_rows($1; project text, name text) AS v \
             JOIN dig d ON d.project = v.project AND d.name = v.name \
             LEFT JOIN context c ON c.id = d.context",
            args![sql::json_param(&rows)],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let id = DigRef {
                    project: row.text("project")?,
                    name: row.text("name")?,
                };
                let pulse = Pulse {
                    seq: row.int("seq")?,
                    dig: row.text("dig")?,
                    context: row
                        .text_opt("context")?
                        .map(|state| state.parse())
                        .transpose()
                        .map_err(|_| sql::corrupt("the state of a context"))?,
                };
                Ok((id, pulse))
            })
            .collect()
    }
}
