//! Cuts a large context into slices that child workflows drive (protocol §4).

use super::{Class, Lane, Slice};
use crate::{
    ids::{ClusterId, RowId},
    state::Goal,
};
use std::collections::HashSet;

/// Open rows of one (app, cluster, wave), with their first and last number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub app: String,
    pub cluster: ClusterId,
    pub wave: i32,
    pub class: Class,
    pub first: RowId,
    pub last: RowId,
    pub open: i64,
}

/// The groups of one app on one cluster, in wave order.
struct Cut<'a> {
    waves: Vec<&'a Group>,
}

impl Cut<'_> {
    fn open(&self) -> usize {
        self.waves.iter().map(|group| open(group)).sum()
    }

    fn slice(&self) -> Slice {
        covering(&self.waves)
    }
}

fn open(group: &Group) -> usize {
    usize::try_from(group.open).unwrap_or(0)
}

fn covering(groups: &[&Group]) -> Slice {
    Slice {
        from: groups.iter().map(|group| group.first).min().unwrap_or(0),
        to: groups.iter().map(|group| group.last).max().unwrap_or(-1),
    }
}

/// For each app with open rows, in plan order, its lanes: bundles are packed, as long as a slice
/// holds at most `max_rows` rows and `max_bundles` bundles; a bundle beyond `max_rows` becomes a lane
/// of its own, sliced wave by wave. Shared rows are not listed, because every bundle brings those of its
/// cluster along; only clusters that have nothing else open get lanes for them, under the app
/// name "". Stages stand in driving order for `goal`.
pub fn lanes(
    groups: &[Group],
    max_rows: usize,
    max_bundles: usize,
    goal: Goal,
) -> Vec<(String, Vec<Lane>)> {
    let own: HashSet<&ClusterId> = groups
        .iter()
        .filter(|g| g.class == Class::Own)
        .map(|g| &g.cluster)
        .collect();
    let mut listed: Vec<&Group> = groups
        .iter()
        .filter(|g| g.open > 0 && (g.class == Class::Own || !own.contains(&g.cluster)))
        .collect();
    listed.sort_by_key(|group| group.first);
    let name = |group: &Group| match group.class {
        Class::Own => group.app.clone(),
        Class::Shared => String::new(),
    };
    let mut out: Vec<(String, Vec<Cut<'_>>)> = Vec::new();
    for group in listed {
        let app = name(group);
        if out.last().is_none_or(|(last, _)| *last != app) {
            out.push((app, Vec::new()));
        }
        let Some((_, cuts)) = out.last_mut() else {
            continue;
        };
        match cuts.last_mut() {
            Some(cut) if cut.waves.last().is_some_and(|g| g.cluster == group.cluster) => {
                cut.waves.push(group);
            }
            _ => cuts.push(Cut { waves: vec![group] }),
        }
    }
    out.into_iter()
        .map(|(app, cuts)| (app, pack(&cuts, max_rows.max(1), max_bundles.max(1), goal)))
        .collect()
}

fn pack(cuts: &[Cut<'_>], max_rows: usize, max_bundles: usize, goal: Goal) -> Vec<Lane> {
    let mut lanes = Vec::new();
    let mut pending: Option<(Slice, usize, usize)> = None;
    for cut in cuts {
        if cut.open() > max_rows {
            lanes.extend(pending.take().map(|(slice, ..)| vec![vec![slice]]));
            lanes.push(wave_by_wave(cut, max_rows, goal));
            continue;
        }
        let slice = cut.slice();
        pending = match pending {
            Some((old, rows, bundles))
                if rows + cut.open() <= max_rows && bundles < max_bundles =>
            {
                Some((
                    Slice {
                        from: old.from,
                        to: slice.to,
                    },
                    rows + cut.open(),
                    bundles + 1,
                ))
            }
            old => {
                lanes.extend(old.map(|(slice, ..)| vec![vec![slice]]));
                Some((slice, cut.open(), 1))
            }
        };
    }
    lanes.extend(pending.map(|(slice, ..)| vec![vec![slice]]));
    lanes
}

/// Stages of one large bundle: small neighbouring waves share a slice (which keeps their order),
/// a large one is cut into slices that go in parallel.
fn wave_by_wave(cut: &Cut<'_>, max_rows: usize, goal: Goal) -> Lane {
    let mut stages: Lane = Vec::new();
    let mut small: Vec<&Group> = Vec::new();
    let close = |small: &mut Vec<&Group>, stages: &mut Lane| {
        if !small.is_empty() {
            stages.push(vec![covering(small)]);
            small.clear();
        }
    };
    for group in &cut.waves {
        if open(group) > max_rows {
            close(&mut small, &mut stages);
            let step = RowId::try_from(max_rows).unwrap_or(RowId::MAX);
            let mut stage = Vec::new();
            let mut from = group.first;
            while from <= group.last {
                let to = group.last.min(from.saturating_add(step - 1));
                stage.push(Slice { from, to });
                from = to + 1;
            }
            stages.push(stage);
            continue;
        }
        if small.iter().map(|g| open(g)).sum::<usize>() + open(group) > max_rows {
            close(&mut small, &mut stages);
        }
        small.push(group);
    }
    close(&mut small, &mut stages);
    if goal == Goal::Delete {
        stages.reverse();
    }
    stages
}
