//! Status: heads, counts and pages of rows. A row that waits on a parked cluster is Pending in the
//! table and reads as Retrying through the cluster's row (protocol §8).

use crate::{
    BundleCounts, ContextRow, Result, RowFilter, Store, Summary,
    clusters::connectivity,
    heads::{self, Lock},
    log, resources,
    sql::{self, Columns, args},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, DigRef, RowId},
    row::{Connectivity, Row},
    state::ResourceState,
};
use sea_orm::ConnectionTrait;
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
        let dig = dig.row();
        let by_bundle = match &dig.context {
            Some(context) => bundles(db, context).await?,
            None => Vec::new(),
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
        let db = &self.shared.read;
        let head = heads::known_context(db, context, Lock::None).await?.row();
        let parked = parked(db, &head).await?;
        let state = filter.state.as_deref().map(capitalised);
        let sql = format!(
            "SELECT {} FROM resource r WHERE r.context = $1 AND r.id > $2 \
             AND ($3 IS NULL OR r.app = $3) AND ($4 IS NULL OR r.cluster = $4) \
             AND ($5 IS NULL OR LOWER(r.name) = $5 OR LOWER(r.kind || '/' || r.name) = $5 \
             OR LOWER(r.namespace || '/' || r.name) = $5) \
             AND ($6 = 0 OR r.implicit = 0) \
             AND ($7 IS NULL OR $7 = CASE WHEN r.state = 'Pending' AND r.cluster IN \
             (SELECT v.id FROM json_rows($8; id text) AS v) THEN 'Retrying' ELSE r.state END) \
             ORDER BY r.id LIMIT $9",
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
                i64::try_from(limit).unwrap_or(i64::MAX)
            ],
        )
        .await?;
        rows.iter()
            .map(|row| resources::row(row).map(|row| seen(row, &parked, head.halted.as_deref())))
            .collect()
    }
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

async fn bundles<C: ConnectionTrait>(db: &C, context: &ContextRow) -> Result<Vec<BundleCounts>> {
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
            });
        }
        if let Some(last) = bundles.last_mut() {
            *last.counts.entry(state).or_default() += row.int("n")?;
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
