//! What watchers saw, written in batches. Facts only: no state moves by them.

use crate::{
    Result, Store,
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ClusterId, ContextId, RowId},
    plan::PlanRow,
    readiness::{Readiness, Recorded, Sight, UNSEEN, by_presence},
};
use sea_orm::ConnectionTrait;
use serde_json::json;
use std::collections::BTreeMap;

/// What a watcher saw of a row's object.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub cluster: ClusterId,
    /// The watcher's, from [`Store::take_watch`].
    pub epoch: i64,
    pub context: ContextId,
    pub row: RowId,
    /// Its kind is ready by being there: recorded only while it is not.
    pub by_presence: bool,
    pub sight: Sight,
}

/// A watcher's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    pub cluster: ClusterId,
    pub epoch: i64,
    /// How long ago it knew everything; `None` while it does not.
    pub synced_ago_ms: Option<u64>,
}

/// The rows of a plan whose readiness is to be seen before it is believed.
pub(crate) async fn stage<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    rows: &[PlanRow],
) -> Result<()> {
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| !by_presence(&row.key.group, &row.key.kind))
        .map(|row| json!([row.id, row.key.cluster]))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sql::run(
        db,
        "INSERT INTO readiness (context, id, cluster, status, code, message, stuck, since_ms) \
         SELECT $1, v.id, v.cluster, $3, $4, 'has not been looked at yet', 0, now_ms() \
         FROM json_rows($2; id int, cluster text) AS v \
         WHERE EXISTS (SELECT 1 FROM staged s WHERE s.context = $1) \
         ON CONFLICT (context, id) DO NOTHING",
        args![
            context.0.clone(),
            sql::json_param(&rows),
            Recorded::Unseen.as_str(),
            UNSEEN
        ],
    )
    .await?;
    Ok(())
}

impl Store {
    /// Records what was seen, and that the watchers live, in one transaction. Answers the clusters
    /// whose watcher is another by now: nothing of theirs was written.
    pub async fn record_readiness(&self, seen: &[Seen], beats: &[Beat]) -> Result<Vec<ClusterId>> {
        // The last sight of a row counts; one order for all writers.
        let mut last: BTreeMap<(&ContextId, RowId), &Seen> = BTreeMap::new();
        for one in seen {
            last.insert((&one.context, one.row), one);
        }
        let mut kept = Vec::new();
        let mut mended = Vec::new();
        for one in last.values() {
            let row = json!([
                one.cluster,
                one.epoch,
                one.context.0,
                one.row,
                i32::from(one.by_presence),
                one.sight.readiness.as_str(),
                one.sight.reason.as_ref().map(|reason| &reason.code),
                one.sight.reason.as_ref().map(|reason| &reason.message),
                i32::from(one.sight.stuck)
            ]);
            match one.by_presence && one.sight.readiness == Readiness::Ready {
                true => mended.push(row),
                false => kept.push(row),
            }
        }
        let (kept, mended) = (sql::json_param(&kept), sql::json_param(&mended));
        let beats: Vec<_> = beats
            .iter()
            .map(|beat| {
                let ago = beat.synced_ago_ms.map(|ago| ago.min(i64::MAX as u64));
                json!([beat.cluster, beat.epoch, ago])
            })
            .collect();
        let beats = sql::json_param(&beats);
        transact!(self, tx, {
            if kept != "[]" {
                keep(&tx, &kept).await?;
            }
            if mended != "[]" {
                sql::run(
                    &tx,
                    &format!(
                        "DELETE FROM readiness WHERE (context, id) IN \
                         (SELECT v.context, v.id FROM {SEEN} AS v JOIN watcher w \
                         ON w.cluster = v.cluster AND w.epoch = v.epoch)"
                    ),
                    args![mended.clone()],
                )
                .await?;
            }
            beat(&tx, &beats).await
        })
    }
}

const SEEN: &str = "json_rows($1; cluster text, epoch int, context text, id int, presence int, \
    status text, code text, message text, stuck int)";

async fn keep<C: ConnectionTrait>(db: &C, seen: &str) -> Result<()> {
    sql::run(
        db,
        &format!(
            "INSERT INTO readiness (context, id, cluster, status, code, message, stuck, since_ms) \
             SELECT v.context, v.id, v.cluster, v.status, v.code, v.message, v.stuck, now_ms() \
             FROM {SEEN} AS v \
             JOIN watcher w ON w.cluster = v.cluster AND w.epoch = v.epoch \
             JOIN watched p ON p.cluster = v.cluster AND p.context = v.context \
             JOIN resource r ON r.context = v.context AND r.id = v.id \
             WHERE v.presence = 0 OR r.state = 'Applied' \
             ON CONFLICT (context, id) DO UPDATE SET status = excluded.status, \
             code = excluded.code, message = excluded.message, stuck = excluded.stuck, \
             since_ms = CASE WHEN readiness.status = excluded.status THEN readiness.since_ms \
             ELSE excluded.since_ms END"
        ),
        args![seen],
    )
    .await?;
    Ok(())
}

async fn beat<C: ConnectionTrait>(db: &C, beats: &str) -> Result<Vec<ClusterId>> {
    if beats == "[]" {
        return Ok(Vec::new());
    }
    sql::run(
        db,
        "UPDATE watcher SET alive_ms = now_ms(), \
         synced_ms = COALESCE(now_ms() - v.ago, synced_ms) \
         FROM json_rows($1; cluster text, epoch int, ago int) AS v \
         WHERE watcher.cluster = v.cluster AND watcher.epoch = v.epoch",
        args![beats],
    )
    .await?;
    let lost = sql::all(
        db,
        "SELECT v.cluster FROM json_rows($1; cluster text, epoch int, ago int) AS v \
         WHERE NOT EXISTS (SELECT 1 FROM watcher w \
         WHERE w.cluster = v.cluster AND w.epoch = v.epoch)",
        args![beats],
    )
    .await?;
    lost.iter().map(|row| row.parsed("cluster")).collect()
}
