//! Waiting for readiness: who is not ready, and for how long already.

use crate::{
    Result, Store,
    heads::{self, Head, Lock},
    sql::{self, Columns, args},
};
use model::{
    document::WaitFor,
    ids::{ContextId, Fence},
    state::{ContextState, Goal},
};
use sea_orm::ConnectionTrait;

/// Whether a context, or an app of it, is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyRow {
    Ready,
    NotYet(Lacking),
    /// As `NotYet`, and nobody waits any more: the policy's `readyTimeout` passed, an object will
    /// never be ready, or one is not even Applied.
    Expired(Lacking),
    /// The fence moved, or the goal.
    Superseded,
}

/// What is missing to readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub count: i64,
    /// Of so many.
    pub of: i64,
    /// One of them, and why it is not ready; empty if none is Applied.
    pub example: String,
    /// For how long the latest of them has been Applied.
    elapsed_ms: i64,
    /// Of these, those that will not become ready by themselves.
    stuck: i64,
    /// Rows that are not Applied.
    unapplied: i64,
}

impl Lacking {
    /// The policy's patience is at an end.
    pub(crate) fn expired(&self, head: &Head) -> bool {
        let timeout = i64::try_from(head.policy.ready_timeout_ms).unwrap_or(i64::MAX);
        self.unapplied == 0 && (self.stuck > 0 || self.elapsed_ms >= timeout)
    }

    /// In a few words, as an answer to "waits for what?".
    pub fn waits_for(&self) -> String {
        let example = match self.example.as_str() {
            "" => String::new(),
            example => format!(" ({example})"),
        };
        format!(
            "readiness: {} of {} resources are not ready{example}",
            self.count, self.of
        )
    }
}

/// The rows of a context, or of an app, that are not ready; `None` if all are.
pub(crate) async fn lacking<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    app: Option<&str>,
) -> Result<Option<Lacking>> {
    let app = app.map(str::to_owned);
    let counted = sql::one(
        db,
        "SELECT COUNT(*) AS n, COALESCE(SUM(CASE WHEN state = 'Applied' THEN 0 ELSE 1 END), 0) \
         AS unapplied FROM resource \
         WHERE context = $1 AND ($2 IS NULL OR app = $2) AND implicit = 0",
        args![context.0.clone(), app.clone()],
    )
    .await?
    .ok_or_else(|| sql::corrupt("a count has no row"))?;
    let unapplied = counted.int("unapplied")?;
    // What is Applied and has nothing recorded is ready by being there.
    let unready = sql::all(
        db,
        "SELECT r.kind, r.namespace, r.name, r.cluster, d.message, d.stuck, \
         now_ms() - CASE WHEN c.changed_ms > r.since_ms THEN c.changed_ms ELSE r.since_ms END \
         AS elapsed FROM readiness d \
         JOIN resource r ON r.context = d.context AND r.id = d.id \
         JOIN context c ON c.id = d.context \
         WHERE d.context = $1 AND d.status <> 'Ready' AND r.state = 'Applied' \
         AND ($2 IS NULL OR r.app = $2) ORDER BY d.stuck DESC, d.id",
        args![context.0.clone(), app],
    )
    .await?;
    if unapplied == 0 && unready.is_empty() {
        return Ok(None);
    }
    let mut lacking = Lacking {
        count: unapplied + unready.len() as i64,
        of: counted.int("n")?,
        example: String::new(),
        elapsed_ms: i64::MAX,
        stuck: 0,
        unapplied,
    };
    for row in &unready {
        lacking.stuck += row.int("stuck")?;
        lacking.elapsed_ms = lacking.elapsed_ms.min(row.int("elapsed")?);
    }
    if let Some(first) = unready.first() {
        let object = match first.text("namespace")?.as_str() {
            "" => format!("{}/{}", first.text("kind")?, first.text("name")?),
            namespace => format!(
                "{}/{namespace}/{}",
                first.text("kind")?,
                first.text("name")?
            ),
        };
        let cluster = first.text("cluster")?;
        let why = first.text_opt("message")?.unwrap_or_default();
        lacking.example = format!("{object} on {cluster}: {why}");
    }
    Ok(Some(lacking))
}

/// Whether Instantiated of this context asks for readiness.
pub(crate) fn is_asked(head: &Head) -> bool {
    head.goal == Goal::Apply && head.policy.wait_for == WaitFor::Ready
}

/// What a context that only waits for readiness waits for.
pub(crate) async fn blocked_by<C: ConnectionTrait>(db: &C, head: &Head) -> Result<Option<String>> {
    if !is_asked(head) || head.state != ContextState::Instantiating {
        return Ok(None);
    }
    let lacking = lacking(db, &head.id, None).await?;
    Ok(lacking
        .filter(|lacking| lacking.unapplied == 0)
        .map(|lacking| lacking.waits_for()))
}

impl Store {
    /// Whether the context, or one app of it, is Applied and ready everywhere. Only a context's
    /// waiting ends by its policy; an app is waited for as long as it takes.
    pub async fn readiness(
        &self,
        context: &ContextId,
        fence: Fence,
        app: Option<&str>,
    ) -> Result<ReadyRow> {
        let db = &self.shared.read;
        let head = heads::known_context(db, context, Lock::None).await?;
        if !head.is(fence) || head.goal != Goal::Apply {
            return Ok(ReadyRow::Superseded);
        }
        Ok(match lacking(db, context, app).await? {
            None => ReadyRow::Ready,
            // What is not even applied is not for readiness to wait for: settle says what it is.
            Some(lacking) if app.is_none() && (lacking.unapplied > 0 || lacking.expired(&head)) => {
                ReadyRow::Expired(lacking)
            }
            Some(lacking) => ReadyRow::NotYet(lacking),
        })
    }
}
