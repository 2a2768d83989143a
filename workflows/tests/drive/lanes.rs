//! Large contexts: slices, lane by lane.

use crate::play::{app, play};
use model::{ids::RowId, plan::Slice, state::Goal};
use workflows::{
    contract::SliceOutcome,
    drive::{
        Action, Done, Driver,
        lanes::{Lanes, SLICES},
    },
};

#[test]
fn nothing_is_concluded_from_a_slice_that_was_lost() {
    let mut a = app("a", &[]);
    a.lanes = vec![vec![vec![Slice::range(0, 9)]]];
    let mut driver = Lanes::new(Goal::Delete, &[a]);
    play(&mut driver, |_| Some(Done::Lost));
    assert!(driver.finished() && driver.stopping() && !driver.failed());
}

#[test]
fn lanes_run_their_stages_in_order_and_apps_wait_for_each_other() {
    let lane = |stages: &[&[(RowId, RowId)]]| {
        stages
            .iter()
            .map(|s| s.iter().map(|&(from, to)| Slice::range(from, to)).collect())
            .collect()
    };
    let mut a1 = app("a1", &[]);
    a1.lanes = vec![lane(&[&[(0, 9), (10, 19)], &[(20, 29)]])];
    let mut a2 = app("a2", &[("a1", 0)]);
    a2.lanes = vec![lane(&[&[(30, 39)]])];
    let mut driver = Lanes::new(Goal::Apply, &[a1, a2]);
    let lines = play(&mut driver, |action| {
        Some(match action {
            Action::Slice(_) => Done::Slice(SliceOutcome::default()),
            _ => Done::Fired,
        })
    });
    assert_eq!(
        lines,
        [
            "note a2: Some(\"app a1: not deployed yet\")",
            "slice 0-9",
            "slice 10-19",
            "slice 20-29",
            "note a2: None",
            "slice 30-39"
        ]
    );
    assert!(driver.finished());
}

#[test]
fn a_delete_waits_for_no_other_lane_because_each_slice_keeps_the_order_of_its_clusters() {
    let mut web = app("web", &[("db", 5_000)]);
    web.lanes = (0..3)
        .map(|i| vec![vec![Slice::range(10 * i, 10 * i + 9)]])
        .collect();
    let mut driver = Lanes::new(Goal::Delete, &[web, app("db", &[])]);
    let lines = play(&mut driver, |action| match action {
        // The first slice has a dead cluster.
        Action::Slice(slice) if slice.from == 0 => None,
        _ => Some(Done::Slice(SliceOutcome::default())),
    });
    assert_eq!(lines, ["slice 0-9", "slice 10-19", "slice 20-29"]);
    assert!(!driver.finished());
}

#[test]
fn at_most_so_many_slices_are_open_and_the_next_starts_when_one_ends() {
    let mut a = app("a", &[]);
    let number = i32::try_from(SLICES).unwrap();
    a.lanes = (0..number + 2)
        .map(|i| vec![vec![Slice::range(i, i)]])
        .collect();
    let mut driver = Lanes::new(Goal::Apply, &[a]);
    let open = |driver: &mut Lanes| std::iter::from_fn(|| driver.next()).collect::<Vec<_>>();
    let first = open(&mut driver);
    assert_eq!(first.len(), SLICES);
    driver.done(first[7].0, Done::Slice(SliceOutcome::default()));
    let next = open(&mut driver);
    assert_eq!(next.len(), 1);
    let mut rest: Vec<_> = first
        .into_iter()
        .chain(next)
        .map(|(flight, _)| flight)
        .collect();
    rest.remove(7);
    for flight in rest {
        driver.done(flight, Done::Slice(SliceOutcome::default()));
    }
    let last = open(&mut driver);
    assert_eq!(last.len(), 1);
    driver.done(last[0].0, Done::Slice(SliceOutcome::default()));
    assert!(driver.finished() && !driver.failed());
}
