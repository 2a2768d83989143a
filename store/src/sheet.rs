//! The sheet a transaction works on: rows read under lock, events fired at them, everything
//! written back in a few statements however many rows there are.

use crate::{
    Result,
    heads::Head,
    log::{self, Line, kept},
    resources,
    sql::{self, Part, args},
};
use model::{
    failure::Failure,
    ids::{ContextId, RowId},
    row::Row,
    state::{ResourceEvent, ResourceState, resource},
};
use sea_orm::{ConnectionTrait, DbBackend};
use std::collections::BTreeMap;

/// What has to be written of a row.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Dirty {
    No,
    /// `sent`, `attempts` and uids: columns of no index.
    Counts,
    State,
}

pub(crate) struct Sheet {
    pub(crate) now: i64,
    rows: BTreeMap<ContextId, BTreeMap<RowId, (Row, Dirty)>>,
    lines: Vec<Line>,
}

/// What comes with an event.
#[derive(Default)]
pub(crate) struct With<'a> {
    pub failure: Option<&'a Failure>,
    pub delay_ms: Option<u64>,
    pub kept: Option<&'a str>,
}

impl Sheet {
    /// Reads and locks rows; their contexts are locked already.
    pub(crate) async fn load<C: ConnectionTrait>(
        db: &C,
        wanted: impl IntoIterator<Item = (&ContextId, RowId)>,
    ) -> Result<Self> {
        let rows = resources::by_number(db, wanted, true).await?;
        let now = sql::now_ms(db).await?;
        Ok(Self::of(rows, now))
    }

    /// A sheet of rows that were read under lock at `now`, in database time.
    pub(crate) fn of(rows: Vec<Row>, now: i64) -> Self {
        let mut sheet = Self {
            now,
            rows: BTreeMap::new(),
            lines: Vec::new(),
        };
        for row in rows {
            match sheet.rows.get_mut(&row.context) {
                Some(of_context) => of_context.insert(row.id, (row, Dirty::No)),
                None => sheet
                    .rows
                    .entry(row.context.clone())
                    .or_default()
                    .insert(row.id, (row, Dirty::No)),
            };
        }
        sheet
    }

    pub(crate) fn row(&self, context: &ContextId, id: RowId) -> Option<&Row> {
        self.rows.get(context)?.get(&id).map(|(row, _)| row)
    }

    fn entry(&mut self, context: &ContextId, id: RowId) -> Option<&mut (Row, Dirty)> {
        self.rows.get_mut(context)?.get_mut(&id)
    }

    /// Changes facts and counts, never the state.
    pub(crate) fn count(&mut self, context: &ContextId, id: RowId, change: impl FnOnce(&mut Row)) {
        if let Some((row, dirty)) = self.entry(context, id) {
            change(row);
            if *dirty < Dirty::Counts {
                *dirty = Dirty::Counts;
            }
        }
    }

    /// Changes what the row waits for without a transition.
    pub(crate) fn annotate(
        &mut self,
        context: &ContextId,
        id: RowId,
        change: impl FnOnce(&mut Row),
    ) {
        if let Some((row, dirty)) = self.entry(context, id) {
            change(row);
            *dirty = Dirty::State;
        }
    }

    /// Fires an event at a row; false if the machine refuses it (nothing changes then).
    pub(crate) fn fire(
        &mut self,
        head: &Head,
        id: RowId,
        event: ResourceEvent,
        with: With<'_>,
    ) -> bool {
        let now = self.now;
        let of_context = self.rows.get_mut(&head.id);
        let Some((row, dirty)) = of_context.and_then(|rows| rows.get_mut(&id)) else {
            return false;
        };
        let from = row.state;
        let to = match resource::next(Some(from), event) {
            Ok(Some(to)) => to,
            Ok(None) => return false,
            Err(refused) => {
                tracing::debug!(context = %head.id, row = id, %refused, "event without effect");
                return false;
            }
        };
        let repeated = to == from && !matches!(to, ResourceState::Retrying(_));
        if repeated && matches!(to, ResourceState::Applied | ResourceState::Deleted) {
            return true;
        }
        *dirty = Dirty::State;
        row.state = to;
        row.goal = to.goal();
        if to != from {
            row.since_ms = now;
        }
        row.blocked_by = None;
        row.next_attempt_ms = with
            .delay_ms
            .map(|delay| now.saturating_add_unsigned(delay));
        row.error = with.failure.cloned();
        match with.failure {
            Some(_) => row.failing_since_ms = row.failing_since_ms.or(Some(now)),
            None => row.failing_since_ms = None,
        }
        if let Some(why) = with.kept {
            row.kept = Some(why.to_owned());
        }
        if !repeated {
            self.lines.push(Line {
                dig: head.dig,
                context: Some((head.id.clone(), head.revision)),
                resource: Some(id),
                app: Some(row.app.clone()),
                from: Some(from.to_string()),
                to: to.to_string(),
                event: event.to_string(),
                attempt: Some(row.attempts),
                // Rows that are not counted are shown nowhere else.
                failure: with.failure.cloned().or_else(|| with.kept.map(kept)),
                ..Line::default()
            });
        }
        true
    }

    /// Adds a line of another's to the log.
    pub(crate) fn say(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// What writes the rows back.
    fn parts(&mut self) -> Vec<Part> {
        let mut counts = Vec::new();
        let mut states = Vec::new();
        for (row, dirty) in self.rows.values_mut().flat_map(BTreeMap::values_mut) {
            match std::mem::replace(dirty, Dirty::No) {
                Dirty::No => {}
                Dirty::Counts => counts.push((
                    &row.context.0,
                    row.id,
                    row.sent,
                    row.attempts,
                    &row.preexisting_uid,
                    &row.uid,
                )),
                Dirty::State => states.push((
                    &row.context.0,
                    row.id,
                    row.sent,
                    row.attempts,
                    &row.preexisting_uid,
                    &row.uid,
                    row.goal.as_str(),
                    row.state.name(),
                    row.since_ms,
                    row.failing_since_ms,
                    row.next_attempt_ms,
                    row.error.as_ref().map(|f| &f.code),
                    row.error.as_ref().map(|f| &f.message),
                    &row.blocked_by,
                    &row.kept,
                )),
            }
        }
        let mut parts = Vec::new();
        if !counts.is_empty() {
            parts.push((COUNTS.to_owned(), args![sql::json_param(&counts)]));
        }
        if !states.is_empty() {
            parts.push((STATES.to_owned(), args![sql::json_param(&states)]));
        }
        parts
    }

    /// Writes what is left and appends the log's lines: the last thing of the transaction.
    pub(crate) async fn finish<C: ConnectionTrait>(self, db: &C) -> Result<()> {
        self.finish_with(db, Vec::new()).await
    }

    /// … after other statements, all in one go.
    pub(crate) async fn finish_with<C: ConnectionTrait>(
        mut self,
        db: &C,
        mut parts: Vec<Part>,
    ) -> Result<()> {
        parts.extend(self.parts());
        if db.get_database_backend() == DbBackend::Postgres {
            sql::run_parts(db, parts).await?;
            return log::append(db, &self.lines).await;
        }
        // Nothing to lock: the transaction is the only writer.
        parts.extend(log::part(&self.lines));
        sql::run_parts(db, parts).await
    }
}

const COUNTS: &str = "UPDATE resource SET sent = v.sent, attempts = v.attempts, \
     preexisting_uid = v.preexisting_uid, uid = v.uid \
     FROM json_rows($1; context text, id int, sent int, attempts int, \
     preexisting_uid text, uid text) AS v \
     WHERE resource.context = v.context AND resource.id = v.id";

const STATES: &str = "UPDATE resource SET sent = v.sent, attempts = v.attempts, \
     preexisting_uid = v.preexisting_uid, uid = v.uid, goal = v.goal, \
     state = v.state, since_ms = v.since_ms, failing_since_ms = v.failing_since_ms, \
     next_attempt_ms = v.next_attempt_ms, error_code = v.error_code, \
     error_message = v.error_message, blocked_by = v.blocked_by, kept = v.kept \
     FROM json_rows($1; context text, id int, sent int, attempts int, \
     preexisting_uid text, uid text, goal text, state text, since_ms int, \
     failing_since_ms int, next_attempt_ms int, error_code text, \
     error_message text, blocked_by text, kept text) AS v \
     WHERE resource.context = v.context AND resource.id = v.id";
