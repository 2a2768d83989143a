//! The orphan ledger: objects that may be there and that no context drives (protocol §6, §7).

use crate::{
    Orphan, OrphanChoice, RequestMeta, Result, Store, StoreError, Tried,
    log::{self, Line},
    requests, resources,
    sql::{self, Columns, args, transact},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, DigRef, RowId},
};
use sea_orm::{ConnectionTrait, QueryResult};

/// Columns of an [`Orphan`]; a uid that was seen after the entry was made stands in the row.
const ORPHAN: &str = "SELECT o.id, o.context, o.dig, o.project, o.dig_name, o.app, o.resource, \
    o.cluster, o.grp, o.version, o.kind, o.namespace, o.name, o.wave, o.shared, \
    COALESCE(o.uid, r.uid) AS uid, o.reason, o.actor, o.since_ms, o.wanted_ms, o.tried_ms, \
    o.outcome, o.ended_ms \
    FROM orphan o LEFT JOIN resource r ON r.context = o.context AND r.id = o.resource";

/// What [`choice`] selects of table `orphan o`.
const CHOSEN: &str = "o.ended_ms IS NULL AND ($1 IS NULL OR o.cluster = $1) \
    AND ($2 IS NULL OR o.id IN (SELECT v.id FROM json_rows($2; id int) AS v))";

fn choice(choice: &OrphanChoice) -> Vec<sea_orm::Value> {
    let ids = (!choice.ids.is_empty()).then(|| sql::json_list(&choice.ids));
    args![choice.cluster.as_ref().map(ToString::to_string), ids]
}

pub(crate) fn orphan(row: &QueryResult) -> Result<Orphan> {
    Ok(Orphan {
        id: row.int("id")?,
        context: ContextId(row.text("context")?),
        dig: DigRef {
            project: row.text("project")?,
            name: row.text("dig_name")?,
        },
        dig_id: row.int_opt("dig")?,
        app: row.text("app")?,
        row: row.int_opt("resource")?.map(|id| id as RowId),
        key: resources::key(row)?,
        version: row.text("version")?,
        wave: row.int("wave")? as i32,
        class: resources::class(row.int("shared")?),
        uid: row.text_opt("uid")?,
        reason: row.text("reason")?,
        actor: row.text("actor")?,
        since_ms: row.int("since_ms")?,
        wanted_ms: row.int_opt("wanted_ms")?,
        tried_ms: row.int_opt("tried_ms")?,
        outcome: row.text_opt("outcome")?,
        ended_ms: row.int_opt("ended_ms")?,
    })
}

async fn read<C: ConnectionTrait>(
    db: &C,
    which: &str,
    values: Vec<sea_orm::Value>,
) -> Result<Vec<Orphan>> {
    let sql = format!("{ORPHAN} WHERE {which}");
    let rows = sql::all(db, &sql, values).await?;
    rows.iter().map(orphan).collect()
}

async fn by_id<C: ConnectionTrait>(db: &C, ids: &[i64]) -> Result<Vec<Orphan>> {
    let which = "o.id IN (SELECT v.id FROM json_rows($1; id int) AS v) ORDER BY o.id";
    read(db, which, args![sql::json_list(ids)]).await
}

fn ids(orphans: &[Orphan]) -> Vec<i64> {
    orphans.iter().map(|orphan| orphan.id).collect()
}

/// What a verb on the ledger is about.
enum Picked {
    /// These open entries, noted as the answer of the request.
    Now(Vec<Orphan>),
    /// The same request was answered with these entries: nothing is to be done again.
    Before(Vec<Orphan>),
}

async fn pick<C: ConnectionTrait>(
    tx: &C,
    chosen: &OrphanChoice,
    meta: &RequestMeta,
) -> Result<Picked> {
    let before: Option<Vec<i64>> = requests::reserve(tx, meta).await?;
    if let Some(before) = before {
        return by_id(tx, &before).await.map(Picked::Before);
    }
    let which = format!("{CHOSEN} ORDER BY o.id");
    let found = read(tx, &which, choice(chosen)).await?;
    all_found(chosen, &found)?;
    requests::keep(tx, meta, &ids(&found)).await?;
    Ok(Picked::Now(found))
}

/// Entries that the choice names but that are not there.
fn all_found(chosen: &OrphanChoice, found: &[Orphan]) -> Result<()> {
    let missing = chosen
        .ids
        .iter()
        .find(|id| !found.iter().any(|orphan| orphan.id == **id));
    match missing {
        Some(id) => Err(StoreError::NotFound {
            kind: "orphan",
            name: id.to_string(),
        }),
        None => Ok(()),
    }
}

impl Store {
    /// Open entries after `after`, oldest first.
    pub async fn orphans(
        &self,
        chosen: &OrphanChoice,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Orphan>> {
        let mut values = choice(chosen);
        values.extend(args![after, i64::try_from(limit).unwrap_or(i64::MAX)]);
        let which = format!("{CHOSEN} AND o.id > $3 ORDER BY o.id LIMIT $4");
        read(&self.shared.read, &which, values).await
    }

    /// Entries by number, ended ones too.
    pub async fn orphans_by_id(&self, ids: &[i64]) -> Result<Vec<Orphan>> {
        by_id(&self.shared.read, ids).await
    }

    /// Asks for the collection of open entries: the collector deletes them when it is at their
    /// cluster. Answers the entries.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if a chosen number is no open entry.
    pub async fn want_orphans(
        &self,
        chosen: &OrphanChoice,
        meta: &RequestMeta,
    ) -> Result<Vec<Orphan>> {
        transact!(self, tx, {
            let found = match pick(&tx, chosen, meta).await? {
                Picked::Now(found) => found,
                Picked::Before(found) => return Ok(found),
            };
            sql::run(
                &tx,
                "UPDATE orphan SET wanted_ms = now_ms(), tried_ms = NULL, outcome = NULL \
                 WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
                args![sql::json_list(ids(&found))],
            )
            .await?;
            Ok(found)
        })
    }

    /// Takes entries out of the ledger; whatever is there stays there. Answers the entries.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if a chosen number is no open entry.
    pub async fn forget_orphans(
        &self,
        chosen: &OrphanChoice,
        reason: &str,
        meta: &RequestMeta,
    ) -> Result<Vec<Orphan>> {
        transact!(self, tx, {
            let found = match pick(&tx, chosen, meta).await? {
                Picked::Now(found) => found,
                Picked::Before(found) => return Ok(found),
            };
            sql::run(
                &tx,
                "UPDATE orphan SET ended_ms = now_ms(), forgotten = 1, outcome = $2 \
                 WHERE id IN (SELECT v.id FROM json_rows($1; id int) AS v)",
                args![sql::json_list(ids(&found)), format!("forgotten: {reason}")],
            )
            .await?;
            let lines: Vec<Line> = found
                .iter()
                .filter_map(|orphan| {
                    let failure = Failure::new("forgotten", reason);
                    let mut line = line(orphan, "OrphanForgotten", failure)?;
                    line.actor = Some(meta.actor.clone());
                    line.request_id = meta.request_id.clone();
                    Some(line)
                })
                .collect();
            log::append(&tx, &lines).await?;
            Ok(found)
        })
    }

    /// What a try to collect an entry came to; an entry that is over leaves the ledger.
    pub async fn orphan_tried(&self, orphan: &Orphan, tried: &Tried) -> Result<()> {
        let (over, keep, says) = match tried {
            Tried::Over(says) => (true, true, says),
            Tried::Waits(says) => (false, true, says),
            Tried::Still(says) => (false, false, says),
        };
        transact!(self, tx, {
            let changed = sql::run(
                &tx,
                "UPDATE orphan SET tried_ms = now_ms(), outcome = $2, \
                 wanted_ms = CASE WHEN $4 = 1 THEN wanted_ms ELSE NULL END, \
                 ended_ms = CASE WHEN $3 = 1 THEN now_ms() ELSE NULL END \
                 WHERE id = $1 AND ended_ms IS NULL",
                args![orphan.id, says.clone(), i64::from(over), i64::from(keep)],
            )
            .await?;
            if changed == 0 || !over {
                return Ok(());
            }
            let failure = Failure::new("collected", says.clone());
            match line(orphan, "OrphanCollected", failure) {
                Some(line) => log::append(&tx, &[line]).await,
                None => Ok(()),
            }
        })
    }
}

/// A line about an entry in the log of its DIG, which may be gone by now.
pub(crate) fn line(orphan: &Orphan, event: &str, failure: Failure) -> Option<Line> {
    Some(Line {
        dig: orphan.dig_id?,
        context: Some((orphan.context.clone(), 1)),
        resource: orphan.row,
        app: Some(orphan.app.clone()),
        from: Some("Deleted".into()),
        to: "Deleted".into(),
        event: event.to_owned(),
        failure: Some(failure),
        ..Line::default()
    })
}

/// Open entries on a cluster.
pub(crate) async fn on_cluster<C: ConnectionTrait>(db: &C, id: &ClusterId) -> Result<i64> {
    let row = sql::one(
        db,
        "SELECT COUNT(*) AS n FROM orphan WHERE cluster = $1 AND ended_ms IS NULL",
        args![id.to_string()],
    )
    .await?;
    row.map_or(Ok(0), |row| row.int("n"))
}

/// Entries of a cluster that somebody wants collected: what holds others last.
pub(crate) async fn wanted<C: ConnectionTrait>(
    db: &C,
    id: &ClusterId,
    limit: u64,
) -> Result<Vec<Orphan>> {
    let which = "o.cluster = $1 AND o.ended_ms IS NULL AND o.wanted_ms IS NOT NULL \
                 ORDER BY o.shared, o.wave DESC, o.id LIMIT $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    read(db, which, args![id.to_string(), limit]).await
}
