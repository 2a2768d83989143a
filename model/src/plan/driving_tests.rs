//! Outlines, lanes and the order of apps.

use super::*;
use crate::{document::OpStatus, state::Goal};

#[test]
fn an_outline_drives_waves_up_for_apply_and_down_for_delete() {
    let web = app(
        "web",
        &format!("v1 ConfigMap a\napps/v1 Deployment d\n{CRD}"),
    );
    let plan = render(
        &dig("shop"),
        &composite(vec![web]),
        &placed(&[("web", &["c1", "c2"])]),
    )
    .unwrap();
    let show = |outline: Outline| -> Vec<String> {
        let bundles = outline.bundles.iter();
        bundles
            .map(|b| format!("{} {} {:?} {:?}", b.app, b.cluster.name, b.shared, b.waves))
            .collect()
    };
    let rows = || plan.rows.iter().map(OpenRow::planned);
    assert_eq!(
        show(outline(rows(), Goal::Apply)),
        [
            "web c1 [[0], [1]] [[4], [5]]",
            "web c2 [[2], [3]] [[6], [7]]"
        ]
    );
    assert_eq!(
        show(outline(rows(), Goal::Delete)),
        [
            "web c1 [[1], [0]] [[5], [4]]",
            "web c2 [[3], [2]] [[7], [6]]"
        ]
    );
    // Only the shared rows of c1 are left.
    let left = rows().filter(|row| row.cluster.name == "c2" || row.class == Class::Shared);
    assert_eq!(
        show(outline(left, Goal::Delete)),
        [" c1 [[1], [0]] []", "web c2 [[3], [2]] [[7], [6]]"]
    );
}

#[test]
fn a_failed_row_holds_back_later_waves_of_an_apply_and_marks_the_bundle() {
    let web = app(
        "web",
        "v1 ConfigMap a\nv1 ConfigMap b\nv1 Service s\napps/v1 Deployment d",
    );
    let plan = render(
        &dig("default"),
        &composite(vec![web]),
        &placed(&[("web", &["c1", "c2"])]),
    )
    .unwrap();
    let rows = || {
        plan.rows.iter().map(OpenRow::planned).map(|mut row| {
            row.failed = row.id == 0;
            row
        })
    };
    let apply = outline(rows(), Goal::Apply);
    assert_eq!(apply.bundles[0].waves, [[1]]);
    assert!(apply.bundles[0].failed && !apply.bundles[1].failed);
    assert_eq!(apply.bundles[1].waves.len(), 3);
    let delete = outline(rows(), Goal::Delete);
    assert_eq!(delete.bundles[0].waves, [[3], [2], [1]]);
}

fn group(app: &str, on: &str, wave: i32, first: RowId, last: RowId) -> Group {
    let open = i64::from(last - first + 1);
    Group {
        app: app.to_owned(),
        cluster: cluster(on),
        wave,
        class: Class::Own,
        first,
        last,
        open,
    }
}

fn limits(rows: usize, bundles: usize) -> Limits {
    Limits { rows, bundles }
}

#[test]
fn small_bundles_are_packed_and_large_ones_sliced_wave_by_wave() {
    let groups = [
        group("a", "c1", 2, 0, 9),
        group("a", "c2", 2, 10, 19),
        group("a", "c3", 2, 20, 24),
        group("a", "c3", 3, 25, 29),
        group("a", "c3", 4, 30, 99),
        group("b", "c1", 2, 100, 100),
    ];
    let show = |goal| -> Vec<String> {
        lanes(&groups, &[], limits(30, 20), goal)
            .into_iter()
            .map(|(app, lanes)| {
                let stages: Vec<Vec<Vec<(i32, i32)>>> = lanes
                    .iter()
                    .map(|l| {
                        l.iter()
                            .map(|s| s.iter().map(|x| (x.from, x.to)).collect())
                            .collect()
                    })
                    .collect();
                format!("{app} {stages:?}")
            })
            .collect()
    };
    assert_eq!(
        show(Goal::Apply),
        [
            "a [[[(0, 19)]], [[(20, 29)], [(30, 59), (60, 89), (90, 99)]]]",
            "b [[[(100, 100)]]]"
        ]
    );
    assert_eq!(
        show(Goal::Delete)[0],
        "a [[[(0, 19)]], [[(30, 59), (60, 89), (90, 99)], [(20, 29)]]]"
    );
    let by_bundles = lanes(&groups[..2], &[], limits(30, 1), Goal::Apply);
    assert_eq!(by_bundles[0].1.len(), 2);
}

#[test]
fn apps_that_depend_on_each_other_are_deleted_cluster_by_cluster() {
    // web needs db, and both are on c1 … c3; c2 alone is too large; nobody needs `alone`.
    let groups = [
        group("web", "c1", 2, 0, 4),
        group("web", "c2", 2, 5, 14),
        group("web", "c3", 2, 15, 19),
        group("db", "c1", 2, 20, 24),
        group("db", "c2", 2, 25, 59),
        group("db", "c3", 2, 60, 64),
        group("alone", "c1", 2, 70, 79),
        group("alone", "c2", 2, 80, 89),
    ];
    let web = depends(&["db"]);
    let apps = [
        ("web", web.as_slice()),
        ("db", &[] as &[Dependency]),
        ("alone", &[]),
    ];
    let show = |goal| -> Vec<String> {
        lanes(&groups, &apps, limits(30, 20), goal)
            .into_iter()
            .map(|(app, lanes)| {
                let lanes: Vec<Vec<Vec<Vec<_>>>> = lanes
                    .iter()
                    .map(|l| {
                        l.iter()
                            .map(|s| s.iter().map(|x| x.ranges().collect()).collect())
                            .collect()
                    })
                    .collect();
                format!("{app} {lanes:?}")
            })
            .collect()
    };
    assert_eq!(
        show(Goal::Delete),
        [
            "web [[[[(5, 14)]], [[(25, 54)], [(55, 59)]]], [[[(0, 4), (20, 24), (15, 19), (60, 64)]]]]",
            "alone [[[[(70, 89)]]]]"
        ]
    );
    assert_eq!(tied(&apps), [[1, 0]]);
    assert!(show(Goal::Apply)[0].starts_with("web [[[[(0, 19)]]]"));
}

#[test]
fn clusters_with_nothing_but_shared_rows_get_lanes_of_their_own() {
    let mut shared = [
        group("", "c1", 0, 0, 0),
        group("a", "c1", 1, 1, 1),
        group("", "c2", 0, 2, 2),
    ];
    for group in &mut shared {
        group.class = Class::Shared;
    }
    let mut groups = shared.to_vec();
    groups.push(group("a", "c1", 2, 3, 9));
    let lanes = lanes(&groups, &[], limits(30, 20), Goal::Delete);
    let only = |from, to| vec![vec![vec![Slice::range(from, to)]]];
    assert_eq!(
        lanes,
        [(String::new(), only(2, 2)), ("a".to_owned(), only(3, 9))]
    );
}

fn depends(on: &[&str]) -> Vec<Dependency> {
    on.iter()
        .map(|app| Dependency {
            app: (*app).to_owned(),
            op_status: OpStatus::Deployed,
            wait_ms: 5,
        })
        .collect()
}

#[test]
fn dependencies_order_apps_and_turn_round_for_delete() {
    let (a, b, c) = (depends(&["b", "c"]), depends(&["c"]), depends(&[]));
    let apps = [
        ("a", a.as_slice()),
        ("b", b.as_slice()),
        ("c", c.as_slice()),
    ];
    assert_eq!(topological(&apps), Ok(vec![2, 1, 0]));
    assert_eq!(
        predecessors(&apps, Goal::Apply),
        [vec![(1, 5), (2, 5)], vec![(2, 5)], vec![]]
    );
    assert_eq!(
        predecessors(&apps, Goal::Delete),
        [vec![], vec![(0, 0)], vec![(0, 0), (1, 0)]]
    );
    let ring = depends(&["a"]);
    let ring = topological(&[
        ("a", a.as_slice()),
        ("b", b.as_slice()),
        ("c", ring.as_slice()),
    ]);
    assert_eq!(
        ring.unwrap_err().to_string(),
        "apps depend on each other in a cycle: a → b → c → a"
    );
}

#[test]
fn a_plan_of_fifty_thousand_rows_is_numbered_and_cut_completely() {
    let objects: Vec<String> = (0..250).map(|i| format!("v1 ConfigMap m{i}")).collect();
    let app = composite(vec![app("a", &objects.join("\n"))]);
    let names: Vec<String> = (0..200).map(|i| format!("c{i:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let plan = render(&dig("shop"), &app, &placed(&[("a", &names)])).unwrap();
    assert_eq!(plan.rows.len(), 50_000 + 200);
    assert_eq!(plan.manifests.len(), 251);
    let outline = outline(plan.rows.iter().map(OpenRow::planned), Goal::Apply);
    assert_eq!(outline.bundles.len(), 200);
    let groups: Vec<Group> = outline
        .bundles
        .iter()
        .map(|b| {
            let (first, last) = (b.waves[0][0], *b.waves[0].last().unwrap());
            Group {
                app: b.app.clone(),
                cluster: b.cluster.clone(),
                wave: 2,
                class: Class::Own,
                first,
                last,
                open: 250,
            }
        })
        .collect();
    let lanes = lanes(&groups, &[], limits(2_000, 20), Goal::Apply);
    assert_eq!(lanes[0].1.len(), 25);
}

proptest! {
    #[test]
    fn lanes_cover_every_open_row_once_within_the_limits(
        sizes in prop::collection::vec((0..3_usize, 0..5_usize, 0..4_i32, 1..90_i32), 1..40),
        max_rows in 1..60_usize,
        max_bundles in 1..5_usize,
        apply: bool,
    ) {
        let wanted: BTreeMap<(usize, usize, i32), i32> =
            sizes.into_iter().map(|(app, on, wave, size)| ((app, on, wave), size)).collect();
        let mut groups = Vec::new();
        let mut next = 0;
        for ((app, on, wave), size) in wanted {
            groups.push(group(&format!("a{app}"), &format!("c{on}"), wave, next, next + size - 1));
            next += size;
        }
        let goal = if apply { Goal::Apply } else { Goal::Delete };
        let mut covered = BTreeSet::new();
        for (app, lanes) in lanes(&groups, &[], limits(max_rows, max_bundles), goal) {
            for slice in lanes.iter().flatten().flatten() {
                prop_assert!(((slice.to - slice.from) as usize) < max_rows);
                let inside: BTreeSet<_> = groups
                    .iter()
                    .filter(|g| g.first <= slice.to && g.last >= slice.from)
                    .map(|g| (&g.app, &g.cluster))
                    .collect();
                prop_assert!(inside.len() <= max_bundles);
                prop_assert!(inside.iter().all(|(of, _)| **of == app));
                for row in slice.from..=slice.to {
                    prop_assert!(covered.insert(row), "row {row} twice");
                }
            }
            // Stages of a lane never go against the waves.
            for lane in &lanes {
                let firsts: Vec<_> = lane.iter().map(|stage| stage[0].from).collect();
                let mut sorted = firsts.clone();
                sorted.sort_unstable();
                if goal == Goal::Delete {
                    sorted.reverse();
                }
                prop_assert_eq!(firsts, sorted);
            }
        }
        prop_assert_eq!(covered.len() as i32, next);
    }

    #[test]
    fn an_outline_lists_every_open_row_once(
        list in prop::collection::vec((0..3_usize, 0..4_usize, 0..5_i32, any::<bool>(), any::<bool>()), 0..60),
        apply: bool,
    ) {
        let clusters: Vec<ClusterId> = (0..4).map(|i| cluster(&format!("c{i}"))).collect();
        let apps = ["a", "b", "c"];
        let rows: Vec<OpenRow<'_>> = list
            .iter()
            .enumerate()
            .map(|(id, (app, on, wave, shared, failed))| OpenRow {
                id: id as RowId,
                app: apps[*app],
                cluster: &clusters[*on],
                wave: *wave,
                class: if *shared { Class::Shared } else { Class::Own },
                failed: *failed,
            })
            .collect();
        let goal = if apply { Goal::Apply } else { Goal::Delete };
        let outline = outline(rows.iter().copied(), goal);
        let mut own = BTreeSet::new();
        for bundle in &outline.bundles {
            for row in bundle.waves.iter().flatten() {
                prop_assert!(own.insert(*row));
                let row = rows[*row as usize];
                prop_assert!(!row.failed && row.class == Class::Own);
                prop_assert_eq!((row.app, row.cluster), (bundle.app.as_str(), &bundle.cluster));
            }
            for row in bundle.shared.iter().flatten() {
                prop_assert_eq!(rows[*row as usize].cluster, &bundle.cluster);
            }
        }
        if goal == Goal::Delete {
            let open = rows.iter().filter(|row| !row.failed && row.class == Class::Own).count();
            prop_assert_eq!(own.len(), open);
        }
        let clusters_with_rows: BTreeSet<_> = rows.iter().map(|row| row.cluster).collect();
        let driven: BTreeSet<_> = outline.bundles.iter().map(|b| &b.cluster).collect();
        prop_assert_eq!(clusters_with_rows, driven);
    }
}
