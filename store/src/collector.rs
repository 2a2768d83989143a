//! What the collector needs to know (protocol §7): which clusters have a reason to be visited, what
//! may be found there, and whose life an object is of.

use crate::{
    CollectScope, LateObject, Life, Result, Store,
    log::{self, Line},
    orphans,
    sql::{self, Columns, args, transact},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId},
    state::ContextState,
};
use std::collections::BTreeMap;

impl Store {
    /// Registered clusters that a visit is due for: they have a tombstone or a wanted entry, and
    /// were not visited for the interval, or not since they connected, or since somebody asked; one
    /// that answers and still has a wanted entry soon, then ever less often; a silent one with a
    /// wanted entry whenever a probe is due.
    /// Tombstones that are too old are removed. A cluster without either costs nothing.
    pub async fn collect_due(&self, limit: u64) -> Result<Vec<ClusterId>> {
        let config = &self.shared.config;
        let old = sql::one(
            &self.shared.read,
            "SELECT 1 AS n FROM tombstone WHERE dead_ms < now_ms() - $1 LIMIT 1",
            args![config.tombstone_ms],
        )
        .await?;
        if old.is_some() {
            transact!(self, tx, {
                let sql = "DELETE FROM tombstone WHERE dead_ms < now_ms() - $1";
                sql::run(&tx, sql, args![config.tombstone_ms]).await
            })?;
        }
        let rows = sql::all(
            &self.shared.read,
            "SELECT c.id FROM (SELECT cluster, 0 AS wanted FROM tombstone GROUP BY cluster \
             UNION ALL SELECT cluster, MAX(wanted_ms) AS wanted FROM orphan \
             WHERE ended_ms IS NULL AND wanted_ms IS NOT NULL GROUP BY cluster) AS w \
             JOIN cluster c ON c.id = w.cluster LEFT JOIN collector v ON v.cluster = c.id \
             GROUP BY c.id, c.connectivity, c.since_ms, c.next_probe_ms, v.visited_ms \
             HAVING v.visited_ms IS NULL OR v.visited_ms < now_ms() - $1 \
             OR v.visited_ms <= MAX(w.wanted) \
             OR (MAX(w.wanted) > 0 AND c.connectivity <> 'Retrying' \
             AND now_ms() - v.visited_ms > $3 \
             AND now_ms() - v.visited_ms > v.visited_ms - MAX(w.wanted)) \
             OR (c.connectivity = 'Available' AND v.visited_ms < c.since_ms) \
             OR (MAX(w.wanted) > 0 AND c.connectivity = 'Retrying' \
             AND COALESCE(c.next_probe_ms, 0) <= now_ms()) \
             ORDER BY COALESCE(v.visited_ms, 0), c.id LIMIT $2",
            args![
                config.collect_every_ms,
                i64::try_from(limit).unwrap_or(i64::MAX),
                config.collect_again_ms
            ],
        )
        .await?;
        rows.iter().map(|row| row.parsed("id")).collect()
    }

    /// A visit to the cluster was started.
    pub async fn collect_started(&self, id: &ClusterId) -> Result<()> {
        transact!(self, tx, {
            sql::run(
                &tx,
                "INSERT INTO collector (cluster, visited_ms) VALUES ($1, now_ms()) \
                 ON CONFLICT (cluster) DO UPDATE SET visited_ms = excluded.visited_ms",
                args![id.to_string()],
            )
            .await
        })?;
        Ok(())
    }

    /// What to do on a cluster: at most `limit` entries that somebody wants collected, and the kinds
    /// that a terminated life had there.
    pub async fn collect_scope(&self, id: &ClusterId, limit: u64) -> Result<CollectScope> {
        let db = &self.shared.read;
        let wanted = orphans::wanted(db, id, limit).await?;
        let rows = sql::all(
            db,
            "SELECT DISTINCT grp, version, kind FROM tombstone WHERE cluster = $1 \
             ORDER BY grp, version, kind",
            args![id.to_string()],
        )
        .await?;
        let mut kinds = Vec::with_capacity(rows.len());
        for row in &rows {
            kinds.push((row.text("grp")?, row.text("version")?, row.text("kind")?));
        }
        Ok(CollectScope { wanted, kinds })
    }

    /// Whose lives these are. Asked after the objects were listed: a life is known before its first
    /// object can be there, so that a new one is never taken for an unknown one.
    pub async fn lives(&self, contexts: &[ContextId]) -> Result<BTreeMap<ContextId, Life>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT v.id, c.state, t.n AS dead \
             FROM json_rows($1; id text) AS v LEFT JOIN context c ON c.id = v.id \
             LEFT JOIN (SELECT context, COUNT(*) AS n FROM tombstone GROUP BY context) AS t \
             ON t.context = v.id",
            args![sql::json_list(contexts.iter().map(|id| &id.0))],
        )
        .await?;
        let mut lives = BTreeMap::new();
        for row in &rows {
            let dead = row.int_opt("dead")?.is_some();
            let life = match row.text_opt("state")? {
                Some(state) if state == ContextState::Terminated.as_str() => Life::Terminated,
                Some(_) => Life::Going,
                None if dead => Life::Terminated,
                None => Life::Unknown,
            };
            lives.insert(ContextId(row.text("id")?), life);
        }
        Ok(lives)
    }

    /// Objects among these that the ledger owns, or that somebody chose to forget: the collector
    /// leaves them alone. Answers their keys.
    pub async fn in_ledger(&self, found: &[LateObject]) -> Result<Vec<(ContextId, String)>> {
        let asked: Vec<_> = found
            .iter()
            .map(|one| serde_json::json!([one.context.0, one.key.to_string()]))
            .collect();
        let rows = sql::all(
            &self.shared.read,
            "SELECT DISTINCT o.context, o.key FROM json_rows($1; context text, key text) AS v \
             JOIN orphan o ON o.context = v.context AND o.key = v.key \
             WHERE o.ended_ms IS NULL OR o.forgotten = 1",
            args![sql::json_param(&asked)],
        )
        .await?;
        rows.iter()
            .map(|row| Ok((ContextId(row.text("context")?), row.text("key")?)))
            .collect()
    }

    /// Objects that arrived after their life had ended, and were deleted: said in the log of their
    /// DIG, if that is still known.
    pub async fn late_objects(&self, found: &[LateObject]) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = found
            .iter()
            .map(|one| serde_json::json!([one.context.0, one.key.to_string(), one.uid]))
            .collect();
        transact!(self, tx, {
            let rows = sql::all(
                &tx,
                "SELECT v.key, v.uid, c.id AS context, c.dig, c.revision, r.id AS resource, r.app \
                 FROM json_rows($1; context text, key text, uid text) AS v \
                 JOIN context c ON c.id = v.context \
                 LEFT JOIN resource r ON r.context = v.context AND r.key = v.key",
                args![sql::json_param(&asked)],
            )
            .await?;
            let mut lines = Vec::with_capacity(rows.len());
            for row in &rows {
                let message = format!(
                    "late object: {} (uid {}) arrived after Terminated and was deleted",
                    row.text("key")?.replace('|', "/"),
                    row.text("uid")?
                );
                lines.push(Line {
                    dig: row.int("dig")?,
                    context: Some((ContextId(row.text("context")?), row.int("revision")?)),
                    resource: row.int_opt("resource")?.map(|id| id as model::ids::RowId),
                    app: row.text_opt("app")?,
                    from: Some("Deleted".into()),
                    to: "Deleted".into(),
                    event: "LateObject".into(),
                    failure: Some(Failure::new("lateObject", message)),
                    ..Line::default()
                });
            }
            log::append(&tx, &lines).await
        })
    }

    /// Objects that carry our installation's label and a life that this store does not know: they
    /// are entered into the ledger, never deleted by themselves. Answers how many are new.
    pub async fn report_unknown(&self, found: &[LateObject]) -> Result<u64> {
        if found.is_empty() {
            return Ok(0);
        }
        let asked: Vec<_> = found
            .iter()
            .map(|one| {
                serde_json::json!([
                    one.context.0,
                    one.key.to_string(),
                    one.key.cluster.to_string(),
                    one.key.group,
                    one.version,
                    one.key.kind,
                    one.key.namespace,
                    one.key.name,
                    one.uid,
                    one.app
                ])
            })
            .collect();
        transact!(self, tx, {
            sql::run(
                &tx,
                "INSERT INTO orphan (context, project, dig_name, app, key, cluster, grp, version, \
                 kind, namespace, name, wave, shared, uid, reason, actor, since_ms, forgotten) \
                 SELECT v.context, '', '', v.app, v.key, v.cluster, v.grp, v.version, v.kind, \
                 v.namespace, v.name, 0, 0, v.uid, 'unknown life', 'collector', now_ms(), 0 \
                 FROM json_rows($1; context text, key text, cluster text, grp text, version text, \
                 kind text, namespace text, name text, uid text, app text) AS v \
                 WHERE v.key IS NOT NULL \
                 ON CONFLICT (context, key) WHERE ended_ms IS NULL DO NOTHING",
                args![sql::json_param(&asked)],
            )
            .await
        })
    }

    /// Whether a context holds the object now: somebody's again, and no orphan any more.
    pub async fn holder_of(&self, key: &model::ids::ResourceKey) -> Result<Option<String>> {
        let row = sql::one(
            &self.shared.read,
            "SELECT c.project, c.name FROM holder h JOIN context c ON c.id = h.context \
             WHERE h.key = $1 ORDER BY c.id LIMIT 1",
            args![key.to_string()],
        )
        .await?;
        row.map(|row| Ok(format!("{}/{}", row.text("project")?, row.text("name")?)))
            .transpose()
    }
}
