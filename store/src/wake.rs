//! Waking workflows: what was accepted and not acknowledged, and what is not settled.

use crate::{
    Result, Store, WakeRow,
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ContextId, DigRef, Fence},
    state::ContextState,
};
use sea_orm::QueryResult;

fn wake(row: &QueryResult) -> Result<WakeRow> {
    Ok(WakeRow {
        context: ContextId(row.text("id")?),
        dig: DigRef {
            project: row.text("project")?,
            name: row.text("name")?,
        },
        goal: row.parsed("goal")?,
        fence: Fence(row.int("wanted")?),
    })
}

impl Store {
    /// Contexts with `acked < wanted`, oldest wish first.
    pub async fn unacked(&self, limit: u64) -> Result<Vec<WakeRow>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT id, project, name, goal, wanted FROM context WHERE acked < wanted \
             ORDER BY wanted LIMIT $1",
            args![i64::try_from(limit).unwrap_or(i64::MAX)],
        )
        .await?;
        rows.iter().map(wake).collect()
    }

    /// `acked = max(acked, fence)`.
    pub async fn ack(&self, context: &ContextId, fence: Fence) -> Result<()> {
        transact!(self, tx, {
            sql::run(
                &tx,
                "UPDATE context SET acked = $2 WHERE id = $1 AND acked < $2",
                args![context.0.clone(), fence.0],
            )
            .await
        })?;
        Ok(())
    }

    /// Every context that is not settled.
    pub async fn unsettled(&self) -> Result<Vec<WakeRow>> {
        let states = ContextState::ALL
            .iter()
            .filter(|state| !state.is_settled())
            .map(|state| state.as_str());
        let rows = sql::all(
            &self.shared.read,
            "SELECT c.id, c.project, c.name, c.goal, c.wanted \
             FROM json_rows($1; state text) AS v JOIN context c ON c.state = v.state \
             ORDER BY c.wanted",
            args![sql::json_list(states)],
        )
        .await?;
        rows.iter().map(wake).collect()
    }
}
