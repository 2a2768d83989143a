//! The proof before Terminated: what to list, and what was found after all (protocol §6).

use crate::{
    FoundAgain, Gvk, ProofScope, Result, Store,
    abandon::ON_ABANDONED,
    heads::{self, Head, Lock},
    sheet::{Sheet, With},
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ClusterId, ContextId, Fence, RowId},
    state::{Goal, ResourceEvent, ResourceState},
};
use sea_orm::ConnectionTrait;
use std::collections::BTreeMap;

impl Store {
    /// For `count` clusters of the context from `offset` (by id): the kinds used there. Kinds and
    /// clusters that nothing was ever sent of or to are left out, shared kinds too (they do not
    /// carry the context's label).
    pub async fn proof_scope(
        &self,
        context: &ContextId,
        fence: Fence,
        offset: usize,
        count: usize,
    ) -> Result<ProofScope> {
        let db = &self.shared.read;
        let head = heads::known_context(db, context, Lock::None).await?;
        if !head.is(fence) || head.goal != Goal::Delete {
            return Ok(ProofScope {
                superseded: true,
                ..ProofScope::default()
            });
        }
        let sql = format!(
            "SELECT COALESCE(MAX(a.effect_until) - now_ms() + 1, 0) AS ms FROM attempt a \
             WHERE a.context = $1 AND a.effect_until >= now_ms() AND NOT {ON_ABANDONED}"
        );
        let unexpired = sql::one(db, &sql, args![context.0.clone()]).await?;
        let wait_ms = unexpired.map_or(Ok(0), |row| row.int("ms"))?.max(0) as u64;
        let rows = sql::all(
            db,
            "SELECT DISTINCT r.cluster, r.grp, r.version, r.kind FROM resource r \
             JOIN (SELECT DISTINCT cluster FROM resource WHERE context = $1 \
             ORDER BY cluster LIMIT $2 OFFSET $3) AS c ON c.cluster = r.cluster \
             WHERE r.context = $1 AND r.shared = 0 AND r.sent > 0 \
             AND NOT EXISTS (SELECT 1 FROM abandoned g \
             WHERE g.context = r.context AND g.cluster = r.cluster) \
             ORDER BY r.cluster, r.grp, r.version, r.kind",
            args![context.0.clone(), count as i64, offset as i64],
        )
        .await?;
        let mut clusters: BTreeMap<ClusterId, Vec<Gvk>> = BTreeMap::new();
        for row in &rows {
            clusters.entry(row.parsed("cluster")?).or_default().push((
                row.text("grp")?,
                row.text("version")?,
                row.text("kind")?,
            ));
        }
        Ok(ProofScope {
            superseded: false,
            wait_ms,
            clusters: clusters.into_iter().collect(),
        })
    }

    /// Nothing was found on `count` clusters of the context from `offset` on (by id). What is
    /// recorded grows from the first cluster on and holds for this fence only; the first clusters
    /// begin it anew.
    pub async fn record_proof(
        &self,
        context: &ContextId,
        fence: Fence,
        offset: usize,
        count: usize,
    ) -> Result<()> {
        transact!(self, tx, {
            sql::run(
                &tx,
                "UPDATE context SET proven_fence = $2, proven = $3 + $4 WHERE id = $1 \
                 AND fence = $2 AND ($3 = 0 OR (proven_fence = $2 AND proven >= $3))",
                args![context.0.clone(), fence.0, offset as i64, count as i64],
            )
            .await
        })?;
        Ok(())
    }

    /// Objects found by the proof go back to Pending(Delete); the number of rows that did. An
    /// object without a row (what a controller made) counts for nothing here.
    pub async fn found_again(
        &self,
        context: &ContextId,
        fence: Fence,
        found: Vec<FoundAgain>,
    ) -> Result<usize> {
        if found.is_empty() {
            return Ok(0);
        }
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            if !head.is(fence) || head.goal != Goal::Delete {
                return Ok(0);
            }
            let sql = "UPDATE context SET proven = 0 WHERE id = $1";
            sql::run(&tx, sql, args![context.0.clone()]).await?;
            let by_key: BTreeMap<String, &str> = found
                .iter()
                .map(|found| (found.key.to_string(), found.uid.as_str()))
                .collect();
            let rows = sql::all(
                &tx,
                "SELECT r.id FROM resource r WHERE r.context = $1 AND r.state = 'Deleted' AND r.kept IS NULL \
                 AND r.key IN (SELECT v.key FROM json_rows($2; key text) AS v) ORDER BY r.id",
                args![context.0.clone(), sql::json_list(by_key.keys())],
            )
            .await?;
            let mut ids = Vec::with_capacity(rows.len());
            for row in &rows {
                ids.push(row.int("id")? as RowId);
            }
            let mut sheet = Sheet::load(&tx, ids.iter().map(|id| (context, *id))).await?;
            let mut moved = 0;
            for id in ids {
                let Some(row) = sheet.row(context, id) else {
                    continue;
                };
                let uid = by_key
                    .get(&row.key.to_string())
                    .map(|uid| (*uid).to_owned());
                // Another transaction may have been first.
                if row.state != ResourceState::Deleted {
                    continue;
                }
                if sheet.fire(&head, id, ResourceEvent::Found, With::default()) {
                    sheet.count(context, id, |row| row.uid = uid);
                    moved += 1;
                }
            }
            sheet.finish(&tx).await?;
            Ok(moved)
        })
    }
}

/// Absence was proven on all clusters of the context under its fence of now.
pub(crate) async fn stands<C: ConnectionTrait>(db: &C, head: &Head) -> Result<bool> {
    let row = sql::one(
        db,
        "SELECT CASE WHEN proven_fence = fence THEN proven ELSE 0 END AS proven, \
         (SELECT COUNT(DISTINCT cluster) FROM resource WHERE context = $1) AS clusters \
         FROM context WHERE id = $1",
        args![head.id.0.clone()],
    )
    .await?;
    row.map_or(Ok(false), |row| {
        Ok(row.int("proven")? >= row.int("clusters")?)
    })
}
