//! Folds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::{
    document::{Dependency, OpStatus},
    ids::ClusterId,
    plan::{Class, PlanApp},
};
use proptest::prelude::*;

fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn app(name: &str, on: &[&str], clusters: &[&str]) -> PlanApp {
    PlanApp {
        name: name.to_owned(),
        depends_on: on
            .iter()
            .map(|app| Dependency {
                app: (*app).to_owned(),
                op_status: OpStatus::Deployed,
                wait_ms: 0,
            })
            .collect(),
        clusters: clusters.iter().map(|name| cluster(name)).collect(),
    }
}

fn trouble(app: &str, on: &str, wave: i32, class: Class) -> Trouble {
    Trouble {
        app: app.to_owned(),
        cluster: cluster(on),
        wave,
        class,
    }
}

#[test]
fn counts_fold_into_the_contexts_event() {
    let counts = |reached, failed, held_back, open| Counts {
        reached,
        failed,
        held_back,
        open,
    };
    for (counts, want) in [
        (counts(0, 0, 0, 0), Fold::Settled),
        (counts(6, 0, 0, 0), Fold::Settled),
        (counts(5, 1, 0, 0), Fold::SettledFailed),
        (counts(4, 1, 1, 0), Fold::SettledFailed),
        (counts(4, 1, 0, 1), Fold::Unfinished),
        (counts(5, 0, 0, 1), Fold::Unfinished),
        (counts(5, 0, 1, 0), Fold::Unfinished),
    ] {
        assert_eq!(fold(counts, Wait::Over), want, "{counts:?}");
    }
}

#[test]
fn a_failure_holds_back_later_waves_dependents_and_nothing_else() {
    let apps = [
        app("a1", &["a2"], &["c1"]),
        app("a2", &[], &["c1", "c2"]),
        app("a3", &["a1"], &["c3"]),
        app("a4", &[], &["c2"]),
    ];
    let held = HeldBack::new([trouble("a2", "c1", 3, Class::Own)], &apps, Goal::Apply);
    for (app, on, wave, class, want) in [
        ("a2", "c1", 3, Class::Own, false),
        ("a2", "c1", 4, Class::Own, true),
        ("a2", "c2", 4, Class::Own, false),
        ("a4", "c2", 4, Class::Own, false),
        ("a1", "c1", 2, Class::Own, true),
        ("a3", "c3", 2, Class::Own, true),
        ("", "c1", 0, Class::Shared, false),
        // Only stopped apps run there: nobody comes to its Namespace.
        ("", "c3", 0, Class::Shared, true),
    ] {
        assert_eq!(
            held.holds_at(app, &cluster(on), wave, class),
            want,
            "{app} {on} {wave}"
        );
    }
    assert!(held.app_is_stopped("a3") && !held.app_is_stopped("a4"));
}

#[test]
fn a_failed_namespace_holds_back_its_cluster_and_the_dependents_of_its_apps() {
    let apps = [app("a1", &["a2"], &["c2"]), app("a2", &[], &["c1"])];
    let held = HeldBack::new([trouble("", "c1", 0, Class::Shared)], &apps, Goal::Apply);
    assert!(held.holds_at("a2", &cluster("c1"), 2, Class::Own));
    assert!(held.holds_at("", &cluster("c1"), 1, Class::Shared));
    assert!(held.holds_at("a1", &cluster("c2"), 2, Class::Own));
}

#[test]
fn a_failed_delete_holds_back_only_the_shared_rows_of_its_cluster() {
    let apps = [app("a1", &["a2"], &["c1", "c2"]), app("a2", &[], &["c1"])];
    let held = HeldBack::new([trouble("a1", "c1", 5, Class::Own)], &apps, Goal::Delete);
    assert!(held.holds_at("", &cluster("c1"), 0, Class::Shared));
    assert!(!held.holds_at("", &cluster("c2"), 0, Class::Shared));
    assert!(!held.holds_at("a1", &cluster("c1"), 2, Class::Own));
    assert!(!held.holds_at("a2", &cluster("c1"), 2, Class::Own));
}

proptest! {
    #[test]
    fn settled_means_that_every_row_is_in_the_target(
        states in prop::collection::vec(prop::sample::select(ResourceState::ALL.to_vec()), 0..40),
        apply: bool,
        held: bool,
    ) {
        let goal = if apply { Goal::Apply } else { Goal::Delete };
        let mut counts = Counts::default();
        for state in &states {
            counts.add(*state, goal, || held);
        }
        let all = counts.reached + counts.failed + counts.held_back + counts.open;
        prop_assert_eq!(all, states.len() as u64);
        let arrived = states.iter().all(|state| state.is_target(goal));
        prop_assert_eq!(fold(counts, Wait::Over) == Fold::Settled, arrived);
        let failed = states.contains(&ResourceState::Failed(goal));
        if fold(counts, Wait::Over) == Fold::SettledFailed {
            prop_assert!(failed);
            prop_assert!(!states.contains(&ResourceState::Retrying(goal)));
        }
    }
}
