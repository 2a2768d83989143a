//! Apps that wait for apps to be deployed, or deleted.

use crate::play::{app, bundle, ok, play};
use model::{ids::RowId, plan::Outline, state::Goal};
use workflows::{
    contract::{AppWork, StepOutcome},
    drive::{Act, Action, Done, Driver, bundles::Bundles},
};

#[test]
fn an_app_starts_its_wait_after_its_dependency_is_deployed_on_all_clusters() {
    let outline = Outline {
        bundles: vec![
            bundle("a1", "c1", &[&[1]], &[]),
            bundle("a2", "c1", &[&[2]], &[]),
            bundle("a2", "c2", &[&[3]], &[]),
        ],
    };
    let apps = [app("a1", &[("a2", 1_000)]), app("a2", &[])];
    let lines = play(&mut Bundles::new(Goal::Apply, &apps, outline), |_| {
        Some(ok())
    });
    let at = |l: &str| {
        lines
            .iter()
            .position(|x| x == l)
            .unwrap_or_else(|| panic!("{l} in {lines:?}"))
    };
    assert_eq!(at("note a1: Some(\"app a2: not deployed yet\")"), 0);
    assert!(at("pause 1000") > at("Send c2 [3]") && at("pause 1000") > at("Send c1 [2]"));
    assert!(at("Look c1 [1]") > at("pause 1000"));
}

#[test]
fn dependents_of_a_failed_app_are_never_started() {
    let outline = Outline {
        bundles: vec![
            bundle("a1", "c1", &[&[1]], &[]),
            bundle("a2", "c1", &[&[2]], &[]),
        ],
    };
    let apps = [app("a1", &[("a2", 0)]), app("a2", &[])];
    let mut driver = Bundles::new(Goal::Apply, &apps, outline);
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Step { act: Act::Send, .. } => Done::Step(StepOutcome {
                failed: vec![2],
                ..Default::default()
            }),
            _ => ok(),
        })
    });
    assert!(!lines.contains(&"Look c1 [1]".into()), "{lines:?}");
    assert!(
        lines.contains(&"note a1: Some(\"app a2: failed\")".into()),
        "{lines:?}"
    );
    assert!(driver.finished() && driver.failed());
}

#[test]
fn dependents_of_an_app_that_failed_in_an_earlier_drive_are_never_started() {
    let outline = Outline {
        bundles: vec![bundle("a1", "c1", &[&[1]], &[])],
    };
    let failed = AppWork {
        failed: true,
        ..app("a2", &[])
    };
    let mut driver = Bundles::new(Goal::Apply, &[app("a1", &[("a2", 0)]), failed], outline);
    let lines = play(&mut driver, |_| Some(ok()));
    assert_eq!(lines, ["note a1: Some(\"app a2: failed\")"]);
    assert!(driver.finished());
}

#[test]
fn a_delete_goes_in_reverse_dependency_order_per_cluster_so_that_a_dead_cluster_holds_only_itself()
{
    let outline = Outline {
        bundles: ["c1", "c2"]
            .iter()
            .enumerate()
            .flat_map(|(i, c)| {
                let i = i as RowId;
                [
                    bundle("a1", c, &[&[i]], &[]),
                    bundle("a2", c, &[&[10 + i]], &[]),
                ]
            })
            .collect(),
    };
    let apps = [app("a1", &[("a2", 5_000)]), app("a2", &[])];
    let mut driver = Bundles::new(Goal::Delete, &apps, outline);
    let lines = play(&mut driver, |action| match action {
        Action::Step { cluster, rows, .. } if cluster.name == "c1" => {
            Some(Done::Step(StepOutcome {
                unreachable: true,
                again: rows.clone(),
                ..Default::default()
            }))
        }
        Action::Reachable { .. } => None,
        _ => Some(ok()),
    });
    assert!(lines.contains(&"Send c2 [11]".into()), "{lines:?}");
    assert!(!lines.contains(&"Send c1 [10]".into()), "{lines:?}");
    assert!(
        !lines.contains(&"pause 5000".into()),
        "a wait is for starting only: {lines:?}"
    );
    // What waits says so, cluster by cluster.
    let noted = |on: RowId| format!("note [{on}]: Some(\"app a1: not deleted yet\")");
    for line in [noted(10), noted(11), "note [11]: None".to_owned()] {
        assert!(lines.contains(&line), "{line} not in {lines:?}");
    }
    assert!(!lines.contains(&"note [10]: None".into()), "{lines:?}");
}
