//! Outlines, and runs of a driver over them that are told what became of each action.

use model::{
    document::{Dependency, OpStatus},
    ids::{ClusterId, RowId},
    plan::{Bundle, Slice},
};
use std::collections::VecDeque;
use workflows::{
    contract::{AppWork, NoteTarget, StepOutcome},
    drive::{Action, Done, Driver},
};

pub fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

pub fn bundle(app: &str, on: &str, waves: &[&[RowId]], shared: &[RowId]) -> Bundle {
    let shared = if shared.is_empty() {
        vec![]
    } else {
        vec![shared.to_vec()]
    };
    let waves = waves.iter().map(|w| w.to_vec()).collect();
    Bundle {
        app: app.into(),
        cluster: cluster(on),
        waves,
        shared,
        failed: false,
    }
}

pub fn app(name: &str, on: &[(&str, u64)]) -> AppWork {
    let depends_on = on
        .iter()
        .map(|(app, wait_ms)| Dependency {
            app: (*app).into(),
            op_status: OpStatus::Deployed,
            wait_ms: *wait_ms,
        })
        .collect();
    AppWork {
        name: name.into(),
        depends_on,
        lanes: vec![],
        failed: false,
    }
}

pub fn ok() -> Done {
    Done::Step(StepOutcome::default())
}

/// A line for an action, as the expectations below write it.
pub fn line(action: &Action) -> String {
    match action {
        Action::Step { act, cluster, rows } => format!("{act:?} {} {rows:?}", cluster.name),
        Action::Promoted { act, cluster, rows } => {
            format!("promoted {act:?} {} {rows:?}", cluster.name)
        }
        Action::Gone { cluster, rows } => format!("gone {} {rows:?}", cluster.name),
        Action::Reachable { cluster, app } => format!("reachable {} {app}", cluster.name),
        Action::Ready { app } => format!("ready {}", app.as_deref().unwrap_or("all")),
        Action::Pause { ms } => format!("pause {ms}"),
        Action::Note {
            target: NoteTarget::App(app),
            blocked_by,
        } => format!("note {app}: {blocked_by:?}"),
        Action::Note {
            target: NoteTarget::Rows(rows),
            blocked_by,
        } => format!("note {rows:?}: {blocked_by:?}"),
        Action::Slice(Slice { from, to, .. }) => format!("slice {from}-{to}"),
    }
}

/// Runs the driver to its end, answering one action at a time; the lines of what it did. Actions
/// that `answer` keeps (`None`) stay in flight for ever.
pub fn play(
    driver: &mut dyn Driver,
    mut answer: impl FnMut(&Action) -> Option<Done>,
) -> Vec<String> {
    let mut lines = vec![];
    let mut flights = VecDeque::new();
    loop {
        while let Some(flight) = driver.next() {
            lines.push(line(&flight.1));
            flights.push_back(flight);
        }
        let Some(i) = flights.iter().position(|(_, a)| answer(a).is_some()) else {
            return lines;
        };
        let (flight, action) = flights.remove(i).unwrap();
        driver.done(flight, answer(&action).unwrap());
        assert!(
            lines.len() < 10_000,
            "the driver does not end: {:?}",
            &lines[..20]
        );
    }
}
