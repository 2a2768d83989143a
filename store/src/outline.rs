//! What is still to be driven, as bundles.

use crate::{
    Result, Store,
    heads::{self, Lock},
    resources,
    sql::{self, Columns, args},
};
use model::{
    ids::{ClusterId, ContextId, Fence, RowId},
    plan::{self, Class, OpenRow, Outline, Slice},
    state::Goal,
};
use std::collections::{BTreeSet, HashSet};

struct Open {
    id: RowId,
    app: String,
    cluster: ClusterId,
    wave: i32,
    class: Class,
    failed: bool,
}

impl Store {
    /// Rows of a slice (or all) that are neither in the target nor Failed, as bundles in driving
    /// order for the goal (waves reversed for Delete). `None` = the fence or the goal moved. A
    /// slice brings along the shared rows of its clusters, and those that stand in its range when
    /// nothing else of their cluster waits.
    pub async fn outline(
        &self,
        context: &ContextId,
        fence: Fence,
        goal: Goal,
        slice: Option<&Slice>,
    ) -> Result<Option<Outline>> {
        let db = &self.shared.read;
        let head = heads::known_context(db, context, Lock::None).await?;
        if !head.is(fence) || head.goal != goal {
            return Ok(None);
        }
        let ranges: Vec<String> = match slice {
            Some(slice) => slice
                .ranges()
                .map(|(from, to)| format!("id BETWEEN {from} AND {to} OR "))
                .collect(),
            None => vec!["1 = 1 OR ".to_owned()],
        };
        let rows = sql::all(
            db,
            &format!(
                "SELECT id, app, cluster, wave, shared, state FROM resource WHERE context = $1 \
                 AND state IN ('Pending', 'Retrying', 'Failed') \
                 AND ({}shared = 1 OR state = 'Failed') ORDER BY id",
                ranges.concat()
            ),
            args![context.0.clone()],
        )
        .await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in &rows {
            open.push(Open {
                id: row.int("id")? as RowId,
                app: row.text("app")?,
                cluster: row.parsed("cluster")?,
                wave: row.int("wave")? as i32,
                class: resources::class(row.int("shared")?),
                failed: row.text("state")? == "Failed",
            });
        }
        if let Some(slice) = slice {
            let busy = self.busy_clusters(context).await?;
            keep_slice(&mut open, slice, &busy);
        }
        let rows = open.iter().map(|row| OpenRow {
            id: row.id,
            app: &row.app,
            cluster: &row.cluster,
            wave: row.wave,
            class: row.class,
            failed: row.failed,
        });
        let mut outline = plan::outline(rows, goal);
        outline.bundles.retain(|bundle| {
            let mut waves = bundle.waves.iter().chain(&bundle.shared);
            bundle.failed || waves.any(|wave| !wave.is_empty())
        });
        Ok(Some(outline))
    }

    /// Clusters with own rows that wait.
    async fn busy_clusters(&self, context: &ContextId) -> Result<BTreeSet<ClusterId>> {
        let rows = sql::all(
            &self.shared.read,
            "SELECT DISTINCT cluster FROM resource WHERE context = $1 AND shared = 0 \
             AND state IN ('Pending', 'Retrying')",
            args![context.0.clone()],
        )
        .await?;
        rows.iter().map(|row| row.parsed("cluster")).collect()
    }
}

fn keep_slice(open: &mut Vec<Open>, slice: &Slice, busy: &BTreeSet<ClusterId>) {
    let inside = |row: &Open| slice.contains(row.id);
    let own = |row: &&Open| row.class == Class::Own && inside(row) && !row.failed;
    let bundles: HashSet<(String, ClusterId)> = open
        .iter()
        .filter(own)
        .map(|row| (row.app.clone(), row.cluster.clone()))
        .collect();
    let clusters: HashSet<ClusterId> = bundles.iter().map(|(_, c)| c.clone()).collect();
    open.retain(|row| match row.class {
        Class::Own if row.failed => bundles.contains(&(row.app.clone(), row.cluster.clone())),
        Class::Own => inside(row),
        Class::Shared => {
            clusters.contains(&row.cluster) || (inside(row) && !busy.contains(&row.cluster))
        }
    });
}
