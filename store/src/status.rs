//! Status: heads, counts and pages of rows. A row that waits on a parked cluster is Pending in the
//! table and reads as Retrying through the cluster's row (protocol §8).

use crate::{
    BundleCounts, ContextRow, Result, RowFilter, StatusRow, Store, Summary,
    clusters::connectivity,
    heads::{self, Lock},
    log, ready, resources,
    sql::{self, Columns, args},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, DigRef, RowId},
    readiness::{self, Readiness, Recorded},
    row::{Connectivity, Row},
    state::{Goal, ResourceState},
};
use sea_orm::{ConnectionTrait, QueryResult};
use std::collections::BTreeMap;

/// What the rows of a parked cluster show.
#[derive(Clone)]
pub(crate) struct Parked {
    pub error: Option<Failure>,
    pub attempts: i32,
    pub since_ms: i64,
    pub next_probe_ms: Option<i64>,
}

/// Clusters that do not answer; none for a context that waits for nothing.
pub(crate) async fn parked<C: ConnectionTrait>(
    db: &C,
    context: &ContextRow,
) -> Result<BTreeMap<ClusterId, Parked>> {
    if context.state.is_settled() || context.halted.is_some() {
        return Ok(BTreeMap::new());
    }
    let rows = sql::all(
        db,
        "SELECT id, error_code, error_message, attempts, since_ms, next_probe_ms FROM cluster \
         WHERE connectivity = 'Retrying'",
        vec![],
    )
    .await?;
    rows.iter()
        .map(|row| {
            let parked = Parked {
                error: resources::failure(row)?,
                attempts: row.int("attempts")? as i32,
                since_ms: row.int("since_ms")?,
                next_probe_ms: row.int_opt("next_probe_ms")?,
            };
            Ok((row.parsed("id")?, parked))
        })
        .collect()
}

impl Store {
    /// Head of a status: DIG, actions, context, counts. Cheap for 50,000 rows.
    pub async fn summary(&self, id: &DigRef) -> Result<Summary> {
        let db = &self.shared.read;
        let dig = heads::known_dig(db, id, Lock::None).await?;
        let actions = log::actions(db, dig.id).await?;
        let goal = dig.context.as_ref().map_or(Goal::Apply, |head| head.goal);
        let blocked_by = match &dig.context {
            Some(head) => ready::blocked_by(db, head).await?,
            None => None,
        };
        let mut dig = dig.row();
        if let Some(context) = &mut dig.context
            && blocked_by.is_some()
        {
            context.blocked_by = blocked_by;
        }
        let by_bundle = match &dig.context {
            Some(context) => bundles(db, context, goal).await?,
            None => Vec::new(),
        };
        let ready_as_of_ms = match &dig.context {
            Some(context) => ready_as_of(db, context).await?,
            None => None,
        };
        let mut counts: BTreeMap<String, i64> = ResourceState::NAMES
            .iter()
            .map(|name| ((*name).to_owned(), 0))
            .collect();
        for bundle in &by_bundle {
            for (state, n) in &bundle.counts {
                *counts.entry(state.clone()).or_default() += n;
            }
        }
        Ok(Summary {
            dig,
            actions,
            counts,
            by_bundle,
            ready_as_of_ms,
        })
    }

    /// Rows of the context after `after` (row number), filtered, at most `limit`.
    pub async fn status_rows(
        &self,
        context: &ContextId,
        filter: &RowFilter,
        after: Option<RowId>,
        limit: u64,
    ) -> Result<Vec<Row>> {
        let shown = self.shown_rows(context, filter, after, limit).await?;
        Ok(shown.into_iter().map(|shown| shown.row).collect())
    }

    /// As [`status_rows`](Self::status_rows), with the readiness of the rows' objects.
    pub async fn shown_rows(
        &self,
        context: &ContextId,
        filter: &RowFilter,
        after: Option<RowId>,
        limit: u64,
    ) -> Result<Vec<StatusRow>> {
        let db = &self.shared.read;
        let head = heads::known_context(db, context, Lock::None).await?.row();
        let parked = parked(db, &head).await?;
        let state = filter.state.as_deref().map(capitalised);
        let sql = format!(
            "SELECT {}, d.status AS ready_status, d.code AS ready_code, \
             d.message AS ready_message, d.since_ms AS ready_since_ms FROM resource r \
             LEFT JOIN readiness d ON d.context = r.context AND d.id = r.id \
             WHERE r.context = $1 AND r.id > $2 \
             AND ($3 IS NULL OR r.app = $3) AND ($4 IS NULL OR r.cluster = $4) \
             AND ($5 IS NULL OR LOWER(r.name) = $5 OR LOWER(r.kind || '/' || r.name) = $5 \
             OR LOWER(r.namespace || '/' || r.name) = $5) \
             AND ($6 = 0 OR r.implicit = 0) \
             AND ($7 IS NULL OR $7 = CASE WHEN r.state = 'Pending' AND r.cluster IN \
             (SELECT v.id FROM json_rows($8; id text) AS v) THEN 'Retrying' ELSE r.state END) \
             AND ($10 IS NULL OR $10 = {READINESS}) ORDER BY r.id LIMIT $9",
            resources::ROW
        );
        let rows = sql::all(
            db,
            &sql,
            args![
                context.0.clone(),
                i64::from(after.unwrap_or(RowId::MIN)),
                filter.app.clone(),
                filter.cluster.as_ref().map(ToString::to_string),
                filter.resource.as_ref().map(|text| text.to_lowercase()),
                i64::from(filter.counted_only),
                state,
                sql::json_list(parked.keys()),
                i64::try_from(limit).unwrap_or(i64::MAX),
                filter
                    .readiness
                    .map(|readiness| readiness.as_str().to_owned())
            ],
        )
        .await?;
        rows.iter()
            .map(|found| shown(found, &parked, head.halted.as_deref()))
            .collect()
    }
}

/// [`readiness::shown`] of a row `r` and its record `d`, in SQL; a test holds them together.
const READINESS: &str = "CASE WHEN r.state = 'Deleted' THEN 'NotPresent' \
    WHEN r.state = 'Applied' AND d.status = 'Unseen' THEN 'NotReady' \
    WHEN r.state = 'Applied' THEN COALESCE(d.status, 'Ready') \
    WHEN d.status = 'NotPresent' THEN 'NotPresent' WHEN r.goal = 'Delete' THEN 'NotReady' \
    WHEN d.status IN ('Ready', 'NotReady') THEN d.status ELSE 'NotPresent' END";

fn shown(
    found: &QueryResult,
    parked: &BTreeMap<ClusterId, Parked>,
    halted: Option<&str>,
) -> Result<StatusRow> {
    let row = resources::row(found)?;
    let recorded = match found.text_opt("ready_status")? {
        Some(_) => Some(found.parsed::<Recorded>("ready_status")?),
        None => None,
    };
    let readiness = readiness::shown(row.state, recorded);
    // What keeps a row that is not Applied is said by the row itself.
    let said = row.state == ResourceState::Applied && readiness != Readiness::Ready;
    let reason = match found.text_opt("ready_code")?.filter(|_| said) {
        Some(code) => Some(Failure {
            code,
            message: found.text_opt("ready_message")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(StatusRow {
        row: seen(row, parked, halted),
        readiness,
        reason,
        readiness_since_ms: found.int_opt("ready_since_ms")?,
    })
}

/// The row as it is shown.
fn seen(mut row: Row, parked: &BTreeMap<ClusterId, Parked>, halted: Option<&str>) -> Row {
    let waits = matches!(
        row.state,
        ResourceState::Pending(_) | ResourceState::Retrying(_)
    );
    if let Some(why) = halted.filter(|_| waits) {
        row.blocked_by = Some(why.to_owned());
        row.next_attempt_ms = None;
        return row;
    }
    let ResourceState::Pending(goal) = row.state else {
        return row;
    };
    if let Some(parked) = parked.get(&row.key.cluster) {
        row.state = ResourceState::Retrying(goal);
        row.error = parked.error.clone();
        row.attempts = parked.attempts;
        row.since_ms = parked.since_ms.max(row.since_ms);
        row.failing_since_ms = Some(row.failing_since_ms.unwrap_or(row.since_ms));
        row.next_attempt_ms = parked.next_probe_ms;
    }
    row
}

/// The time up to which readiness is known on all clusters of a context.
async fn ready_as_of<C: ConnectionTrait>(db: &C, context: &ContextRow) -> Result<Option<i64>> {
    let row = sql::one(
        db,
        "SELECT MIN(COALESCE(a.synced_ms, 0)) AS synced FROM watched w \
         LEFT JOIN watcher a ON a.cluster = w.cluster WHERE w.context = $1",
        args![context.id.0.clone()],
    )
    .await?;
    let synced = row.map_or(Ok(None), |row| row.int_opt("synced"))?;
    // What was known before this life says nothing of it.
    Ok(synced.filter(|at| *at >= context.started_ms))
}

/// Rows with something recorded, by app, cluster, state and record.
async fn recorded<C: ConnectionTrait>(
    db: &C,
    context: &ContextRow,
) -> Result<BTreeMap<(String, ClusterId, String), Vec<(Recorded, i64)>>> {
    let rows = sql::all(
        db,
        "SELECT r.app, r.cluster, r.state, d.status, COUNT(*) AS n FROM readiness d \
         JOIN resource r ON r.context = d.context AND r.id = d.id \
         WHERE d.context = $1 AND r.implicit = 0 GROUP BY r.app, r.cluster, r.state, d.status",
        args![context.id.0.clone()],
    )
    .await?;
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in &rows {
        let key = (row.text("app")?, row.parsed("cluster")?, row.text("state")?);
        let record = (row.parsed("status")?, row.int("n")?);
        found.entry(key).or_default().push(record);
    }
    Ok(found)
}

async fn bundles<C: ConnectionTrait>(
    db: &C,
    context: &ContextRow,
    goal: Goal,
) -> Result<Vec<BundleCounts>> {
    let recorded = recorded(db, context).await?;
    let parked = parked(db, context).await?;
    let rows = sql::all(
        db,
        "SELECT g.app, g.cluster, g.state, g.n, c.connectivity FROM \
         (SELECT app, cluster, state, COUNT(*) AS n FROM resource \
         WHERE context = $1 AND implicit = 0 GROUP BY app, cluster, state) AS g \
         LEFT JOIN cluster c ON c.id = g.cluster ORDER BY g.app, g.cluster",
        args![context.id.0.clone()],
    )
    .await?;
    let mut bundles: Vec<BundleCounts> = Vec::new();
    for row in &rows {
        let (app, cluster): (String, ClusterId) = (row.text("app")?, row.parsed("cluster")?);
        let mut state = row.text("state")?;
        let n = row.int("n")?;
        let of = ResourceState::from_name(&state, goal)
            .map_err(|error| sql::corrupt(&error.to_string()))?;
        let records = recorded
            .get(&(app.clone(), cluster.clone(), state.clone()))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let unrecorded = n - records.iter().map(|(_, n)| n).sum::<i64>();
        if state == "Pending" && parked.contains_key(&cluster) {
            "Retrying".clone_into(&mut state);
        }
        if bundles
            .last()
            .is_none_or(|last| last.app != app || last.cluster != cluster)
        {
            let text = row.text_opt("connectivity")?;
            bundles.push(BundleCounts {
                app,
                cluster,
                connectivity: text.map_or(Connectivity::Unknown, |text| connectivity(&text)),
                counts: BTreeMap::new(),
                ready: BTreeMap::new(),
            });
        }
        if let Some(last) = bundles.last_mut() {
            *last.counts.entry(state).or_default() += n;
            let records = records.iter().map(|(record, n)| (Some(*record), *n));
            for (record, n) in records.chain([(None, unrecorded)]) {
                *last.ready.entry(readiness::shown(of, record)).or_default() += n;
            }
        }
    }
    Ok(bundles)
}

/// `retrying` as the store writes it.
fn capitalised(text: &str) -> String {
    let known = ResourceState::NAMES
        .iter()
        .find(|name| name.eq_ignore_ascii_case(text));
    known.map_or_else(|| text.to_owned(), |name| (*name).to_owned())
}
