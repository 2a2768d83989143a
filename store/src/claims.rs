//! Claims: which context holds which object. Own objects have one holder, Namespaces and CRDs
//! any number (protocol §2, §5.1, §6).

use crate::{
    Release, Result, Store, StoreError,
    heads::{self, Head, Lock},
    resources,
    sql::{self, Columns, args, transact},
};
use model::{
    ids::{ContextId, Fence, RowId},
    plan::{Class, PlanRow},
    row::Row,
    state::Goal,
};
use sea_orm::{ConnectionTrait, DbBackend, QueryResult};

/// Prepares the claims of some rows of a staged plan (numbers from–to). Nobody minds them: who
/// holds a claim is a context, and there is none yet.
pub(crate) async fn stage<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    (from, to): (i64, i64),
) -> Result<()> {
    let values = || args![context.0.clone(), from, to];
    sql::run(
        db,
        "INSERT INTO claim (key, shared, deleting) SELECT key, MAX(shared), 0 FROM resource \
         WHERE context = $1 AND id BETWEEN $2 AND $3 GROUP BY key ORDER BY key \
         ON CONFLICT (key) DO NOTHING",
        values(),
    )
    .await?;
    sql::run(
        db,
        "INSERT INTO holder (key, context) SELECT DISTINCT key, context FROM resource \
         WHERE context = $1 AND id BETWEEN $2 AND $3 ON CONFLICT (key, context) DO NOTHING",
        values(),
    )
    .await?;
    Ok(())
}

/// Undoes [`stage`] for a context that was never accepted.
pub(crate) async fn unstage<C: ConnectionTrait>(db: &C, context: &str) -> Result<()> {
    const STAGED: &str = "NOT EXISTS (SELECT 1 FROM context c WHERE c.id = $1)";
    let claims = format!(
        "DELETE FROM claim WHERE key IN (SELECT key FROM holder WHERE context = $1) AND {STAGED} \
         AND NOT EXISTS (SELECT 1 FROM holder h WHERE h.key = claim.key AND h.context <> $1)"
    );
    sql::run(db, &claims, args![context]).await?;
    let holders = format!("DELETE FROM holder WHERE context = $1 AND {STAGED}");
    sql::run(db, &holders, args![context]).await?;
    Ok(())
}

/// Takes the claims of all rows of a context that is about to be accepted; its holders were staged.
///
/// # Errors
/// [`StoreError::Refused`], naming the object and its other holder.
pub(crate) async fn take<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<()> {
    // The no-op update locks claims that are there already, in key order. SQLite has one writer
    // and nothing to lock: only claims that somebody gave up since the staging are written.
    let missing = match db.get_database_backend() {
        DbBackend::Postgres => "",
        _ => "AND NOT EXISTS (SELECT 1 FROM claim k WHERE k.key = r.key)",
    };
    let sql = format!(
        "INSERT INTO claim (key, shared, deleting) SELECT r.key, MAX(r.shared), 0 \
         FROM resource r WHERE r.context = $1 {missing} GROUP BY r.key ORDER BY r.key \
         ON CONFLICT (key) DO UPDATE SET deleting = claim.deleting"
    );
    sql::run(db, &sql, args![context.0.clone()]).await?;
    // CROSS JOIN keeps the order of the tables: from this context's keys to the others'.
    let taken = sql::one(
        db,
        "SELECT mine.key, c.project, c.name \
         FROM holder mine CROSS JOIN holder h CROSS JOIN context c CROSS JOIN claim k \
         WHERE mine.context = $1 AND h.key = mine.key AND h.context <> mine.context \
         AND c.id = h.context AND k.key = mine.key AND k.shared = 0 ORDER BY mine.key LIMIT 1",
        args![context.0.clone()],
    )
    .await?;
    if let Some(row) = taken {
        return Err(claimed(&row)?);
    }
    let leaving = sql::one(
        db,
        "SELECT k.key FROM claim k CROSS JOIN holder h \
         WHERE k.deleting = 1 AND h.key = k.key AND h.context = $1 ORDER BY k.key LIMIT 1",
        args![context.0.clone()],
    )
    .await?;
    if let Some(row) = leaving {
        return Err(refused(
            object(&row.text("key")?),
            "is being deleted, try again".into(),
            "OBJECT_BEING_DELETED",
        ));
    }
    Ok(())
}

/// Another context than $2 holds the claim; staged plans do not count.
const HELD: &str = "EXISTS (SELECT 1 FROM holder h JOIN context c ON c.id = h.context \
                    WHERE h.key = claim.key AND h.context <> $2)";

/// Gives up at most so many claims of a context; how many they were.
pub(crate) async fn release_some<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    most: i64,
) -> Result<u64> {
    let keys = "SELECT key FROM holder WHERE context = $2 ORDER BY key LIMIT $1";
    let values = || args![most, context.0.clone()];
    // Locked by a statement of its own, so that the next one sees who else came to hold them.
    sql::all(
        db,
        &format!("SELECT key FROM claim WHERE key IN ({keys}) ORDER BY key LOCK UPDATE"),
        values(),
    )
    .await?;
    let claims = format!("DELETE FROM claim WHERE key IN ({keys}) AND NOT {HELD}");
    sql::run(db, &claims, values()).await?;
    let holders = format!("DELETE FROM holder WHERE context = $2 AND key IN ({keys})");
    sql::run(db, &holders, values()).await
}

/// Gives up one claim; the last holder takes the claim with it.
pub(crate) async fn release<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    key: &str,
) -> Result<()> {
    let values = || args![key, context.0.clone()];
    let lock = "SELECT key FROM claim WHERE key = $1 LOCK UPDATE";
    sql::all(db, lock, args![key]).await?;
    let sql = "DELETE FROM holder WHERE key = $1 AND context = $2";
    sql::run(db, sql, values()).await?;
    let sql = format!("DELETE FROM claim WHERE key = $1 AND NOT {HELD}");
    sql::run(db, &sql, values()).await?;
    Ok(())
}

/// Muster made the object (or found its own label on it): the claim remembers the uid.
pub(crate) async fn created<C: ConnectionTrait>(db: &C, key: &str, uid: &str) -> Result<()> {
    sql::run(
        db,
        "UPDATE claim SET creator_uid = $2 WHERE key = $1 AND creator_uid IS NULL",
        args![key, uid],
    )
    .await?;
    Ok(())
}

/// A key as people read it.
fn object(key: &str) -> String {
    let parts: Vec<&str> = key.splitn(5, '|').collect();
    match parts[..] {
        [cluster, _, kind, "", name] => format!("{kind} {name} on {cluster}"),
        [cluster, _, kind, namespace, name] => format!("{kind} {namespace}/{name} on {cluster}"),
        _ => key.to_owned(),
    }
}

/// Another context holds the object.
fn claimed(row: &QueryResult) -> Result<StoreError> {
    let group = format!("{}/{}", row.text("project")?, row.text("name")?);
    let cause = format!(
        "belongs to deployment intent group {group}, which is not terminated; \
         terminate {group}, or leave the object out of one of them"
    );
    Ok(refused(object(&row.text("key")?), cause, "OBJECT_CLAIMED"))
}

fn refused(object: String, cause: String, reason: &'static str) -> StoreError {
    StoreError::Refused {
        object,
        cause,
        reason,
    }
}

/// Keys of one question.
const ASKED: usize = 5_000;

impl Store {
    /// Whether a plan's rows could be claimed now; nothing is.
    ///
    /// # Errors
    /// [`StoreError::Refused`] as an accept would answer, naming the object and its holder.
    pub async fn check_claims(&self, rows: &[PlanRow]) -> Result<()> {
        for rows in rows.chunks(ASKED) {
            let keys: Vec<_> = rows
                .iter()
                .map(|row| {
                    let shared = i32::from(row.class == Class::Shared);
                    serde_json::json!([row.key.to_string(), shared])
                })
                .collect();
            let taken = sql::one(
                &self.shared.read,
                "SELECT v.key, c.project, c.name FROM json_rows($1; key text, shared int) AS v \
                 JOIN holder h ON h.key = v.key \
                 JOIN context c ON c.id = h.context \
                 JOIN claim k ON k.key = v.key \
                 WHERE v.shared = 0 OR k.shared = 0 ORDER BY v.key LIMIT 1",
                args![sql::json_param(&keys)],
            )
            .await?;
            if let Some(row) = taken {
                return Err(claimed(&row)?);
            }
        }
        Ok(())
    }

    /// Moves the claim of a shared object to `deleting` if this context is its last holder and
    /// Muster created it; the answer says what to do. A claim that others hold too is given up.
    pub async fn release_shared(
        &self,
        context: &ContextId,
        fence: Fence,
        row: RowId,
    ) -> Result<Release> {
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Share).await?;
            if !head.is(fence) || head.goal != Goal::Delete {
                return Ok(Release::Superseded);
            }
            leave(&tx, &head, &only(&tx, context, row).await?).await
        })
    }

    /// After discovery: the row's kind is cluster-scoped (namespace emptied) or namespaced. Moves
    /// key and claim.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if another context holds the object that it really is.
    pub async fn correct_scope(
        &self,
        context: &ContextId,
        fence: Fence,
        row: RowId,
        namespace: &str,
    ) -> Result<()> {
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Share).await?;
            let old = only(&tx, context, row).await?;
            if !head.is(fence) || old.key.namespace == namespace {
                return Ok(());
            }
            rename(&tx, &old, namespace).await
        })
    }
}

async fn only<C: ConnectionTrait>(db: &C, context: &ContextId, row: RowId) -> Result<Row> {
    let rows = resources::by_number(db, [(context, row)], true).await?;
    rows.into_iter().next().ok_or_else(|| StoreError::NotFound {
        kind: "resource",
        name: format!("{context}/{row}"),
    })
}

/// Gives up the claim of a shared object, or marks it as being deleted by its last holder.
pub(crate) async fn leave<C: ConnectionTrait>(db: &C, head: &Head, row: &Row) -> Result<Release> {
    let key = row.key.to_string();
    let claim = sql::one(
        db,
        "SELECT creator_uid, deleting FROM claim WHERE key = $1 LOCK UPDATE",
        args![key.clone()],
    )
    .await?;
    // A row that was sent and found nothing before it may have made the object, answer or not.
    let mine = row.sent > 0 && row.preexisting_uid.is_none();
    let (mut created, deleting) = match &claim {
        Some(claim) => (
            claim.text_opt("creator_uid")?.is_some(),
            claim.int("deleting")? != 0,
        ),
        None => (false, false),
    };
    created |= mine;
    let other = sql::one(
        db,
        "SELECT c.project, c.name FROM holder h JOIN context c ON c.id = h.context \
         WHERE h.key = $1 AND h.context <> $2 ORDER BY c.id LIMIT 1",
        args![key.clone(), head.id.0.clone()],
    )
    .await?;
    if let Some(other) = other {
        if mine && let Some(uid) = &row.uid {
            self::created(db, &key, uid).await?;
        }
        release(db, &head.id, &key).await?;
        let by = format!("{}/{}", other.text("project")?, other.text("name")?);
        return Ok(Release::StillUsed { by });
    }
    if created || deleting {
        let sql = "UPDATE claim SET deleting = 1 WHERE key = $1";
        sql::run(db, sql, args![key]).await?;
        return Ok(Release::Delete);
    }
    release(db, &head.id, &key).await?;
    Ok(Release::NotOurs)
}

async fn rename<C: ConnectionTrait>(db: &C, old: &Row, namespace: &str) -> Result<()> {
    let mut key = old.key.clone();
    namespace.clone_into(&mut key.namespace);
    let (from, to) = (old.key.to_string(), key.to_string());
    let shared = i64::from(old.class == Class::Shared);
    sql::run(
        db,
        "INSERT INTO claim (key, shared, deleting) VALUES ($1, $2, 0) \
         ON CONFLICT (key) DO UPDATE SET deleting = claim.deleting",
        args![to.clone(), shared],
    )
    .await?;
    let other = sql::one(
        db,
        "SELECT c.project, c.name FROM holder h JOIN context c ON c.id = h.context \
         WHERE h.key = $1 AND h.context <> $2 LIMIT 1",
        args![to.clone(), old.context.0.clone()],
    )
    .await?;
    if let Some(other) = other
        && old.class == Class::Own
    {
        return Err(refused(
            object(&to),
            format!(
                "belongs to deployment intent group {}/{}",
                other.text("project")?,
                other.text("name")?
            ),
            "OBJECT_CLAIMED",
        ));
    }
    sql::run(
        db,
        "INSERT INTO holder (key, context) VALUES ($1, $2) ON CONFLICT (key, context) DO NOTHING",
        args![to.clone(), old.context.0.clone()],
    )
    .await?;
    let number = i64::from(old.id);
    sql::run(
        db,
        "UPDATE resource SET key = $3, namespace = $4 WHERE context = $1 AND id = $2",
        args![old.context.0.clone(), number, to.clone(), namespace],
    )
    .await?;
    sql::run(
        db,
        "UPDATE attempt SET key = $3 WHERE context = $1 AND resource = $2",
        args![old.context.0.clone(), number, to],
    )
    .await?;
    let still = sql::one(
        db,
        "SELECT 1 AS n FROM resource WHERE context = $1 AND key = $2 LIMIT 1",
        args![old.context.0.clone(), from.clone()],
    )
    .await?;
    if still.is_none() {
        release(db, &old.context, &from).await?;
    }
    Ok(())
}
