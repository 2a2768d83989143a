//! Retries, silent clusters, and workers that stop.

use crate::play::{app, bundle, ok, play};
use model::{ids::RowId, plan::Outline, state::Goal};
use workflows::{
    contract::{Reachable, StepOutcome},
    drive::{Action, Done, Driver, bundles::Bundles},
    limits,
};

#[test]
fn transient_rows_are_promoted_up_to_the_retry_slots_and_the_others_say_what_they_wait_for() {
    let rows: Vec<RowId> = (0..limits::RETRY_SLOTS as RowId + 5).collect();
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&rows], &[])],
    };
    let mut driver = Bundles::new(Goal::Delete, &[], outline);
    let lines = play(&mut driver, |action| match action {
        Action::Step { rows, .. } => Some(Done::Step(StepOutcome {
            retry: rows.clone(),
            ..Default::default()
        })),
        Action::Promoted { .. } => None,
        _ => Some(ok()),
    });
    assert_eq!(
        lines.iter().filter(|l| l.starts_with("promoted")).count(),
        limits::RETRY_SLOTS
    );
    let noted = lines
        .iter()
        .filter(|l| l.ends_with("Some(\"retry slots\")"))
        .count();
    assert!(noted > 0, "{lines:?}");
    assert!(!driver.finished());
}

#[test]
fn a_cluster_that_keeps_all_retry_slots_leaves_one_for_every_other() {
    let rows: Vec<RowId> = (0..30).collect();
    let outline = Outline {
        bundles: vec![
            bundle("a", "c1", &[&rows], &[]),
            bundle("a", "c2", &[&[90, 91]], &[]),
        ],
    };
    let mut driver = Bundles::new(Goal::Delete, &[], outline);
    let lines = play(&mut driver, |action| match action {
        Action::Step { rows, .. } => Some(Done::Step(StepOutcome {
            retry: rows.clone(),
            ..Default::default()
        })),
        Action::Promoted { cluster, .. } if cluster.name == "c1" => None,
        _ => Some(ok()),
    });
    for row in ["promoted Send c2 [90]", "promoted Send c2 [91]"] {
        assert!(lines.contains(&row.to_owned()), "{row} not in {lines:?}");
    }
}

#[test]
fn a_silent_cluster_is_parked_behind_one_wait_and_the_others_go_on() {
    let outline = Outline {
        bundles: vec![
            bundle("a", "c1", &[&[1, 2]], &[]),
            bundle("a", "c2", &[&[3]], &[]),
        ],
    };
    let mut driver = Bundles::new(Goal::Apply, &[app("a", &[])], outline);
    let mut dead = true;
    let mut waits = 0;
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Step { cluster, rows, .. } if cluster.name == "c1" && dead => {
                Done::Step(StepOutcome {
                    unreachable: true,
                    again: rows.clone(),
                    ..Default::default()
                })
            }
            Action::Reachable { .. } => {
                // `play` asks twice: once whether there is an answer, once for it.
                waits += 1;
                dead = false;
                Done::Reachable(Reachable::Yes)
            }
            _ => ok(),
        })
    });
    assert_eq!(waits, 2, "{lines:?}");
    assert!(
        lines.contains(&"Send c2 [3]".into()) && lines.contains(&"Send c1 [2]".into()),
        "{lines:?}"
    );
    assert!(driver.finished() && !driver.failed());
}

#[test]
fn a_stopping_worker_ends_its_task_before_anything_is_sent_again() {
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&[1]], &[])],
    };
    let mut driver = Bundles::new(Goal::Delete, &[], outline);
    let mut first = true;
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Step { rows, .. } if first => Done::Step(StepOutcome {
                drained: true,
                again: rows.clone(),
                ..Default::default()
            }),
            Action::Pause { .. } => {
                first = false;
                Done::Fired
            }
            _ => ok(),
        })
    });
    assert_eq!(lines, ["Send c1 [1]", "pause 100", "Send c1 [1]"]);
}
