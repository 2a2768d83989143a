//! Resource rows as the model reads them.

use crate::{
    ContextRow, Result, Store,
    heads::{self, Lock},
    sql::{self, Columns, Part, args},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, ResourceKey, RowId},
    plan::Class,
    row::Row,
    state::ResourceState,
};
use sea_orm::{ConnectionTrait, QueryResult};
use std::borrow::Cow;

/// The columns of a [`Row`], of a table called `r`.
pub(crate) const ROW: &str = "r.context, r.id, r.app, r.cluster, r.grp, r.version, r.kind, \
    r.namespace, r.name, r.wave, r.shared, r.implicit, r.keep, r.digest, r.goal, r.state, r.sent, \
    r.attempts, r.since_ms, r.failing_since_ms, r.next_attempt_ms, r.error_code, \
    r.error_message, r.blocked_by, r.kept, r.preexisting_uid, r.uid";

pub(crate) fn key(row: &QueryResult) -> Result<ResourceKey> {
    Ok(ResourceKey {
        cluster: row.parsed("cluster")?,
        group: row.text("grp")?,
        kind: row.text("kind")?,
        namespace: row.text("namespace")?,
        name: row.text("name")?,
    })
}

pub(crate) fn row(row: &QueryResult) -> Result<Row> {
    let goal = row.parsed("goal")?;
    Ok(Row {
        context: ContextId(row.text("context")?),
        id: row.int("id")? as RowId,
        app: row.text("app")?,
        key: key(row)?,
        version: row.text("version")?,
        wave: row.int("wave")? as i32,
        class: class(row.int("shared")?),
        implicit: row.int("implicit")? != 0,
        keep: row.int("keep")? != 0,
        goal,
        digest: row.text("digest")?,
        state: ResourceState::from_name(&row.text("state")?, goal)
            .map_err(|error| sql::corrupt(&error.to_string()))?,
        sent: row.int("sent")? as i32,
        attempts: row.int("attempts")? as i32,
        since_ms: row.int("since_ms")?,
        failing_since_ms: row.int_opt("failing_since_ms")?,
        next_attempt_ms: row.int_opt("next_attempt_ms")?,
        error: failure(row)?,
        blocked_by: row.text_opt("blocked_by")?,
        kept: row.text_opt("kept")?,
        preexisting_uid: row.text_opt("preexisting_uid")?,
        uid: row.text_opt("uid")?,
    })
}

pub(crate) fn failure(row: &QueryResult) -> Result<Option<Failure>> {
    let (code, message) = (row.text_opt("error_code")?, row.text_opt("error_message")?);
    Ok(code.map(|code| Failure {
        code,
        message: message.unwrap_or_default(),
    }))
}

pub(crate) fn class(shared: i64) -> Class {
    if shared != 0 {
        Class::Shared
    } else {
        Class::Own
    }
}

/// The columns of a [`Packed`] row, of a table called `t`.
const PACKED: &str = "t.context, t.id, t.app, t.cluster, t.grp, t.version, t.kind, t.namespace, \
    t.name, t.wave, t.shared, t.implicit, t.keep, t.digest, t.goal, t.state, t.sent, t.attempts, \
    t.since_ms, t.failing_since_ms, t.next_attempt_ms, t.error_code, t.error_message, \
    t.blocked_by, t.kept, t.preexisting_uid, t.uid";

/// A row as `json_pack` hands it out: with many rows, columns one by one cost more than all else.
#[derive(serde::Deserialize)]
struct Packed<'a>(
    String,
    RowId,
    String,
    #[serde(borrow)] Cow<'a, str>,
    String,
    String,
    String,
    String,
    String,
    i32,
    i64,
    i64,
    i64,
    String,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    i32,
    i32,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn unpacked(packed: Packed) -> Result<Row> {
    let unreadable = |error: &dyn std::fmt::Display| sql::corrupt(&error.to_string());
    let goal = packed.14.parse().map_err(|error| unreadable(&error))?;
    Ok(Row {
        context: ContextId(packed.0),
        id: packed.1,
        app: packed.2,
        key: ResourceKey {
            cluster: packed.3.parse().map_err(|error| unreadable(&error))?,
            group: packed.4,
            kind: packed.6,
            namespace: packed.7,
            name: packed.8,
        },
        version: packed.5,
        wave: packed.9,
        class: class(packed.10),
        implicit: packed.11 != 0,
        keep: packed.12 != 0,
        goal,
        digest: packed.13,
        state: ResourceState::from_name(&packed.15, goal).map_err(|error| unreadable(&error))?,
        sent: packed.16,
        attempts: packed.17,
        since_ms: packed.18,
        failing_since_ms: packed.19,
        next_attempt_ms: packed.20,
        error: packed.21.map(|code| Failure {
            code,
            message: packed.22.unwrap_or_default(),
        }),
        blocked_by: packed.23,
        kept: packed.24,
        preexisting_uid: packed.25,
        uid: packed.26,
    })
}

/// Rows by number in their order, as one part; locked when `lock` says so.
pub(crate) fn part<'a>(
    wanted: impl IntoIterator<Item = (&'a ContextId, RowId)>,
    lock: bool,
) -> Part {
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|(context, id)| (&context.0, id))
        .collect();
    let lock = if lock { "LOCK UPDATE OF r" } else { "" };
    let sql = format!(
        "SELECT json_pack({PACKED}) AS part FROM (SELECT {ROW} \
         FROM json_rows($1; context text, id int) AS v \
         JOIN resource r ON r.context = v.context AND r.id = v.id \
         ORDER BY r.context, r.id {lock}) AS t"
    );
    (sql, args![sql::json_param(&wanted)])
}

/// What a [`part`] answered.
pub(crate) fn rows(part: &str) -> Result<Vec<Row>> {
    let packed: Vec<Packed> = sql::from_json(part)?;
    packed.into_iter().map(unpacked).collect()
}

/// Rows by number in their order; locked when `lock` says so.
pub(crate) async fn by_number<C: ConnectionTrait>(
    db: &C,
    wanted: impl IntoIterator<Item = (&ContextId, RowId)>,
    lock: bool,
) -> Result<Vec<Row>> {
    let (sql, values) = part(wanted, lock);
    let row = sql::one(db, &sql, values).await?;
    row.map_or(Ok(Vec::new()), |row| rows(&row.text("part")?))
}

impl Store {
    /// Rows by number, with what is needed to drive them, in the order of their numbers.
    pub async fn rows(&self, context: &ContextId, rows: &[RowId]) -> Result<Vec<Row>> {
        let wanted = rows.iter().map(|id| (context, *id));
        let mut found = by_number(&self.shared.read, wanted, false).await?;
        found.sort_by_key(|row| row.id);
        found.dedup_by_key(|row| row.id);
        Ok(found)
    }

    /// What a driver needs of the context and its DIG.
    pub async fn context(&self, context: &ContextId) -> Result<ContextRow> {
        heads::known_context(&self.shared.read, context, Lock::None)
            .await
            .map(|head| head.row())
    }

    /// True if every row of the context on the cluster but the shared ones is Deleted.
    pub async fn others_deleted(&self, context: &ContextId, cluster: &ClusterId) -> Result<bool> {
        let left = sql::one(
            &self.shared.read,
            "SELECT 1 AS n FROM resource WHERE context = $1 AND cluster = $2 AND shared = 0 \
             AND state IN ('Pending', 'Retrying', 'Failed', 'Applied') LIMIT 1",
            args![context.0.clone(), cluster.to_string()],
        )
        .await?;
        Ok(left.is_none())
    }
}
