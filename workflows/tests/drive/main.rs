//! The order of work, without a server: drivers are asked what to do and told what became of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lanes;

use model::{
    document::{Dependency, OpStatus},
    ids::{ClusterId, RowId},
    plan::{Bundle, Outline, Slice},
    state::Goal,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use workflows::{
    contract::{AppWork, NoteTarget, Reachable, Ready, StepOutcome},
    drive::{Act, Action, Done, Driver, bundles::Bundles, readiness::Readiness},
    limits,
};

fn cluster(name: &str) -> ClusterId {
    name.parse().unwrap()
}

fn bundle(app: &str, on: &str, waves: &[&[RowId]], shared: &[RowId]) -> Bundle {
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

fn app(name: &str, on: &[(&str, u64)]) -> AppWork {
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

fn ok() -> Done {
    Done::Step(StepOutcome::default())
}

/// A line for an action, as the expectations below write it.
fn line(action: &Action) -> String {
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
fn play(driver: &mut dyn Driver, mut answer: impl FnMut(&Action) -> Option<Done>) -> Vec<String> {
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

proptest! {
    /// Whatever the answers are, the driver ends when the trouble ends; every row that did not fail
    /// and is not held back was sent last with a good answer, and never two sends of a row overlap.
    #[test]
    fn a_driver_always_ends_and_every_row_is_settled(
        seed in any::<u64>(), bundles in 1_usize..6, waves in 1_usize..4, width in 1_i32..80, delete in any::<bool>(),
    ) {
        let goal = if delete { Goal::Delete } else { Goal::Apply };
        let mut next = 0;
        let outline = Outline { bundles: (0..bundles).map(|i| {
            let waves = (0..waves).map(|_| { let w = (next..next + width).collect(); next += width; w }).collect();
            Bundle { app: format!("a{}", i % 2), cluster: cluster(&format!("c{}", i / 2)), waves, shared: vec![], failed: false }
        }).collect() };
        let apps = [app("a0", &[("a1", 0)]), app("a1", &[])];
        let mut driver = Bundles::new(goal, &apps, outline);
        let mut random = seed;
        let mut dice = move |n: u64| { random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (random >> 33) % n };
        let mut flights: Vec<(u64, Action)> = vec![];
        let mut busy: BTreeSet<RowId> = BTreeSet::new();
        let mut last: BTreeMap<RowId, bool> = BTreeMap::new();
        let mut failed = false;
        for step in 0.. {
            prop_assert!(step < 200_000, "the driver does not end");
            while let Some((flight, action)) = driver.next() {
                if let Action::Step { rows, .. } | Action::Promoted { rows, .. } | Action::Gone { rows, .. } = &action {
                    for r in rows { prop_assert!(busy.insert(*r), "row {r} twice in flight"); }
                }
                flights.push((flight, action));
            }
            if flights.is_empty() { break; }
            let (flight, action) = flights.swap_remove(dice(flights.len() as u64) as usize);
            let calm = step > 2_000;
            let done = match &action {
                Action::Step { act, rows, .. } | Action::Promoted { act, rows, .. } => {
                    for r in rows { busy.remove(r); }
                    let mut o = StepOutcome::default();
                    match if calm { 9 } else { dice(10) } {
                        0 => { o.failed.push(rows[0]); failed = true; }
                        1 if matches!(action, Action::Step { .. }) => o.retry.clone_from(rows),
                        2 => { o.again.clone_from(rows); o.again_ms = 5; }
                        3 => { o.again.clone_from(rows); o.unreachable = true; }
                        4 if delete => o.waiting.clone_from(rows),
                        5 => { o.again.clone_from(rows); o.drained = true; }
                        _ => {}
                    }
                    let open = |r: &RowId| o.retry.contains(r) || o.again.contains(r) || o.waiting.contains(r);
                    if *act == Act::Send { for r in rows { last.insert(*r, !open(r)); } }
                    Done::Step(o)
                }
                Action::Gone { rows, .. } => {
                    for r in rows { busy.remove(r); last.insert(*r, true); }
                    ok()
                }
                Action::Reachable { .. } => Done::Reachable(Reachable::Yes),
                _ => Done::Fired,
            };
            driver.done(flight, done);
        }
        prop_assert!(driver.finished());
        prop_assert!(last.values().all(|settled| *settled));
        if !failed || delete { prop_assert_eq!(last.len() as i32, next); }
    }
}

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
