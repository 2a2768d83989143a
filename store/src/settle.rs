//! Settling a context: its rows, counted in SQL and folded by the model, become one event.

use crate::{
    Result, SettleRow, Store,
    abandon::{self, ON_ABANDONED},
    chunks::{self, CHUNK},
    claims,
    heads::{self, Head, Lock},
    log::{self, Line},
    proof, ready, resources,
    sql::{self, Columns, args, transact},
    watched,
};
use model::{
    health::{Counts, Fold, HeldBack, Trouble, Wait, fold},
    ids::{ContextId, Fence},
    state::{ContextState, Goal, ResourceState, context},
};
use sea_orm::ConnectionTrait;

impl Store {
    /// Compare-and-set on (fence, state), folded from the rows in SQL, fence + 1. Terminated asks
    /// for more: absence proven under this fence on every cluster, no attempt of the context
    /// unexpired; its claims end with it.
    pub async fn settle(&self, context: &ContextId, fence: Fence) -> Result<SettleRow> {
        self.release_ahead(context, fence).await?;
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            if !head.is(fence) || head.state.is_settled() {
                return Ok(SettleRow::Moved);
            }
            let mut counts = counts(&tx, &head).await?;
            if head.halted.is_some() {
                // What is in flight is awaited; what still waits stays as it is.
                if in_flight(&tx, context).await? {
                    return Ok(SettleRow::Unfinished);
                }
                counts.held_back += std::mem::take(&mut counts.open);
            }
            let readiness = wait(&tx, &head, counts).await?;
            let Some(event) = fold(counts, readiness).event() else {
                return Ok(SettleRow::Unfinished);
            };
            let Ok(Some(to)) = context::next(Some(head.state), event) else {
                return Ok(SettleRow::Unfinished);
            };
            if to == ContextState::Terminated {
                if !proof::stands(&tx, &head).await? || unexpired(&tx, context).await? {
                    return Ok(SettleRow::Unfinished);
                }
                claims::release_some(&tx, context, i64::MAX).await?;
                watched::end(&tx, context).await?;
                // Those on clusters that were given up may still take effect: a next life waits.
                let sql = "DELETE FROM attempt WHERE context = $1 AND effect_until < now_ms()";
                sql::run(&tx, sql, args![context.0.clone()]).await?;
                abandon::bury(&tx, &head).await?;
            }
            let fence = sql::next_fence(&tx).await?;
            sql::run(
                &tx,
                "UPDATE context SET state = $2, fence = $3, changed_ms = now_ms(), \
                 blocked_by = NULL WHERE id = $1",
                args![context.0.clone(), to.as_str(), fence],
            )
            .await?;
            let line = Line::of_context(&head, Some(head.state), to, event);
            log::append(&tx, &[line]).await?;
            Ok(SettleRow::Settled(to))
        })
    }

    /// Gives up the claims of a large context in chunks, once all its objects are proven absent,
    /// so that the transaction that settles is short.
    async fn release_ahead(&self, context: &ContextId, fence: Fence) -> Result<()> {
        let db = &self.shared.read;
        if !chunks::is_large(db, context).await? {
            return Ok(());
        }
        let left = sql::one(
            db,
            "SELECT id FROM resource WHERE context = $1 AND state <> 'Deleted' LIMIT 1",
            args![context.0.clone()],
        )
        .await?;
        if left.is_some() {
            return Ok(());
        }
        loop {
            let released = transact!(self, tx, {
                let head = heads::known_context(&tx, context, Lock::Share).await?;
                if !head.is(fence) || !proof::stands(&tx, &head).await? {
                    return Ok(0);
                }
                claims::release_some(&tx, context, CHUNK).await
            })?;
            if released < CHUNK as u64 {
                return Ok(());
            }
        }
    }
}

/// Where a context stands that is to be ready, not only applied.
async fn wait<C: ConnectionTrait>(db: &C, head: &Head, counts: Counts) -> Result<Wait> {
    // Who has other trouble is not asked.
    if !ready::is_asked(head) || fold(counts, Wait::Over) != Fold::Settled {
        return Ok(Wait::Over);
    }
    Ok(match ready::lacking(db, &head.id, None).await? {
        None => Wait::Over,
        Some(lacking) if lacking.expired(head) => Wait::Expired,
        Some(_) => Wait::Unready,
    })
}

async fn counts<C: ConnectionTrait>(db: &C, head: &Head) -> Result<Counts> {
    let rows = sql::all(
        db,
        "SELECT state, goal, app, cluster, wave, shared, COUNT(*) AS n FROM resource \
         WHERE context = $1 GROUP BY state, goal, app, cluster, wave, shared",
        args![head.id.0.clone()],
    )
    .await?;
    let mut groups = Vec::with_capacity(rows.len());
    for row in &rows {
        let goal: Goal = row.parsed("goal")?;
        let state = ResourceState::from_name(&row.text("state")?, goal)
            .map_err(|error| sql::corrupt(&error.to_string()))?;
        let place = Trouble {
            app: row.text("app")?,
            cluster: row.parsed("cluster")?,
            wave: row.int("wave")? as i32,
            class: resources::class(row.int("shared")?),
        };
        groups.push((state, place, row.int("n")? as u64));
    }
    let troubles = groups
        .iter()
        .filter(|(state, ..)| matches!(state, ResourceState::Failed(_)))
        .map(|(_, place, _)| place.clone());
    let held_back = HeldBack::new(troubles, &head.apps, head.goal);
    let mut counts = Counts::default();
    for (state, at, n) in &groups {
        let mut one = Counts::default();
        one.add(*state, head.goal, || {
            held_back.holds_at(&at.app, &at.cluster, at.wave, at.class)
        });
        counts.reached += one.reached * n;
        counts.failed += one.failed * n;
        counts.held_back += one.held_back * n;
        counts.open += one.open * n;
    }
    Ok(counts)
}

/// A request of the context has no answer yet (or its process died).
async fn in_flight<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<bool> {
    let row = sql::one(
        db,
        "SELECT 1 AS n FROM attempt WHERE context = $1 AND closed = 0 \
         AND effect_until >= now_ms() LIMIT 1",
        args![context.0.clone()],
    )
    .await?;
    Ok(row.is_some())
}

/// A request of the context may still take effect where its absence has to be proven.
async fn unexpired<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<bool> {
    let sql = format!(
        "SELECT 1 AS n FROM attempt a WHERE a.context = $1 AND a.effect_until >= now_ms() \
         AND NOT {ON_ABANDONED} LIMIT 1"
    );
    let row = sql::one(db, &sql, args![context.0.clone()]).await?;
    Ok(row.is_some())
}
