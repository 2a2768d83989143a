//! Which clusters are to be watched, for which contexts, and who watches them.

use crate::{
    Result, Store,
    heads::Head,
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ClusterId, ContextId, RowId},
    state::ContextState,
};
use sea_orm::ConnectionTrait;
use std::collections::{BTreeMap, BTreeSet};

/// A context that is to be watched on a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    pub context: ContextId,
    /// All its objects. While it is being driven only those of kinds with a status are looked at:
    /// the answers to the applies say what there is to know of the others.
    pub all: bool,
}

/// What a watcher needs to know of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRow {
    pub id: RowId,
    pub group: String,
    pub version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    /// A Namespace or CRD: it carries no context's label.
    pub shared: bool,
    /// … and was there before Muster: it carries no label of ours at all.
    pub foreign: bool,
}

/// States in which nothing is left to be applied or deleted, and objects are to be looked after.
const RESTING: [ContextState; 4] = [
    ContextState::Instantiated,
    ContextState::InstantiateFailed,
    ContextState::TerminateFailed,
    ContextState::UpdateFailed,
];
const APPLYING: [ContextState; 2] = [ContextState::Instantiating, ContextState::Updating];

/// Contexts `c` and their clusters `w` that are to be watched now; `$1` and `$2` are the states.
const WANTED: &str = "watched w JOIN context c ON c.id = w.context \
    WHERE (c.state IN (SELECT v.state FROM json_rows($1; state text) AS v) \
    OR (w.live = 1 AND c.state IN (SELECT v.state FROM json_rows($2; state text) AS v)))";

fn resting() -> String {
    sql::json_list(RESTING.iter().map(|state| state.as_str()))
}

fn applying() -> String {
    sql::json_list(APPLYING.iter().map(|state| state.as_str()))
}

/// A context's life begins: its clusters.
pub(crate) async fn begin<C: ConnectionTrait>(db: &C, head: &Head) -> Result<()> {
    let clusters: BTreeSet<&ClusterId> = head.apps.iter().flat_map(|app| &app.clusters).collect();
    sql::run(
        db,
        "INSERT INTO watched (cluster, context, live) \
         SELECT v.cluster, $1, CASE WHEN v.cluster IN \
         (SELECT d.cluster FROM readiness d WHERE d.context = $1) THEN 1 ELSE 0 END \
         FROM json_rows($2; cluster text) AS v WHERE 1 = 1 \
         ON CONFLICT (cluster, context) DO NOTHING",
        args![head.id.0.clone(), sql::json_list(clusters)],
    )
    .await?;
    Ok(())
}

/// A context is Terminated: nothing of it is left to be watched.
pub(crate) async fn end<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<()> {
    for table in ["watched", "readiness"] {
        let sql = format!("DELETE FROM {table} WHERE context = $1");
        sql::run(db, &sql, args![context.0.clone()]).await?;
    }
    Ok(())
}

impl Store {
    /// Clusters that are to be watched and have no watcher that was alive within `stale_ms`.
    pub async fn unwatched(&self, stale_ms: i64, limit: u64) -> Result<Vec<ClusterId>> {
        let rows = sql::all(
            &self.shared.read,
            &format!(
                "SELECT DISTINCT w.cluster FROM {WANTED} AND NOT EXISTS (SELECT 1 FROM watcher a \
                 WHERE a.cluster = w.cluster AND a.alive_ms > now_ms() - $3) \
                 ORDER BY w.cluster LIMIT $4"
            ),
            args![
                resting(),
                applying(),
                stale_ms,
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
        )
        .await?;
        rows.iter().map(|row| row.parsed("cluster")).collect()
    }

    /// What is to be watched on these clusters now.
    pub async fn watched(
        &self,
        clusters: &[ClusterId],
    ) -> Result<BTreeMap<ClusterId, Vec<Watched>>> {
        let rows = sql::all(
            &self.shared.read,
            &format!(
                "SELECT w.cluster, w.context, CAST(CASE WHEN c.state IN \
                 (SELECT v.state FROM json_rows($1; state text) AS v) THEN 1 ELSE 0 END AS BIGINT) \
                 AS whole \
                 FROM {WANTED} \
                 AND w.cluster IN (SELECT v.cluster FROM json_rows($3; cluster text) AS v) \
                 ORDER BY w.cluster, w.context"
            ),
            args![resting(), applying(), sql::json_list(clusters)],
        )
        .await?;
        let mut found: BTreeMap<ClusterId, Vec<Watched>> = BTreeMap::new();
        for row in &rows {
            let watched = Watched {
                context: ContextId(row.text("context")?),
                all: row.int("whole")? != 0,
            };
            found
                .entry(row.parsed("cluster")?)
                .or_default()
                .push(watched);
        }
        Ok(found)
    }

    /// The rows of a context on a cluster, as a watcher looks at them.
    pub async fn watch_rows(
        &self,
        context: &ContextId,
        cluster: &ClusterId,
    ) -> Result<Vec<WatchRow>> {
        // All states are named so that the index on (context, state, cluster) is used.
        let rows = sql::all(
            &self.shared.read,
            "SELECT id, grp, version, kind, namespace, name, shared, \
             CAST(CASE WHEN preexisting_uid IS NULL THEN 0 ELSE 1 END AS BIGINT) AS found FROM resource \
             WHERE context = $1 AND cluster = $2 \
             AND state IN ('Pending', 'Applied', 'Retrying', 'Failed', 'Deleted') ORDER BY id",
            args![context.0.clone(), cluster.to_string()],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let shared = row.int("shared")? != 0;
                Ok(WatchRow {
                    id: row.int("id")? as RowId,
                    group: row.text("grp")?,
                    version: row.text("version")?,
                    kind: row.text("kind")?,
                    namespace: row.text("namespace")?,
                    name: row.text("name")?,
                    shared,
                    foreign: shared && row.int("found")? != 0,
                })
            })
            .collect()
    }

    /// Makes the caller the cluster's one watcher: what an earlier one still writes is void.
    pub async fn take_watch(&self, cluster: &ClusterId) -> Result<i64> {
        transact!(self, tx, {
            let epoch = sql::next_fence(&tx).await?;
            sql::run(
                &tx,
                "INSERT INTO watcher (cluster, epoch, alive_ms) VALUES ($1, $2, now_ms()) \
                 ON CONFLICT (cluster) DO UPDATE SET epoch = excluded.epoch, \
                 alive_ms = excluded.alive_ms",
                args![cluster.to_string(), epoch],
            )
            .await?;
            Ok(epoch)
        })
    }

    /// The watcher ends; whoever finds the cluster wanted again starts the next at once.
    pub async fn leave_watch(&self, cluster: &ClusterId, epoch: i64) -> Result<()> {
        transact!(self, tx, {
            sql::run(
                &tx,
                "UPDATE watcher SET alive_ms = 0 WHERE cluster = $1 AND epoch = $2",
                args![cluster.to_string(), epoch],
            )
            .await
        })?;
        Ok(())
    }
}
