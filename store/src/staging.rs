//! Plans on their way in: manifests and rows in chunks, invisible until an accept takes them.

use crate::{
    Result, Store, claims, readiness,
    seal::compress,
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ContextId, DigRef},
    plan::{Class, Plan, PlanManifest, PlanRow},
    state::{ResourceEvent, resource},
};
use sea_orm::Value;
use std::collections::HashSet;

/// Rows of one transaction: far less than W on the slowest disk.
const ROWS: usize = 500;
/// Manifests of one statement, and their bytes.
const MANIFESTS: usize = 200;
const BYTES: usize = 4 << 20;

impl Store {
    /// Writes manifests and rows of a plan under a new context id, in chunks, invisible until
    /// [`accept_instantiate`](Self::accept_instantiate) (leftovers are swept on open). Staging
    /// the same context again begins anew; a context that was accepted is left alone.
    pub async fn stage_plan(&self, dig: &DigRef, context: &ContextId, plan: &Plan) -> Result<()> {
        let accepted = sql::one(
            &self.shared.read,
            "SELECT id FROM context WHERE id = $1",
            args![context.0.clone()],
        )
        .await?;
        if accepted.is_some() {
            return Ok(());
        }
        // Most manifests are known already: while they are looked up, the writer has rows to write.
        tokio::try_join!(
            self.stage_manifests(&plan.manifests),
            self.stage_rows(dig, context, plan)
        )?;
        Ok(())
    }

    /// In as few transactions as their length allows: most plans are staged by one.
    async fn stage_rows(&self, dig: &DigRef, context: &ContextId, plan: &Plan) -> Result<()> {
        let Ok(Some(begin)) = resource::next(None, ResourceEvent::Instantiate) else {
            return Err(sql::corrupt("the resource machine has no beginning"));
        };
        let apps = sql::to_json(&plan.apps)?;
        let mut left = plan.rows.as_slice();
        let mut first = true;
        loop {
            let (rows, rest) = left.split_at(left.len().min(ROWS));
            let values = values(rows);
            let number = |row: Option<&PlanRow>| row.map_or(0, |row| i64::from(row.id));
            let ends = (number(rows.first()), number(rows.last()));
            transact!(self, tx, {
                if first {
                    unstage(&tx, &context.0).await?;
                    sql::run(
                        &tx,
                        "INSERT INTO staged (context, project, name, apps, complete, at_ms) \
                         VALUES ($1, $2, $3, $4, 0, now_ms())",
                        args![
                            context.0.clone(),
                            dig.project.clone(),
                            dig.name.clone(),
                            apps.clone()
                        ],
                    )
                    .await?;
                }
                sql::run(
                    &tx,
                    "INSERT INTO resource (context, id, app, key, cluster, grp, version, kind, \
                     namespace, name, wave, shared, implicit, keep, digest, goal, state, sent, \
                     attempts, since_ms) \
                     SELECT $2, v.id, v.app, v.key, v.cluster, v.grp, v.version, v.kind, \
                     v.namespace, v.name, v.wave, v.shared, v.implicit, v.keep, v.digest, $3, $4, \
                     0, 0, now_ms() \
                     FROM json_rows($1; id int, app text, key text, cluster text, grp text, \
                     version text, kind text, namespace text, name text, wave int, shared int, \
                     implicit int, keep int, digest text) AS v \
                     WHERE EXISTS (SELECT 1 FROM staged s WHERE s.context = $2) \
                     ON CONFLICT (context, id) DO NOTHING",
                    args![
                        values.clone(),
                        context.0.clone(),
                        begin.goal().as_str(),
                        begin.name()
                    ],
                )
                .await?;
                claims::stage(&tx, context, ends).await?;
                readiness::stage(&tx, context, rows).await?;
                if rest.is_empty() {
                    let sql = "UPDATE staged SET complete = 1 WHERE context = $1";
                    sql::run(&tx, sql, args![context.0.clone()]).await?;
                }
                Ok(())
            })?;
            if rest.is_empty() {
                return Ok(());
            }
            (left, first) = (rest, false);
        }
    }

    /// Manifests are found by their content: what is stored already is not written again.
    async fn stage_manifests(&self, manifests: &[PlanManifest]) -> Result<()> {
        let mut known = HashSet::new();
        for chunk in manifests.chunks(5_000) {
            let rows = sql::all(
                &self.shared.read,
                "SELECT m.digest FROM json_rows($1; digest text) AS v \
                 JOIN manifest m ON m.digest = v.digest",
                args![sql::json_list(chunk.iter().map(|m| &m.digest))],
            )
            .await?;
            for row in rows {
                known.insert(row.text("digest")?);
            }
        }
        let mut batch: Vec<(String, i64, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        for manifest in manifests {
            if !known.insert(manifest.digest.clone()) {
                continue;
            }
            let mut body = compress(&manifest.json)?;
            if manifest.secret {
                body = self.shared.key.seal(&manifest.digest, &body)?;
            }
            bytes += body.len();
            batch.push((manifest.digest.clone(), i64::from(manifest.secret), body));
            if batch.len() >= MANIFESTS || bytes >= BYTES {
                self.write_manifests(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
        }
        self.write_manifests(batch).await
    }

    async fn write_manifests(&self, mut batch: Vec<(String, i64, Vec<u8>)>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // Two plans that are staged at once insert in one order.
        batch.sort();
        let places: Vec<String> = (0..batch.len())
            .map(|i| format!("(${}, ${}, ${})", 3 * i + 1, 3 * i + 2, 3 * i + 3))
            .collect();
        let sql = format!(
            "INSERT INTO manifest (digest, secret, body) VALUES {} \
             ON CONFLICT (digest) DO NOTHING",
            places.join(", ")
        );
        let values: Vec<Value> = batch
            .into_iter()
            .flat_map(|(digest, secret, body)| args![digest, secret, body])
            .collect();
        transact!(self, tx, sql::run(&tx, &sql, values.clone()).await)?;
        Ok(())
    }
}

/// Rows as the parameter of their statement.
fn values(rows: &[PlanRow]) -> String {
    let values: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.id,
                &row.app,
                row.key.to_string(),
                row.key.cluster.to_string(),
                &row.key.group,
                &row.version,
                &row.key.kind,
                &row.key.namespace,
                &row.key.name,
                row.wave,
                i32::from(row.class == Class::Shared),
                i32::from(row.implicit),
                i32::from(row.keep),
                &row.digest,
            )
        })
        .collect();
    sql::json_param(&values)
}

async fn unstage<C: sea_orm::ConnectionTrait>(db: &C, context: &str) -> Result<()> {
    claims::unstage(db, context).await?;
    for table in ["resource", "readiness"] {
        let sql = format!(
            "DELETE FROM {table} WHERE context = $1 \
             AND NOT EXISTS (SELECT 1 FROM context c WHERE c.id = $1)"
        );
        sql::run(db, &sql, args![context]).await?;
    }
    let sql = "DELETE FROM staged WHERE context = $1";
    sql::run(db, sql, args![context]).await?;
    Ok(())
}

/// Removes staged plans that nobody accepted in time.
pub(crate) async fn sweep(store: &Store) -> Result<()> {
    let old = sql::all(
        &store.shared.read,
        "SELECT context FROM staged WHERE at_ms < now_ms() - $1",
        args![store.shared.config.staging_ms],
    )
    .await?;
    for row in old {
        let context = row.text("context")?;
        transact!(store, tx, unstage(&tx, &context).await)?;
    }
    Ok(())
}
