//! One event fired at many rows: the machine is asked once for each kind of row there is, the
//! database does the rest in sets.

use crate::{
    Result,
    heads::Head,
    log::kept,
    sql::{self, Columns, args},
};
use model::{
    failure::Failure,
    ids::ClusterId,
    state::{Goal, ResourceEvent, ResourceState, resource},
};
use sea_orm::ConnectionTrait;

/// Which rows of the context, and what goes with the event.
#[derive(Default)]
pub(crate) struct Bulk<'a> {
    /// Rows of the bundle, and the shared ones of its cluster.
    pub bundle: Option<(&'a str, &'a ClusterId)>,
    /// Only own rows of this cluster.
    pub own_on: Option<&'a ClusterId>,
    /// Why their objects stay where they are.
    pub kept: Option<&'a str>,
    /// Only rows that wait (Pending, Retrying).
    pub waiting_only: bool,
    /// Only rows with numbers in this range.
    pub rows: Option<(i64, i64)>,
    pub failure: Option<&'a Failure>,
}

/// Fires `event(sent)` at every row that the machine lets it move; the context is locked for
/// update. Logs one line per row that moved. Nothing may be locked afterwards.
pub(crate) async fn fire<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    event: impl Fn(bool) -> ResourceEvent,
    bulk: Bulk<'_>,
) -> Result<u64> {
    let (app, cluster) = match (bulk.bundle, bulk.own_on) {
        (Some((app, cluster)), _) => (Some(app.to_owned()), Some(cluster.to_string())),
        (None, cluster) => (None, cluster.map(ToString::to_string)),
    };
    let range = bulk.rows.map_or(String::new(), |(first, last)| {
        format!(" AND id BETWEEN {first} AND {last}")
    });
    let kinds = sql::all(
        db,
        &format!(
            "SELECT DISTINCT goal, state, \
             CAST(CASE WHEN sent > 0 THEN 1 ELSE 0 END AS BIGINT) AS sent \
             FROM resource WHERE context = $1{range}"
        ),
        args![head.id.0.clone()],
    )
    .await?;
    sql::lock_log(db).await?;
    let mut moved = 0;
    for kind in kinds {
        let goal: Goal = kind.parsed("goal")?;
        let from = ResourceState::from_name(&kind.text("state")?, goal)
            .map_err(|error| sql::corrupt(&error.to_string()))?;
        let sent = kind.int("sent")? != 0;
        if bulk.waiting_only
            && !matches!(from, ResourceState::Pending(_) | ResourceState::Retrying(_))
        {
            continue;
        }
        let event = event(sent);
        let Ok(Some(to)) = resource::next(Some(from), event) else {
            continue;
        };
        if to == from && matches!(to, ResourceState::Applied | ResourceState::Deleted) {
            continue;
        }
        let which = format!(
            "context = $1 AND state = $2 AND goal = $3 \
             AND CASE WHEN sent > 0 THEN 1 ELSE 0 END = $4 \
             AND ($5 IS NULL OR app = $5 OR shared = 1) AND ($6 IS NULL OR cluster = $6) \
             AND ($7 = 0 OR shared = 0){range}"
        );
        let selection = || {
            args![
                head.id.0.clone(),
                from.name(),
                goal.as_str(),
                i64::from(sent),
                app.clone(),
                cluster.clone(),
                i64::from(bulk.own_on.is_some())
            ]
        };
        let parts = |failure: &Failure| (failure.code.clone(), failure.message.clone());
        let (code, message) = bulk.failure.map(parts).unzip();
        let why = bulk.failure.cloned().or_else(|| bulk.kept.map(kept));
        let (log_code, log_message) = why.as_ref().map(parts).unzip();
        if to != from {
            let mut values = selection();
            values.extend(args![
                head.dig,
                head.revision,
                from.to_string(),
                to.to_string(),
                event.to_string(),
                log_code,
                log_message
            ]);
            sql::run(
                db,
                &format!(
                    "INSERT INTO event (dig, time_ms, context, revision, resource, app, \
                     from_state, to_state, event, attempt, code, message) \
                     SELECT $8, now_ms(), context, $9, id, app, $10, $11, $12, attempts, $13, $14 \
                     FROM resource WHERE {which} ORDER BY id"
                ),
                values,
            )
            .await?;
        }
        let mut values = selection();
        // A new goal, or a new try towards it, starts counting anew; a failure ends the counting.
        let anew = bulk.failure.is_none();
        values.extend(args![
            to.name(),
            to.goal().as_str(),
            code,
            message,
            i64::from(anew),
            bulk.kept.map(str::to_owned)
        ]);
        moved += sql::run(
            db,
            &format!(
                "UPDATE resource SET state = $8, goal = $9, since_ms = now_ms(), \
                 error_code = $10, error_message = $11, next_attempt_ms = NULL, \
                 kept = COALESCE($13, kept), \
                 blocked_by = NULL, attempts = CASE WHEN $12 = 1 THEN 0 ELSE attempts END, \
                 failing_since_ms = CASE WHEN $12 = 1 THEN NULL \
                 ELSE COALESCE(failing_since_ms, now_ms()) END WHERE {which}"
            ),
            values,
        )
        .await?;
    }
    Ok(moved)
}
