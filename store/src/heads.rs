//! The heads of DIGs and contexts as transactions read and lock them.

use crate::{
    ContextRow, DigRow, Result, StoreError,
    sql::{self, Columns, Part, args},
};
use model::{
    document::{Dig, Policy},
    ids::{ContextId, DigRef, Fence},
    plan::PlanApp,
    state::{ContextState, DigState, Goal},
};
use sea_orm::{ConnectionTrait, QueryResult};
use std::collections::BTreeMap;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lock {
    None,
    Share,
    Update,
}

impl Lock {
    fn words(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Share => "LOCK SHARE",
            Self::Update => "LOCK UPDATE",
        }
    }
}

/// What a transaction needs of a context; the plan's apps and the policy are read when needed.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub id: ContextId,
    pub dig: i64,
    pub name: DigRef,
    pub revision: i64,
    pub state: ContextState,
    pub goal: Goal,
    pub fence: i64,
    pub wanted: i64,
    pub run_id: Option<String>,
    pub policy: Policy,
    pub apps: Vec<PlanApp>,
    pub started_ms: i64,
    pub blocked_by: Option<String>,
    /// Why nothing more is sent under this goal.
    pub halted: Option<String>,
}

impl Head {
    pub(crate) fn is(&self, fence: Fence) -> bool {
        self.fence == fence.0
    }

    pub(crate) fn row(&self) -> ContextRow {
        ContextRow {
            id: self.id.clone(),
            dig: self.name.clone(),
            revision: self.revision as i32,
            state: self.state,
            fence: Fence(self.fence),
            started_ms: self.started_ms,
            policy: self.policy.clone(),
            apps: self.apps.clone(),
            blocked_by: self.blocked_by.clone(),
            halted: self.halted.clone(),
        }
    }
}

const HEAD: &str = "SELECT id, dig, project, name, revision, state, goal, fence, wanted, run_id, \
                    policy, apps, started_ms, blocked_by, halted FROM context";

fn head(row: &QueryResult) -> Result<Head> {
    Ok(Head {
        id: ContextId(row.text("id")?),
        dig: row.int("dig")?,
        name: DigRef {
            project: row.text("project")?,
            name: row.text("name")?,
        },
        revision: row.int("revision")?,
        state: row.parsed("state")?,
        goal: row.parsed("goal")?,
        fence: row.int("fence")?,
        wanted: row.int("wanted")?,
        run_id: row.text_opt("run_id")?,
        policy: row.json("policy")?,
        apps: row.json("apps")?,
        started_ms: row.int("started_ms")?,
        blocked_by: row.text_opt("blocked_by")?,
        halted: row.text_opt("halted")?,
    })
}

/// A context, locked.
pub(crate) async fn context<C: ConnectionTrait>(
    db: &C,
    id: &ContextId,
    lock: Lock,
) -> Result<Option<Head>> {
    let sql = format!("{HEAD} WHERE id = $1 {}", lock.words());
    let row = sql::one(db, &sql, args![id.0.clone()]).await?;
    row.as_ref().map(head).transpose()
}

pub(crate) async fn known_context<C: ConnectionTrait>(
    db: &C,
    id: &ContextId,
    lock: Lock,
) -> Result<Head> {
    context(db, id, lock)
        .await?
        .ok_or_else(|| StoreError::NotFound {
            kind: "context",
            name: id.0.clone(),
        })
}

/// Contexts by id, locked in the order of their ids.
pub(crate) async fn contexts<'a, C: ConnectionTrait>(
    db: &C,
    ids: impl IntoIterator<Item = &'a ContextId>,
    lock: Lock,
) -> Result<BTreeMap<ContextId, Head>> {
    let sql = format!(
        "{HEAD} WHERE id IN (SELECT v.id FROM json_rows($1; id text) AS v) ORDER BY id {}",
        lock.words()
    );
    let ids = sql::json_list(ids.into_iter().map(|id| &id.0));
    let rows = sql::all(db, &sql, args![ids]).await?;
    rows.iter()
        .map(|row| head(row).map(|head| (head.id.clone(), head)))
        .collect()
}

/// As [`contexts`], without policy and apps: what grouped opens and closes look at, as one part.
pub(crate) fn lean_part<'a>(ids: impl IntoIterator<Item = &'a ContextId>, lock: Lock) -> Part {
    let sql = format!(
        "SELECT json_pack(t.id, t.dig, t.project, t.name, t.revision, t.state, t.goal, \
         t.fence, t.wanted, t.started_ms, t.halted) AS part \
         FROM (SELECT id, dig, project, name, revision, state, goal, fence, wanted, started_ms, \
         halted FROM context WHERE id IN (SELECT v.id FROM json_rows($1; id text) AS v) \
         ORDER BY id {}) AS t",
        lock.words()
    );
    let ids = sql::json_list(ids.into_iter().map(|id| &id.0));
    (sql, args![ids])
}

/// What a [`lean_part`] answered.
pub(crate) fn lean(part: &str) -> Result<BTreeMap<ContextId, Head>> {
    type Packed<'a> = (
        String,
        i64,
        String,
        String,
        i64,
        &'a str,
        &'a str,
        i64,
        i64,
        i64,
        Option<String>,
    );
    let rows: Vec<Packed> = sql::from_json(part)?;
    let head = |row: Packed| -> Result<Head> {
        let (id, dig, project, name, revision, state, goal, fence, wanted, started_ms, halted) =
            row;
        let unreadable = |_| sql::corrupt("a context's state or goal");
        Ok(Head {
            id: ContextId(id),
            dig,
            name: DigRef { project, name },
            revision,
            state: state.parse().map_err(unreadable)?,
            goal: goal.parse().map_err(unreadable)?,
            fence,
            wanted,
            run_id: None,
            policy: Policy::default(),
            apps: Vec::new(),
            started_ms,
            blocked_by: None,
            halted,
        })
    };
    rows.into_iter()
        .map(|row| head(row).map(|head| (head.id.clone(), head)))
        .collect()
}

/// A DIG with the state of its latest context.
pub(crate) struct DigHead {
    pub id: i64,
    pub generation: i64,
    pub doc: Dig,
    pub state: DigState,
    pub pending: bool,
    pub context: Option<Head>,
}

impl DigHead {
    pub(crate) fn context_state(&self) -> Option<ContextState> {
        self.context.as_ref().map(|context| context.state)
    }

    /// The state and, beside it, the context's where the answer depends on it.
    pub(crate) fn state_text(&self) -> String {
        match self.context_state() {
            Some(context) => format!("{} (context {context})", self.state),
            None => self.state.to_string(),
        }
    }

    pub(crate) fn refused(&self, verb: &str) -> StoreError {
        let allowed: Vec<_> = model::state::allowed_verbs(self.state, self.context_state())
            .into_iter()
            .map(|verb| verb.verb())
            .collect();
        StoreError::WrongState {
            object: format!("deployment intent group {}", self.doc.id),
            state: self.state_text(),
            verb: verb.to_owned(),
            allowed: if allowed.is_empty() {
                "nothing".into()
            } else {
                allowed.join(", ")
            },
        }
    }

    pub(crate) fn row(self) -> DigRow {
        DigRow {
            generation: self.generation,
            pending_changes: self.pending
                && matches!(
                    self.state,
                    DigState::Instantiated | DigState::InstantiateStopped
                ),
            state: self.state,
            context: self.context.as_ref().map(Head::row),
            doc: self.doc,
        }
    }
}

const DIG: &str = "SELECT id, generation, doc, state, pending, context FROM dig";

async fn dig_head<C: ConnectionTrait>(db: &C, row: &QueryResult, lock: Lock) -> Result<DigHead> {
    let context = match row.text_opt("context")? {
        Some(id) => Some(known_context(db, &ContextId(id), lock).await?),
        None => None,
    };
    Ok(DigHead {
        id: row.int("id")?,
        generation: row.int("generation")?,
        doc: row.json("doc")?,
        state: row.parsed("state")?,
        pending: row.int("pending")? != 0,
        context,
    })
}

/// A DIG and its latest context, both locked.
pub(crate) async fn dig<C: ConnectionTrait>(
    db: &C,
    id: &DigRef,
    lock: Lock,
) -> Result<Option<DigHead>> {
    let sql = format!("{DIG} WHERE project = $1 AND name = $2 {}", lock.words());
    match sql::one(db, &sql, args![id.project.clone(), id.name.clone()]).await? {
        Some(row) => dig_head(db, &row, lock).await.map(Some),
        None => Ok(None),
    }
}

pub(crate) async fn known_dig<C: ConnectionTrait>(
    db: &C,
    id: &DigRef,
    lock: Lock,
) -> Result<DigHead> {
    dig(db, id, lock)
        .await?
        .ok_or_else(|| StoreError::NotFound {
            kind: "deployment intent group",
            name: id.to_string(),
        })
}

/// DIGs of a project, or of all.
pub(crate) async fn digs<C: ConnectionTrait>(
    db: &C,
    project: Option<&str>,
) -> Result<Vec<DigHead>> {
    let sql = format!("{DIG} WHERE ($1 IS NULL OR project = $1) ORDER BY project, name");
    let rows = sql::all(db, &sql, args![project.map(str::to_owned)]).await?;
    let mut ids = Vec::new();
    for row in &rows {
        ids.extend(row.text_opt("context")?.map(ContextId));
    }
    let mut heads = contexts(db, ids.iter(), Lock::None).await?;
    let mut digs = Vec::with_capacity(rows.len());
    for row in &rows {
        let context = row.text_opt("context")?.map(ContextId);
        digs.push(DigHead {
            id: row.int("id")?,
            generation: row.int("generation")?,
            doc: row.json("doc")?,
            state: row.parsed("state")?,
            pending: row.int("pending")? != 0,
            context: context.and_then(|id| heads.remove(&id)),
        });
    }
    Ok(digs)
}
