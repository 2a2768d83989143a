//! The sheet a transaction works on: rows read under lock, events fired at them, everything
//! written back in a few statements however many rows there are.

use crate::{
    Result,
    heads::Head,
    log::{self, Line},
    resources,
    sql::{self, args},
};
use model::{
    failure::Failure,
    ids::{ContextId, RowId},
    row::Row,
    state::{ResourceEvent, ResourceState, resource},
};
use sea_orm::ConnectionTrait;
use serde_json::json;
use std::collections::BTreeMap;

type Key = (ContextId, RowId);

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
    rows: BTreeMap<Key, (Row, Dirty)>,
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
        let rows = rows
            .into_iter()
            .map(|row| ((row.context.clone(), row.id), (row, Dirty::No)))
            .collect();
        Ok(Self {
            now,
            rows,
            lines: Vec::new(),
        })
    }

    pub(crate) fn row(&self, context: &ContextId, id: RowId) -> Option<&Row> {
        self.rows.get(&(context.clone(), id)).map(|(row, _)| row)
    }

    /// Changes facts and counts, never the state.
    pub(crate) fn count(&mut self, context: &ContextId, id: RowId, change: impl FnOnce(&mut Row)) {
        if let Some((row, dirty)) = self.rows.get_mut(&(context.clone(), id)) {
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
        if let Some((row, dirty)) = self.rows.get_mut(&(context.clone(), id)) {
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
        let Some((row, dirty)) = self.rows.get_mut(&(head.id.clone(), id)) else {
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
                failure: with.failure.cloned(),
                ..Line::default()
            });
        }
        true
    }

    /// Adds a line of another's to the log.
    pub(crate) fn say(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Writes the rows back. The log's lines come last, with [`finish`](Self::finish).
    pub(crate) async fn write<C: ConnectionTrait>(&mut self, db: &C) -> Result<()> {
        let mut counts = Vec::new();
        let mut states = Vec::new();
        for (row, dirty) in self.rows.values_mut() {
            match *dirty {
                Dirty::No => {}
                Dirty::Counts => counts.push(json!([
                    row.context.0,
                    row.id,
                    row.sent,
                    row.attempts,
                    row.preexisting_uid,
                    row.uid
                ])),
                Dirty::State => states.push(json!([
                    row.context.0,
                    row.id,
                    row.sent,
                    row.attempts,
                    row.preexisting_uid,
                    row.uid,
                    row.goal.as_str(),
                    row.state.name(),
                    row.since_ms,
                    row.failing_since_ms,
                    row.next_attempt_ms,
                    row.error.as_ref().map(|f| &f.code),
                    row.error.as_ref().map(|f| &f.message),
                    row.blocked_by,
                    row.kept
                ])),
            }
            *dirty = Dirty::No;
        }
        if !counts.is_empty() {
            sql::run(
                db,
                "UPDATE resource SET sent = v.sent, attempts = v.attempts, \
                 preexisting_uid = v.preexisting_uid, uid = v.uid \
                 FROM json_rows($1; context text, id int, sent int, attempts int, \
                 preexisting_uid text, uid text) AS v \
                 WHERE resource.context = v.context AND resource.id = v.id",
                args![sql::json_param(&counts)],
            )
            .await?;
        }
        if !states.is_empty() {
            sql::run(
                db,
                "UPDATE resource SET sent = v.sent, attempts = v.attempts, \
                 preexisting_uid = v.preexisting_uid, uid = v.uid, goal = v.goal, \
                 state = v.state, since_ms = v.since_ms, failing_since_ms = v.failing_since_ms, \
                 next_attempt_ms = v.next_attempt_ms, error_code = v.error_code, \
                 error_message = v.error_message, blocked_by = v.blocked_by, kept = v.kept \
                 FROM json_rows($1; context text, id int, sent int, attempts int, \
                 preexisting_uid text, uid text, goal text, state text, since_ms int, \
                 failing_since_ms int, next_attempt_ms int, error_code text, \
                 error_message text, blocked_by text, kept text) AS v \
                 WHERE resource.context = v.context AND resource.id = v.id",
                args![sql::json_param(&states)],
            )
            .await?;
        }
        Ok(())
    }

    /// Writes what is left and appends the log's lines: the last thing of the transaction.
    pub(crate) async fn finish<C: ConnectionTrait>(mut self, db: &C) -> Result<()> {
        self.write(db).await?;
        log::append(db, &self.lines).await
    }
}
