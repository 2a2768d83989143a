//! What the accept of a large context leaves to the run that takes it up: the work on every row,
//! in chunks, so that no transaction holds SQLite's only writer for longer than W.

use crate::{
    Result, Store,
    bulk::{self, Bulk},
    heads::{self, Head, Lock},
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ContextId, Fence},
    state::{ContextState, Goal, ResourceEvent},
};
use sea_orm::ConnectionTrait;

/// Rows of one transaction; a context with more is large.
pub(crate) const CHUNK: i64 = 2_000;

pub(crate) async fn is_large<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<bool> {
    let row = sql::one(
        db,
        "SELECT COUNT(*) AS n FROM (SELECT id FROM resource WHERE context = $1 LIMIT $2) AS part",
        args![context.0.clone(), CHUNK + 1],
    )
    .await?;
    Ok(row.map_or(Ok(0), |row| row.int("n"))? > CHUNK)
}

/// The first line of every row, or the note that they are still to be written.
pub(crate) async fn born<C: ConnectionTrait>(db: &C, head: &Head) -> Result<()> {
    if is_large(db, &head.id).await? {
        let sql = "UPDATE context SET unborn = 0 WHERE id = $1";
        sql::run(db, sql, args![head.id.0.clone()]).await?;
        return Ok(());
    }
    first_lines(db, head, 0, i64::MAX).await?;
    Ok(())
}

/// Fires Terminate at every row; those of a large context are moved by [`Store::catch_up`].
pub(crate) async fn terminate<C: ConnectionTrait>(db: &C, head: &Head) -> Result<()> {
    if !is_large(db, &head.id).await? {
        let event = |sent| ResourceEvent::Terminate { sent };
        bulk::fire(db, head, event, Bulk::default()).await?;
    }
    Ok(())
}

/// Lets every row that is not where it should be begin anew, or notes that those of a large context
/// are still to.
pub(crate) async fn anew<C: ConnectionTrait>(db: &C, head: &Head) -> Result<()> {
    if is_large(db, &head.id).await? {
        let sql = "UPDATE context SET anew = 0 WHERE id = $1";
        sql::run(db, sql, args![head.id.0.clone()]).await?;
        return Ok(());
    }
    begin_anew(db, head, None).await
}

async fn begin_anew<C: ConnectionTrait>(
    db: &C,
    head: &Head,
    rows: Option<(i64, i64)>,
) -> Result<()> {
    let event = |sent| match head.goal {
        Goal::Apply => ResourceEvent::Instantiate,
        Goal::Delete => ResourceEvent::Terminate { sent },
    };
    let bulk = Bulk {
        rows,
        ..Bulk::default()
    };
    bulk::fire(db, head, event, bulk).await.map(|_| ())
}

async fn first_lines<C: ConnectionTrait>(db: &C, head: &Head, from: i64, to: i64) -> Result<u64> {
    sql::run(
        db,
        "INSERT INTO event (dig, time_ms, context, revision, resource, app, to_state, event) \
         SELECT $2, $3, context, $4, id, app, state || '(' || goal || ')', $5 \
         FROM resource WHERE context = $1 AND id BETWEEN $6 AND $7 ORDER BY id",
        args![
            head.id.0.clone(),
            head.dig,
            head.started_ms,
            head.revision,
            ResourceEvent::Instantiate.to_string(),
            from,
            to
        ],
    )
    .await
}

impl Store {
    /// Does what the accept left, before anything is driven. May run twice, and again after it was
    /// interrupted: each chunk knows what is left.
    pub(crate) async fn catch_up(&self, context: &ContextId, fence: Fence) -> Result<()> {
        while self.born_chunk(context, fence).await? {}
        while self.anew_chunk(context, fence).await? {}
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.terminate_chunk(context, fence, at).await?;
        }
        Ok(())
    }

    /// First lines of a chunk of rows; true if there may be more.
    async fn born_chunk(&self, context: &ContextId, fence: Fence) -> Result<bool> {
        let unborn = "SELECT unborn FROM context WHERE id = $1 AND unborn IS NOT NULL";
        let none = sql::one(&self.shared.read, unborn, args![context.0.clone()]).await?;
        if none.is_none() {
            return Ok(false);
        }
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            let row = sql::one(&tx, unborn, args![context.0.clone()]).await?;
            let (true, Some(row)) = (head.is(fence), row) else {
                return Ok(false);
            };
            let from = row.int("unborn")?;
            sql::lock_log(&tx).await?;
            let written = first_lines(&tx, &head, from, from + CHUNK - 1).await?;
            // Rows are numbered without gaps.
            let more = written == CHUNK as u64;
            sql::run(
                &tx,
                "UPDATE context SET unborn = $2 WHERE id = $1",
                args![context.0.clone(), more.then_some(from + CHUNK)],
            )
            .await?;
            Ok(more)
        })
    }

    /// Lets a chunk of rows begin anew; true if there may be more. The note is in the transaction: what
    /// fails again later stays failed.
    async fn anew_chunk(&self, context: &ContextId, fence: Fence) -> Result<bool> {
        let anew = "SELECT anew, (SELECT MAX(id) FROM resource WHERE context = $1) AS last \
                    FROM context WHERE id = $1 AND anew IS NOT NULL";
        let none = sql::one(&self.shared.read, anew, args![context.0.clone()]).await?;
        if none.is_none() {
            return Ok(false);
        }
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            let row = sql::one(&tx, anew, args![context.0.clone()]).await?;
            let (true, Some(row)) = (head.is(fence), row) else {
                return Ok(false);
            };
            let from = row.int("anew")?;
            let next = from + CHUNK;
            let more = row.int("last")? >= next;
            sql::run(
                &tx,
                "UPDATE context SET anew = $2 WHERE id = $1",
                args![context.0.clone(), more.then_some(next)],
            )
            .await?;
            begin_anew(&tx, &head, Some((from, next - 1))).await?;
            Ok(more)
        })
    }

    /// Fires Terminate at a chunk of rows that still have the old goal, from a number on; where to
    /// go on, if there may be more.
    async fn terminate_chunk(
        &self,
        context: &ContextId,
        fence: Fence,
        from: i64,
    ) -> Result<Option<i64>> {
        let old = "SELECT MIN(id) AS first, MAX(id) AS last FROM (SELECT id FROM resource \
                   WHERE context = $1 AND id >= $2 AND goal = 'Apply' ORDER BY id LIMIT $3) AS part";
        let values = || args![context.0.clone(), from, CHUNK];
        let head = heads::known_context(&self.shared.read, context, Lock::None).await?;
        if head.state != ContextState::Terminating {
            return Ok(None);
        }
        let row = sql::one(&self.shared.read, old, values()).await?;
        if row.map_or(Ok(None), |row| row.int_opt("first"))?.is_none() {
            return Ok(None);
        }
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            if !head.is(fence) || head.state != ContextState::Terminating {
                return Ok(None);
            }
            let Some(row) = sql::one(&tx, old, values()).await? else {
                return Ok(None);
            };
            let (Some(first), Some(last)) = (row.int_opt("first")?, row.int_opt("last")?) else {
                return Ok(None);
            };
            let bulk = Bulk {
                rows: Some((first, last)),
                ..Bulk::default()
            };
            let event = |sent| ResourceEvent::Terminate { sent };
            bulk::fire(&tx, &head, event, bulk).await?;
            Ok(Some(last + 1))
        })
    }
}
