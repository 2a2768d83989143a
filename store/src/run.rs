//! One run of a workflow: taking it up, the permit to delete, notes of what waits.

use crate::{
    BeginRow, GroupRow, NoteTarget, PermitRow, Result, Store,
    bulk::{self, Bulk},
    halt,
    heads::{self, Lock},
    log::{self, Line},
    resources,
    sql::{self, Columns, args, transact},
};
use model::{
    failure::Failure,
    ids::{ClusterId, ContextId, Fence, RowId},
    state::{ContextEvent, ContextState, ResourceEvent, context},
};
use sea_orm::ConnectionTrait;

impl Store {
    /// Settled ⇒ None; else takes a new fence once per run id and says what is to be done.
    pub async fn begin(&self, context: &ContextId, run_id: &str) -> Result<Option<BeginRow>> {
        let head = transact!(self, tx, {
            let Some(mut head) = heads::context(&tx, context, Lock::Update).await? else {
                return Ok(None);
            };
            if head.state.is_settled() {
                return Ok(None);
            }
            if head.run_id.as_deref() != Some(run_id) {
                head.fence = sql::next_fence(&tx).await?;
                sql::run(
                    &tx,
                    "UPDATE context SET fence = $2, run_id = $3 WHERE id = $1",
                    args![context.0.clone(), head.fence, run_id],
                )
                .await?;
            }
            Ok(Some(head))
        })?;
        let Some(head) = head else { return Ok(None) };
        let db = &self.shared.read;
        let clusters = sql::one(
            db,
            "SELECT COUNT(DISTINCT cluster) AS n FROM resource WHERE context = $1",
            args![context.0.clone()],
        )
        .await?;
        Ok(Some(BeginRow {
            fence: Fence(head.fence),
            state: head.state,
            halted: head.halted.is_some(),
            groups: groups(db, context).await?,
            failed_apps: failed_apps(db, context).await?,
            clusters: clusters.map_or(Ok(0), |row| row.int("n"))? as usize,
            policy: head.policy,
            apps: head.apps,
        }))
    }

    /// PreTerminate → Terminating if every attempt of an older fence is closed or past send_until,
    /// then rows never sent ⇒ Deleted, the others ⇒ Pending(Delete).
    pub async fn permit(&self, context: &ContextId, fence: Fence) -> Result<PermitRow> {
        transact!(self, tx, {
            let mut head = heads::known_context(&tx, context, Lock::Update).await?;
            if !head.is(fence) {
                return Ok(PermitRow::Superseded);
            }
            if head.state == ContextState::Terminating {
                return Ok(PermitRow::Granted);
            }
            if head.state != ContextState::PreTerminate {
                return Ok(PermitRow::Superseded);
            }
            let window = sql::one(
                &tx,
                "SELECT COALESCE(MAX(send_until) - now_ms(), 0) AS ms FROM attempt \
                 WHERE context = $1 AND fence <> $2 AND closed = 0 AND send_until >= now_ms()",
                args![context.0.clone(), fence.0],
            )
            .await?;
            let ms = window.map_or(Ok(0), |row| row.int("ms"))?;
            if ms > 0 {
                return Ok(PermitRow::Wait { ms: ms as u64 });
            }
            let event = ContextEvent::WindowClosed;
            let Ok(Some(to)) = context::next(Some(head.state), event) else {
                return Ok(PermitRow::Superseded);
            };
            let line = Line::of_context(&head, Some(head.state), to, event);
            head.state = to;
            sql::run(
                &tx,
                "UPDATE context SET state = $2, changed_ms = now_ms() WHERE id = $1",
                args![context.0.clone(), to.as_str()],
            )
            .await?;
            log::append(&tx, &[line]).await?;
            let event = |sent| ResourceEvent::Terminate { sent };
            bulk::fire(&tx, &head, event, Bulk::default()).await?;
            Ok(PermitRow::Granted)
        })
    }

    /// Sets or clears `blocked_by` on the app's (or the listed) rows that wait. Writes one line
    /// into the log (event `Waits` or `Goes`, the app named) when something changed.
    pub async fn note(
        &self,
        context: &ContextId,
        fence: Fence,
        target: NoteTarget,
        blocked_by: Option<&str>,
    ) -> Result<()> {
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Share).await?;
            if !head.is(fence) {
                return Ok(());
            }
            let changed = note(&tx, context, &target, blocked_by).await?;
            if changed == 0 {
                return Ok(());
            }
            let app = match &target {
                NoteTarget::App(app) => app.clone(),
                NoteTarget::Rows(rows) => app_of(&tx, context, rows).await?,
            };
            let line = Line {
                app: Some(app),
                failure: blocked_by.map(|message| Failure {
                    code: "blocked".into(),
                    message: message.to_owned(),
                }),
                ..Line::of_context(
                    &head,
                    Some(head.state),
                    head.state,
                    if blocked_by.is_some() {
                        "Waits"
                    } else {
                        "Goes"
                    },
                )
            };
            log::append(&tx, &[line]).await
        })
    }

    /// For how long the bundle (its own rows, and the shared ones of its cluster) has been held up
    /// by its parked cluster, in ms: since the later of the parking and its longest trouble. `None`
    /// if none of its rows waits.
    pub async fn bundle_waits(
        &self,
        context: &ContextId,
        app: &str,
        cluster: &ClusterId,
    ) -> Result<Option<u64>> {
        let row = sql::one(
            &self.shared.read,
            "SELECT MIN(COALESCE(r.failing_since_ms, r.since_ms)) AS troubled, \
             MIN(c.since_ms) AS parked, now_ms() AS now FROM resource r \
             JOIN cluster c ON c.id = r.cluster WHERE r.context = $1 AND r.cluster = $3 \
             AND (r.app = $2 OR r.shared = 1) AND r.state IN ('Pending', 'Retrying')",
            args![context.0.clone(), app, cluster.to_string()],
        )
        .await?;
        let Some(row) = row else { return Ok(None) };
        let (Some(troubled), Some(parked)) = (row.int_opt("troubled")?, row.int_opt("parked")?)
        else {
            return Ok(None);
        };
        let elapsed = row.int("now")? - troubled.max(parked);
        Ok(Some(u64::try_from(elapsed).unwrap_or(0)))
    }

    /// Fails the waiting rows of a bundle, and the shared ones of its cluster (retry time exceeded
    /// while the cluster was parked).
    pub async fn expire_bundle(
        &self,
        context: &ContextId,
        fence: Fence,
        app: &str,
        cluster: &ClusterId,
        failure: &Failure,
    ) -> Result<()> {
        transact!(self, tx, {
            let head = heads::known_context(&tx, context, Lock::Update).await?;
            if !head.is(fence) {
                return Ok(());
            }
            let bulk = Bulk {
                bundle: Some((app, cluster)),
                waiting_only: true,
                failure: Some(failure),
                ..Bulk::default()
            };
            if bulk::fire(&tx, &head, |_| ResourceEvent::Refused, bulk).await? > 0 {
                halt_by_bundle(&tx, &head, app, cluster).await?;
            }
            Ok(())
        })
    }
}

/// Rows of a bundle have expired: if the context fails fast, nothing more is sent.
async fn halt_by_bundle<C: ConnectionTrait>(
    db: &C,
    head: &heads::Head,
    app: &str,
    cluster: &ClusterId,
) -> Result<()> {
    let first = sql::one(
        db,
        "SELECT MIN(id) AS id FROM resource WHERE context = $1 AND state = 'Failed' \
         AND cluster = $3 AND (app = $2 OR shared = 1)",
        args![head.id.0.clone(), app, cluster.to_string()],
    )
    .await?;
    let Some(id) = first.map_or(Ok(None), |row| row.int_opt("id"))? else {
        return Ok(());
    };
    for row in resources::by_number(db, [(&head.id, id as RowId)], false).await? {
        if let Some((_, line)) = halt::fail_fast(db, head, &row).await? {
            log::append(db, &[line]).await?;
        }
    }
    Ok(())
}

/// Apps that cannot be complete any more.
async fn failed_apps<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<Vec<String>> {
    let rows = sql::all(
        db,
        "SELECT DISTINCT r.app FROM resource r WHERE r.context = $1 AND (r.state = 'Failed' \
         OR r.cluster IN (SELECT cluster FROM resource \
         WHERE context = $1 AND state = 'Failed' AND shared = 1))",
        args![context.0.clone()],
    )
    .await?;
    rows.iter().map(|row| row.text("app")).collect()
}

/// What waits, by app, cluster and wave.
async fn groups<C: ConnectionTrait>(db: &C, context: &ContextId) -> Result<Vec<GroupRow>> {
    let rows = sql::all(
        db,
        "SELECT app, cluster, wave, shared, MIN(id) AS first, MAX(id) AS last, COUNT(*) AS open \
         FROM resource WHERE context = $1 AND state IN ('Pending', 'Retrying') \
         GROUP BY app, cluster, wave, shared ORDER BY MIN(id)",
        args![context.0.clone()],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(GroupRow {
                app: row.text("app")?,
                cluster: row.parsed("cluster")?,
                wave: row.int("wave")? as i32,
                class: resources::class(row.int("shared")?),
                first: row.int("first")? as RowId,
                last: row.int("last")? as RowId,
                open: row.int("open")?,
            })
        })
        .collect()
}

async fn note<C: ConnectionTrait>(
    db: &C,
    context: &ContextId,
    target: &NoteTarget,
    blocked_by: Option<&str>,
) -> Result<u64> {
    let set = "UPDATE resource SET blocked_by = $2 WHERE context = $1 \
               AND state IN ('Pending', 'Retrying') \
               AND COALESCE(blocked_by, '') <> COALESCE($2, '')";
    let (which, target) = match target {
        NoteTarget::App(app) => ("app = $3", app.clone()),
        NoteTarget::Rows(rows) => (
            "id IN (SELECT v.id FROM json_rows($3; id int) AS v)",
            sql::json_list(rows),
        ),
    };
    sql::run(
        db,
        &format!("{set} AND {which}"),
        args![context.0.clone(), blocked_by.map(str::to_owned), target],
    )
    .await
}

async fn app_of<C: ConnectionTrait>(db: &C, context: &ContextId, rows: &[RowId]) -> Result<String> {
    let first = i64::from(rows.first().copied().unwrap_or_default());
    let row = sql::one(
        db,
        "SELECT app FROM resource WHERE context = $1 AND id = $2",
        args![context.0.clone(), first],
    )
    .await?;
    row.map_or(Ok(String::new()), |row| row.text("app"))
}
