//! Terminate that gives clusters up: what may be there moves to the orphan ledger (protocol §6).
//!
//! The rows of such a cluster read Deleted with `kept: abandoned …`; the proof leaves the cluster
//! out, and attempts there no longer hold Terminated back: the ledger owns that risk.

use crate::{
    Release, RequestMeta, Result, StoreError,
    bulk::{self, Bulk},
    claims,
    heads::Head,
    sheet::{Sheet, With},
    sql::{self, Columns, args},
};
use model::{
    ids::{ClusterId, RowId},
    state::ResourceEvent,
};
use sea_orm::ConnectionTrait;

/// What a terminate that gives clusters up has done so far; its log is written last.
pub(crate) struct Abandoning<'a> {
    clusters: &'a [ClusterId],
    shared: Sheet,
    why: String,
}

/// Clusters of `wanted` that the context has and has not given up yet.
///
/// # Errors
/// [`StoreError::Refused`] for a cluster that the context does not have.
pub(crate) async fn fresh<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    wanted: &[ClusterId],
) -> Result<Vec<ClusterId>> {
    let mut clusters = wanted.to_vec();
    clusters.sort();
    clusters.dedup();
    let mut fresh = Vec::with_capacity(clusters.len());
    for cluster in clusters {
        let values = || args![head.id.0.clone(), cluster.to_string()];
        let known = sql::one(
            db,
            "SELECT 1 AS n FROM resource WHERE context = $1 AND cluster = $2 LIMIT 1",
            values(),
        )
        .await?;
        if known.is_none() {
            return Err(StoreError::Refused {
                object: format!("deployment intent group {}", head.name),
                cause: format!(
                    "has nothing on cluster {cluster}, so there is nothing to abandon; \
                     `muster status {}` names its clusters",
                    head.name
                ),
                reason: "NOT_ON_CLUSTER",
            });
        }
        let before = "SELECT 1 AS n FROM abandoned WHERE context = $1 AND cluster = $2";
        if sql::one(db, before, values()).await?.is_none() {
            fresh.push(cluster);
        }
    }
    Ok(fresh)
}

impl<'a> Abandoning<'a> {
    /// Everything that locks: shared objects give their claims up, and go to the ledger with the
    /// last of them. The context is locked for update and `head` is what it becomes.
    pub(crate) async fn begin<C: ConnectionTrait>(
        db: &C,
        head: &Head,
        clusters: &'a [ClusterId],
        meta: &RequestMeta,
    ) -> Result<Self> {
        let by = match meta.actor.as_str() {
            "" => String::new(),
            actor => format!(" by {actor}"),
        };
        let why = format!("abandoned with its cluster{by}; `muster get orphans` lists it");
        let mut ids: Vec<RowId> = Vec::new();
        for cluster in clusters {
            let rows = sql::all(
                db,
                "SELECT id FROM resource WHERE context = $1 AND cluster = $2 AND shared = 1 \
                 AND state <> 'Deleted' ORDER BY id",
                args![head.id.0.clone(), cluster.to_string()],
            )
            .await?;
            for row in rows {
                ids.push(row.int("id")? as RowId);
            }
        }
        let mut shared = Sheet::load(db, ids.iter().map(|id| (&head.id, *id))).await?;
        for id in ids {
            let Some(row) = shared.row(&head.id, id).cloned() else {
                continue;
            };
            let sent = row.sent > 0;
            let release = claims::leave(db, head, &row).await?;
            shared.fire(head, id, ResourceEvent::Terminate { sent }, With::default());
            let kept = match release {
                Release::StillUsed { by } => format!("still used by {by}"),
                Release::NotOurs => "it was there before".to_owned(),
                Release::Delete | Release::Superseded => {
                    claims::release(db, &head.id, &row.key.to_string()).await?;
                    if sent {
                        enter(db, head, meta, "shared = 1 AND id = $6", i64::from(id)).await?;
                    }
                    why.clone()
                }
            };
            let with = With {
                kept: Some(&kept),
                ..With::default()
            };
            shared.fire(head, id, ResourceEvent::Kept, with);
        }
        Ok(Self {
            clusters,
            shared,
            why,
        })
    }

    /// The rest: ledger, rows, log. Nothing is locked after it.
    pub(crate) async fn end<C: ConnectionTrait>(
        self,
        db: &C,
        head: &Head,
        meta: &RequestMeta,
    ) -> Result<()> {
        for cluster in self.clusters {
            sql::run(
                db,
                "INSERT INTO abandoned (context, cluster, since_ms, actor) \
                 VALUES ($1, $2, now_ms(), $3) ON CONFLICT (context, cluster) DO NOTHING",
                args![head.id.0.clone(), cluster.to_string(), meta.actor.clone()],
            )
            .await?;
            let own = "shared = 0 AND cluster = $6 AND state <> 'Deleted' \
                       AND (sent > 0 OR state = 'Applied')";
            enter(db, head, meta, own, cluster.to_string()).await?;
        }
        self.shared.finish(db).await?;
        for cluster in self.clusters {
            let of = |kept| Bulk {
                own_on: Some(cluster),
                kept,
                ..Bulk::default()
            };
            bulk::fire(db, head, |sent| ResourceEvent::Terminate { sent }, of(None)).await?;
            bulk::fire(db, head, |_| ResourceEvent::Kept, of(Some(&self.why))).await?;
        }
        Ok(())
    }
}

/// Enters rows into the ledger.
async fn enter<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    meta: &RequestMeta,
    which: &str,
    value: impl Into<sea_orm::Value>,
) -> Result<()> {
    sql::run(
        db,
        &format!(
            "INSERT INTO orphan (context, dig, project, dig_name, app, resource, key, cluster, \
             grp, version, kind, namespace, name, wave, shared, uid, reason, actor, since_ms, \
             forgotten) \
             SELECT context, $2, $3, $4, app, id, key, cluster, grp, version, kind, namespace, \
             name, wave, shared, uid, 'abandoned', $5, now_ms(), 0 \
             FROM resource WHERE context = $1 AND {which} \
             ON CONFLICT (context, key) WHERE ended_ms IS NULL DO NOTHING"
        ),
        args![
            head.id.0.clone(),
            head.dig,
            head.name.project.clone(),
            head.name.name.clone(),
            meta.actor.clone(),
            value.into()
        ],
    )
    .await?;
    Ok(())
}

/// An attempt (table `attempt a`) on a cluster that its context gave up.
pub(crate) const ON_ABANDONED: &str = "EXISTS (SELECT 1 FROM abandoned g JOIN resource r \
    ON r.context = g.context AND r.cluster = g.cluster \
    WHERE g.context = a.context AND r.id = a.resource)";

/// Kinds of the context by cluster, so that what arrives late is found (protocol §7).
pub(crate) async fn bury<C: ConnectionTrait>(db: &C, head: &Head) -> Result<()> {
    sql::run(
        db,
        "INSERT INTO tombstone (cluster, context, grp, version, kind, dead_ms) \
         SELECT DISTINCT cluster, context, grp, version, kind, now_ms() FROM resource \
         WHERE context = $1 AND shared = 0 AND sent > 0 \
         ON CONFLICT (cluster, context, grp, version, kind) DO NOTHING",
        args![head.id.0.clone()],
    )
    .await?;
    Ok(())
}
