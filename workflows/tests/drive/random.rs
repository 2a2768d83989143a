//! Any outline with any answers.

use crate::play::{app, cluster, ok};
use model::{
    ids::RowId,
    plan::{Bundle, Outline},
    state::Goal,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use workflows::{
    contract::{Reachable, StepOutcome},
    drive::{Act, Action, Done, Driver, bundles::Bundles},
};

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
