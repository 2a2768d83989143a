//! Waves of a bundle: what goes after what, and what goes no further.

use crate::play::{app, bundle, ok, play};
use model::{ids::RowId, plan::Outline, state::Goal};
use workflows::{
    contract::StepOutcome,
    drive::{Act, Action, Done, Driver, bundles::Bundles},
    limits,
};

#[test]
fn an_apply_looks_before_it_sends_and_goes_wave_by_wave_after_the_shared_rows() {
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&[1, 2], &[3]], &[0])],
    };
    let mut driver = Bundles::new(Goal::Apply, &[app("a", &[])], outline);
    let lines = play(&mut driver, |_| Some(ok()));
    assert_eq!(
        lines,
        [
            "Look c1 [0]",
            "Send c1 [0]",
            "Look c1 [1, 2]",
            "Send c1 [1]",
            "Send c1 [2]",
            "Look c1 [3]",
            "Send c1 [3]"
        ]
    );
    assert!(driver.finished() && !driver.failed());
}

#[test]
fn a_delete_waits_until_objects_are_gone_before_the_next_wave() {
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&[3], &[1, 2]], &[0])],
    };
    let mut driver = Bundles::new(Goal::Delete, &[app("a", &[])], outline);
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Step { rows, .. } if rows == &[1] || rows == &[2] => Done::Step(StepOutcome {
                waiting: rows.clone(),
                ..Default::default()
            }),
            _ => ok(),
        })
    });
    assert_eq!(
        lines,
        [
            "Send c1 [3]",
            "Send c1 [1]",
            "Send c1 [2]",
            "gone c1 [1, 2]",
            "Send c1 [0]"
        ]
    );
}

#[test]
fn a_large_wave_puts_several_rows_into_one_activity() {
    let rows: Vec<RowId> = (0..=limits::CHUNK_ABOVE as RowId).collect();
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&rows], &[])],
    };
    let mut sizes = vec![];
    play(&mut Bundles::new(Goal::Delete, &[], outline), |action| {
        if let Action::Step { rows, .. } = action {
            sizes.push(rows.len());
        }
        Some(ok())
    });
    sizes.dedup();
    assert_eq!(sizes, [limits::CHUNK_ROWS, rows.len() % limits::CHUNK_ROWS]);
}

#[test]
fn a_refused_row_holds_later_waves_of_its_bundle_and_nothing_else() {
    let outline = Outline {
        bundles: vec![
            bundle("a", "c1", &[&[1, 2], &[3]], &[]),
            bundle("a", "c2", &[&[4], &[5]], &[]),
        ],
    };
    let mut driver = Bundles::new(Goal::Apply, &[app("a", &[])], outline);
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Step {
                act: Act::Send,
                rows,
                ..
            } if rows == &[1] => Done::Step(StepOutcome {
                failed: vec![1],
                ..Default::default()
            }),
            _ => ok(),
        })
    });
    assert!(
        lines.contains(&"Send c1 [2]".into()) && lines.contains(&"Send c2 [5]".into()),
        "{lines:?}"
    );
    assert!(!lines.contains(&"Look c1 [3]".into()), "{lines:?}");
    assert!(
        lines.iter().any(|l| l.starts_with("note [3]: Some")),
        "{lines:?}"
    );
    assert!(driver.finished() && driver.failed());
}

#[test]
fn nothing_is_started_after_the_fence_moved() {
    let outline = Outline {
        bundles: vec![bundle("a", "c1", &[&[1, 2, 3]], &[])],
    };
    let mut driver = Bundles::new(Goal::Apply, &[], outline);
    let lines = play(&mut driver, |_| {
        Some(Done::Step(StepOutcome {
            superseded: true,
            ..Default::default()
        }))
    });
    assert_eq!(lines, ["Look c1 [1, 2, 3]"]);
    assert!(driver.finished() && driver.stopping());
}
