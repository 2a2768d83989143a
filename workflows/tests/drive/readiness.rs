//! Waits for readiness: of an app that another needs, and of a context.

use crate::play::{app, bundle, ok, play};
use model::{document::OpStatus, ids::RowId, plan::Outline, state::Goal};
use workflows::{
    contract::{AppWork, Ready, StepOutcome},
    drive::{Act, Action, Done, Driver, bundles::Bundles, readiness::Readiness},
};

/// App `b` that needs `a` to be ready, and others to be deployed.
fn needs_ready(wait_ms: u64, others: &[(&str, u64)]) -> AppWork {
    let mut b = app("b", &[&[("a", wait_ms)], others].concat());
    b.depends_on[0].op_status = OpStatus::Ready;
    b
}

#[test]
fn a_dependent_on_readiness_asks_for_it_once_everything_is_deployed_and_then_waits() {
    let outline = || Outline {
        bundles: vec![
            bundle("a", "c1", &[&[1]], &[]),
            bundle("a", "c2", &[&[2]], &[]),
            bundle("b", "c1", &[&[3]], &[]),
        ],
    };
    let apps = [app("a", &[]), needs_ready(5_000, &[])];
    let mut asked = 0;
    let lines = play(
        &mut Bundles::new(Goal::Apply, &apps, outline()),
        |action| match action {
            Action::Ready { .. } => {
                // The answer is lost once: it is asked again.
                asked += 1;
                Some(if asked < 3 {
                    Done::Lost
                } else {
                    Done::Ready(Ready::Yes)
                })
            }
            Action::Pause { .. } | Action::Note { .. } => Some(Done::Fired),
            _ => Some(ok()),
        },
    );
    let at = |line: &str| {
        lines
            .iter()
            .position(|l| l == line)
            .unwrap_or_else(|| panic!("{line}: {lines:?}"))
    };
    assert!(at("Send c2 [2]") < at("ready a"), "{lines:?}");
    assert!(
        at("ready a") < at("pause 5000") && at("pause 5000") < at("Look c1 [3]"),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"note b: Some(\"app a: not ready yet\")".to_owned()),
        "{lines:?}"
    );
}

#[test]
fn a_drive_ends_without_the_readiness_that_only_a_held_app_waits_for() {
    let bundles = vec![
        bundle("a", "c1", &[&[1]], &[]),
        bundle("z", "c1", &[&[2]], &[]),
        bundle("b", "c1", &[&[3]], &[]),
    ];
    let apps = [app("a", &[]), app("z", &[]), needs_ready(0, &[("z", 0)])];
    let mut driver = Bundles::new(Goal::Apply, &apps, Outline { bundles });
    let failed = |row: RowId| {
        Done::Step(StepOutcome {
            failed: vec![row],
            ..Default::default()
        })
    };
    let lines = play(&mut driver, |action| match action {
        Action::Ready { .. } => None,
        Action::Step {
            act: Act::Send,
            rows,
            ..
        } if rows == &[2] => Some(failed(2)),
        Action::Pause { .. } | Action::Note { .. } => Some(Done::Fired),
        _ => Some(ok()),
    });
    assert!(driver.finished() && driver.failed(), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("[3]")), "{lines:?}");
}

#[test]
fn the_readiness_of_a_context_is_asked_for_until_it_is_known_or_the_goal_moves() {
    let mut answers = vec![Done::Lost, Done::Ready(Ready::Expired)];
    let mut driver = Readiness::default();
    let (first, action) = driver.next().unwrap();
    assert_eq!(action, Action::Ready { app: None });
    assert!(!driver.finished() && driver.next().is_none());
    driver.done(first, answers.remove(0));
    let (second, _) = driver.next().unwrap();
    driver.done(second, answers.remove(0));
    assert!(driver.finished() && !driver.stopping());
    let mut moved = Readiness::default();
    let (flight, _) = moved.next().unwrap();
    moved.stop();
    assert!(!moved.finished(), "what is in flight still ends");
    moved.done(flight, Done::Lost);
    assert!(moved.finished() && moved.stopping());
}
