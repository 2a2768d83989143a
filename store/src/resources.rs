//! Resource rows as the model reads them.

use crate::{
    ContextRow, Result, Store,
    heads::{self, Lock},
    sql::{self, Columns, args},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, ResourceKey, RowId},
    plan::Class,
    row::Row,
    state::ResourceState,
};
use sea_orm::{ConnectionTrait, QueryResult};

/// The columns of a [`Row`], of a table called `r`.
pub(crate) const ROW: &str = "r.context, r.id, r.app, r.cluster, r.grp, r.version, r.kind, \
    r.namespace, r.name, r.wave, r.shared, r.implicit, r.keep, r.digest, r.goal, r.state, r.sent, \
    r.attempts, r.since_ms, r.failing_since_ms, r.next_attempt_ms, r.error_code, \
    r.error_message, r.blocked_by, r.kept, r.preexisting_uid, r.uid";

pub(crate) fn row(row: &QueryResult) -> Result<Row> {
    let goal = row.parsed("goal")?;
    Ok(Row {
        context: ContextId(row.text("context")?),
        id: row.int("id")? as RowId,
        app: row.text("app")?,
        key: ResourceKey {
            cluster: row.parsed("cluster")?,
            group: row.text("grp")?,
            kind: row.text("kind")?,
            namespace: row.text("namespace")?,
            name: row.text("name")?,
        },
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

/// Rows by number; locked when `lock` says so.
pub(crate) async fn by_number<C: ConnectionTrait>(
    db: &C,
    wanted: impl IntoIterator<Item = (&ContextId, RowId)>,
    lock: bool,
) -> Result<Vec<Row>> {
    let wanted: Vec<_> = wanted
        .into_iter()
        .map(|(context, id)| serde_json::json!([context.0, id]))
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let lock = if lock { "LOCK UPDATE OF r" } else { "" };
    let sql = format!(
        "SELECT {ROW} FROM json_rows($1; context text, id int) AS v \
         JOIN resource r ON r.context = v.context AND r.id = v.id \
         ORDER BY r.context, r.id {lock}"
    );
    let rows = sql::all(db, &sql, args![sql::json_param(&wanted)]).await?;
    rows.iter().map(row).collect()
}

impl Store {
    /// Rows by number, with what is needed to drive them, in the order of their numbers.
    pub async fn rows(&self, context: &ContextId, rows: &[RowId]) -> Result<Vec<Row>> {
        let wanted = rows.iter().map(|id| (context, *id));
        let mut found = by_number(&self.shared.read, wanted, false).await?;
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
