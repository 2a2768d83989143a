//! Problems: rows that failed or wait, grouped by cause, worst first.

use crate::{
    ContextRow, Problem, Result, Store,
    heads::{self, Lock},
    resources,
    sql::{self, Columns, args},
    status,
};
use model::{
    document::{OpStatus, WaitFor},
    failure::Failure,
    ids::{ClusterId, ContextId, RowId},
    readiness::{NOT_PRESENT, NOT_READY, Readiness},
    state::Goal,
};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of one kind that are shown; the counts of a status tell of the others.
const MOST: i64 = 500;
/// Nobody asked for readiness, and it is missing for so long.
const LASTS_MS: i64 = 60_000;

impl Store {
    /// Waiting and failed rows grouped by cause (cluster, app, code, message), worst first.
    pub async fn problems(&self, context: &ContextId) -> Result<Vec<Problem>> {
        let head = heads::known_context(&self.shared.read, context, Lock::None)
            .await?
            .row();
        let parked = status::parked(&self.shared.read, &head).await?;
        // Rank, problem, number of its first row.
        let mut found: Vec<(u8, Problem, RowId)> = self.troubled(context).await?;
        found.extend(
            self.waiting(context, &parked, head.halted.as_deref())
                .await?,
        );
        if let Some(why) = &head.halted {
            // Nothing is tried any more, whatever was planned.
            for (_, problem, _) in found.iter_mut().filter(|(rank, ..)| *rank > 0) {
                problem.blocked_by = Some(why.clone());
                problem.next_attempt_ms = None;
            }
        }
        found.extend(self.unready(&head, &parked).await?);
        found.sort_by_key(|(rank, problem, first)| (*rank, -problem.count, *first));
        let singles: Vec<RowId> = found
            .iter()
            .filter(|(_, problem, _)| problem.count == 1)
            .map(|(.., first)| *first)
            .collect();
        let keys: BTreeMap<RowId, _> = self
            .rows(context, &singles)
            .await?
            .into_iter()
            .map(|row| (row.id, row.key))
            .collect();
        Ok(found
            .into_iter()
            .map(|(_, mut problem, first)| {
                if problem.count == 1 {
                    problem.resource = keys.get(&first).cloned();
                }
                problem
            })
            .collect())
    }

    /// Failed and Retrying rows by what they say.
    async fn troubled(&self, context: &ContextId) -> Result<Vec<(u8, Problem, RowId)>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT state, goal, cluster, app, error_code, error_message, COUNT(*) AS n, \
             MIN(id) AS first, MAX(attempts) AS attempts, \
             MIN(COALESCE(failing_since_ms, since_ms)) AS since, \
             MIN(next_attempt_ms) AS next, MIN(blocked_by) AS blocked_by \
             FROM resource WHERE context = $1 AND state IN ('Failed', 'Retrying') \
             GROUP BY state, goal, cluster, app, error_code, error_message \
             ORDER BY state, COUNT(*) DESC LIMIT $2",
            args![context.0.clone(), MOST],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let failed = row.text("state")? == "Failed";
                let blocked_by = row.text_opt("blocked_by")?;
                let failure =
                    resources::failure(row)?.unwrap_or_else(|| match blocked_by.as_deref() {
                        Some(by) => Failure::blocked(by),
                        None => Failure::new("waiting", "waits"),
                    });
                let problem = Problem {
                    cluster: Some(row.parsed("cluster")?),
                    app: Some(row.text("app")?),
                    resource: None,
                    count: row.int("n")?,
                    goal: row.parsed("goal")?,
                    failure,
                    attempts: row.int("attempts")? as i32,
                    since_ms: row.int("since")?,
                    next_attempt_ms: row.int_opt("next")?,
                    blocked_by,
                };
                let rank = if failed { 0 } else { 2 };
                Ok((rank, problem, row.int("first")? as RowId))
            })
            .collect()
    }

    /// Applied rows that are not ready, where that matters: somebody waits for it, it lasts, or the
    /// object is gone.
    async fn unready(
        &self,
        head: &ContextRow,
        parked: &BTreeMap<ClusterId, status::Parked>,
    ) -> Result<Vec<(u8, Problem, RowId)>> {
        let asked = head.policy.wait_for == WaitFor::Ready;
        // Apps that others wait for.
        let awaited: BTreeSet<&str> = (head.apps.iter().flat_map(|app| &app.depends_on))
            .filter(|on| on.op_status == OpStatus::Ready)
            .map(|on| on.app.as_str())
            .filter(|_| !head.state.is_settled())
            .collect();
        let rows = sql::all(
            &self.shared.read,
            "SELECT d.status, r.cluster, r.app, d.code, d.message, COUNT(*) AS n, \
             MIN(r.id) AS first, MAX(r.attempts) AS attempts, MAX(d.stuck) AS stuck, \
             MIN(CASE WHEN d.since_ms > r.since_ms THEN d.since_ms ELSE r.since_ms END) AS since, \
             now_ms() AS now \
             FROM readiness d JOIN resource r ON r.context = d.context AND r.id = d.id \
             WHERE d.context = $1 AND d.status <> 'Ready' AND r.state = 'Applied' \
             GROUP BY d.status, r.cluster, r.app, d.code, d.message \
             ORDER BY COUNT(*) DESC LIMIT $2",
            args![head.id.0.clone(), MOST],
        )
        .await?;
        let mut found = Vec::new();
        for row in &rows {
            let (app, since_ms) = (row.text("app")?, row.int("since")?);
            let gone = row.text("status")? == Readiness::NotPresent.as_str();
            let lasts = row.int("now")? - since_ms > LASTS_MS || row.int("stuck")? > 0;
            if !(asked || gone || lasts || awaited.contains(app.as_str())) {
                continue;
            }
            let cluster: ClusterId = row.parsed("cluster")?;
            let code = if gone { NOT_PRESENT } else { NOT_READY };
            let mut problem = Problem {
                app: Some(app),
                resource: None,
                count: row.int("n")?,
                goal: Goal::Apply,
                failure: Failure::new(code, row.text_opt("message")?.unwrap_or_default()),
                attempts: row.int("attempts")? as i32,
                since_ms,
                next_attempt_ms: None,
                blocked_by: None,
                cluster: None,
            };
            if let Some(parked) = parked.get(&cluster) {
                problem.next_attempt_ms = parked.next_probe_ms;
                if let Some(error) = &parked.error {
                    let known = problem.failure.message;
                    let message = format!("{} (last known: {known})", error.message);
                    problem.failure = Failure::new(&error.code, message);
                }
            }
            problem.cluster = Some(cluster);
            found.push((4, problem, row.int("first")? as RowId));
        }
        Ok(found)
    }

    /// Pending rows on parked clusters, and those that wait for something they name.
    async fn waiting(
        &self,
        context: &ContextId,
        parked: &BTreeMap<model::ids::ClusterId, status::Parked>,
        halted: Option<&str>,
    ) -> Result<Vec<(u8, Problem, RowId)>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT goal, cluster, app, blocked_by, parked, COUNT(*) AS n, MIN(id) AS first, \
             MAX(attempts) AS attempts, MIN(since_ms) AS since FROM \
             (SELECT goal, cluster, app, id, attempts, since_ms, 1 AS parked, \
             CAST(NULL AS TEXT) AS blocked_by \
             FROM resource WHERE context = $1 AND state = 'Pending' \
             AND cluster IN (SELECT v.id FROM json_rows($3; id text) AS v) \
             UNION ALL \
             SELECT goal, cluster, app, id, attempts, since_ms, 0 AS parked, \
             COALESCE($4, blocked_by) AS blocked_by \
             FROM resource WHERE context = $1 AND state = 'Pending' \
             AND COALESCE($4, blocked_by) IS NOT NULL \
             AND cluster NOT IN (SELECT v.id FROM json_rows($3; id text) AS v)) AS w \
             GROUP BY goal, cluster, app, blocked_by, parked ORDER BY COUNT(*) DESC LIMIT $2",
            args![
                context.0.clone(),
                MOST,
                sql::json_list(parked.keys()),
                halted.map(str::to_owned)
            ],
        )
        .await?;
        rows.iter()
            .map(|row| {
                let cluster = row.parsed("cluster")?;
                let blocked_by = row.text_opt("blocked_by")?;
                let mut problem = Problem {
                    app: Some(row.text("app")?),
                    resource: None,
                    count: row.int("n")?,
                    goal: row.parsed("goal")?,
                    failure: Failure::blocked(blocked_by.as_deref().unwrap_or_default()),
                    attempts: row.int("attempts")? as i32,
                    since_ms: row.int("since")?,
                    next_attempt_ms: None,
                    blocked_by,
                    cluster: None,
                };
                let mut rank = 3;
                if let Some(parked) = parked.get(&cluster) {
                    rank = 1;
                    problem.attempts = parked.attempts;
                    problem.since_ms = parked.since_ms.max(problem.since_ms);
                    problem.next_attempt_ms = parked.next_probe_ms;
                    if let Some(error) = &parked.error {
                        problem.failure = error.clone();
                    }
                }
                problem.cluster = Some(cluster);
                Ok((rank, problem, row.int("first")? as RowId))
            })
            .collect()
    }
}
