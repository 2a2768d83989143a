//! The activities that only ask the store: begin, permit, outline, note, settle.

use crate::shared::Shared;
use model::{
    document::WaitFor,
    plan::{Limits, Outline, lanes},
    state::{ContextState, Goal},
};
use store::{BeginRow, PermitRow, SettleRow, StoreError};
use workflows::{
    contract::{
        AppWork, Begin, BeginInput, Fenced, NoteInput, NoteTarget, OutlineInput, Permit, Settle,
        Work,
    },
    limits::{INLINE_BUNDLES, INLINE_ROWS},
};

/// What the store wants done, cut to size.
pub async fn begin(shared: &Shared, input: &BeginInput) -> Result<Begin, StoreError> {
    let Some(row) = shared.store.begin(&input.context, &input.run_id).await? else {
        return Ok(Begin::Settled);
    };
    let fence = row.fence;
    let goal = match row.state {
        ContextState::PreTerminate => return Ok(Begin::PreTerminate { fence }),
        ContextState::Terminating => {
            // Spares the watcher the news of each object that goes.
            shared.desk.look();
            Goal::Delete
        }
        _ => Goal::Apply,
    };
    let halted = row.halted;
    let mut work = work(row, goal);
    if halted {
        // Nothing is driven or waited for; the workflow goes on to settle.
        work.wait_ready = false;
        work.apps.iter_mut().for_each(|app| app.lanes.clear());
        work.inline = Some(Outline::default());
        return Ok(Begin::Drive(work));
    }
    if work.apps.iter().all(|app| app.lanes.is_empty()) {
        work.inline = match shared
            .store
            .outline(&input.context, fence, goal, None)
            .await?
        {
            Some(outline) => Some(outline),
            // The fence moved on: the next begin knows.
            None => Some(Outline::default()),
        };
    }
    Ok(Begin::Drive(work))
}

/// Lanes for a large context; none for one that is driven inline.
fn work(row: BeginRow, goal: Goal) -> Work {
    let groups = &row.groups;
    let rows: usize = groups
        .iter()
        .map(|group| usize::try_from(group.open).unwrap_or(0))
        .sum();
    let mut bundles: Vec<_> = groups
        .iter()
        .map(|group| (&group.app, &group.cluster))
        .collect();
    bundles.sort();
    bundles.dedup();
    let mut cut = if rows <= INLINE_ROWS && bundles.len() <= INLINE_BUNDLES {
        Vec::new()
    } else {
        let apps: Vec<_> = row
            .apps
            .iter()
            .map(|app| (app.name.as_str(), app.depends_on.as_slice()))
            .collect();
        let limits = Limits {
            rows: INLINE_ROWS,
            bundles: INLINE_BUNDLES,
        };
        lanes(groups, &apps, limits, goal)
    };
    let mut apps: Vec<AppWork> = row
        .apps
        .into_iter()
        .map(|app| {
            let lanes = cut
                .iter()
                .position(|(name, _)| *name == app.name)
                .map(|at| cut.swap_remove(at).1);
            AppWork {
                failed: row.failed_apps.contains(&app.name),
                name: app.name,
                depends_on: app.depends_on,
                lanes: lanes.unwrap_or_default(),
            }
        })
        .collect();
    // Clusters where only shared rows are open, under no app's name.
    apps.extend(cut.into_iter().map(|(name, lanes)| AppWork {
        name,
        depends_on: Vec::new(),
        lanes,
        failed: false,
    }));
    Work {
        fence: row.fence,
        goal,
        retry: row.policy.retry.clone(),
        apps,
        inline: None,
        clusters: row.clusters,
        wait_ready: goal == Goal::Apply && row.policy.wait_for == WaitFor::Ready,
    }
}

/// Whether the context may go from PreTerminate to Terminating.
pub async fn permit(shared: &Shared, input: &Fenced) -> Result<Permit, StoreError> {
    Ok(
        match shared.store.permit(&input.context, input.fence).await? {
            PermitRow::Granted => Permit::Granted,
            PermitRow::Wait { ms } => Permit::Wait { ms },
            PermitRow::Superseded => Permit::Superseded,
        },
    )
}

/// The rows of a slice; empty when the fence moved.
pub async fn outline(shared: &Shared, input: &OutlineInput) -> Result<Outline, StoreError> {
    let outline = shared
        .store
        .outline(&input.context, input.fence, input.goal, Some(&input.slice))
        .await?;
    Ok(outline.unwrap_or_default())
}

/// Records what is waited for.
pub async fn note(shared: &Shared, input: &NoteInput) -> Result<(), StoreError> {
    let target = match &input.target {
        NoteTarget::App(app) => store::NoteTarget::App(app.clone()),
        NoteTarget::Rows(rows) => store::NoteTarget::Rows(rows.clone()),
    };
    shared
        .store
        .note(
            &input.context,
            input.fence,
            target,
            input.blocked_by.as_deref(),
        )
        .await
}

/// Folds the rows into the context's state.
pub async fn settle(shared: &Shared, input: &Fenced) -> Result<Settle, StoreError> {
    Ok(
        match shared.store.settle(&input.context, input.fence).await? {
            SettleRow::Settled(_) => Settle::Settled,
            SettleRow::Moved => Settle::Moved,
            SettleRow::Unfinished => Settle::Unfinished,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{
        document::Policy,
        ids::Fence,
        plan::{Class, Group, PlanApp},
    };

    fn begin_row(apps: usize, rows_each: i64) -> BeginRow {
        let cluster = model::ids::ClusterId {
            provider: "sandbox".to_owned(),
            name: "c1".to_owned(),
        };
        let rows = i32::try_from(rows_each).unwrap_or(i32::MAX);
        let number = |app: usize| i32::try_from(app).unwrap_or(0) * rows;
        BeginRow {
            fence: Fence(7),
            state: ContextState::Instantiating,
            policy: Policy::default(),
            apps: (0..apps)
                .map(|app| PlanApp {
                    name: format!("a{app}"),
                    depends_on: Vec::new(),
                    clusters: vec![cluster.clone()],
                })
                .collect(),
            groups: (0..apps)
                .map(|app| Group {
                    app: format!("a{app}"),
                    cluster: cluster.clone(),
                    wave: 2,
                    class: Class::Own,
                    first: number(app),
                    last: number(app) + rows - 1,
                    open: rows_each,
                })
                .collect(),
            halted: false,
            failed_apps: Vec::new(),
            clusters: 1,
        }
    }

    #[test]
    fn a_context_within_the_limits_is_driven_inline_and_a_larger_one_in_lanes() {
        for (apps, rows, inline) in [
            (1, 1, true),
            (20, 100, true),
            (21, 1, false),
            (1, 2_000, true),
            (1, 2_001, false),
            (3, 1_000, false),
        ] {
            let work = work(begin_row(apps, rows), Goal::Apply);
            assert_eq!(
                work.apps.iter().all(|app| app.lanes.is_empty()),
                inline,
                "{apps} apps of {rows} rows"
            );
            assert_eq!(work.apps.len(), apps);
            if !inline {
                assert!(work.apps.iter().all(|app| !app.lanes.is_empty()));
            }
        }
    }
}
